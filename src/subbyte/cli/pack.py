"""`subbyte pack`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import subbyte
from subbyte.cli.options import Json
from subbyte.cli.printing import print_columns, print_json, stages

if TYPE_CHECKING:
    from subbyte.folders.packing import Saved


def pack(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that subbyte compressed.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace an older folder OUT, if all in it is as subbyte wrote it.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the compressed model in DIR into the folder OUT in fewer bytes, with the same answers bit for bit.

    Codes are entropy coded, vocabularies packed. Every other command takes OUT as it takes DIR.
    """
    with stages() as progress:
        document = subbyte.pack(folder, out, force=force, progress=progress)
    if json:
        print_json(document)
        return
    rows = [[kind["kind"], kind["before"], kind["after"], kind["before"] - kind["after"], _blocks(kind)]
            for kind in document["kinds"]]  # fmt: skip
    before, after = document["before"], document["after"]
    rows.append(["all files", before, after, before - after, ""])
    print_columns(["bytes of", "before", "after", "saved", ""], rows)


def _blocks(kind: Saved) -> str:
    return f"{kind['coded']} of {kind['blocks']} blocks coded" if kind["blocks"] else ""
