"""`subbyte download`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from subbyte.cli.options import Json
from subbyte.cli.printing import print_json, print_pairs


def download(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="As on huggingface.co: Helsinki-NLP/opus-mt-en-de, all-MiniLM-L6-v2.")
    ],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="The folder to write; default: NAME's last part.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="R", help="A branch, a tag or a commit.  [default: main]")
    ] = None,
    json: Json = False,
) -> None:
    """Fetch a model from the Hugging Face hub into a folder, only the files that subbyte reads. Needs huggingface_hub.

    A download that was stopped goes on where it was; a folder that is there already is left alone.
    """
    from subbyte.folders.hub import download as fetch

    found = fetch(name, out, revision=revision, say=lambda sentence: print(sentence, file=sys.stderr))
    if json:
        print_json(
            {
                "name": found.name,
                "revision": found.revision,
                "folder": str(found.folder),
                "files": list(found.files),
                "bytes": found.bytes,
                "pickled": found.pickled,
            }
        )
    else:
        print_pairs(
            {
                str(found.folder): f"{found.name}, {found.revision[:12]}",
                "files": f"{len(found.files)}, {found.bytes:,} bytes",
            }
        )
    if found.pickled:
        from subbyte.errors import ModelError
        from subbyte.folders.opening import open_model

        try:
            open_model(found.folder)
        except ModelError as error:  # which says how to convert it
            print(f"subbyte: {error}", file=sys.stderr)
    elif not json:
        print(f"\ntry: subbyte quantize {found.folder} {found.folder}-small")
