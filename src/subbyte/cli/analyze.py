"""`subbyte analyze`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import subbyte
from subbyte.cli.options import Json, Threads
from subbyte.cli.printing import print_json, stages


def analyze(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A float32 folder: an encoder, or a translation model.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="F",
            help="A labelled TSV (.tsv, as evaluate reads them), or else a text a line, a tab between those of a pair; "
            "of translation models text in the source language (.gz too).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="F.html", help="The page to write; the numbers go to F.json. Needed without --json."),
    ] = None,
    texts: Annotated[
        int, typer.Option(min=12, metavar="N", help="The first so many texts are read; time goes with them.")
    ] = 200,
    threads: Threads = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an older page of ours, and the numbers beside it.")
    ] = False,
    json: Json = False,
) -> None:
    """Find the preset for a float32 model, and where it breaks at few bits: outliers, leave-one-out, size and quality.

    Takes some minutes. A command that makes the recommended model is printed, and then what is seen; the page has the
    plots and tables.
    """
    if out is None and not json:
        raise typer.BadParameter("give --out report.html, or --json")
    with stages() as progress:
        document = subbyte.analyze(model, data, out, most_texts=texts, threads=threads, force=force, progress=progress)
    if json:
        print_json(document)
        return
    found = document["findings"]
    if document["recommended"]:  # a command to copy
        print(f"{found[0]}\n")
        found = found[1:]
    for sentence in found:
        print(f"- {sentence}")
