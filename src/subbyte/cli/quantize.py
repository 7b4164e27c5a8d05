"""`subbyte quantize`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import subbyte
from subbyte.cli.inspect import print_totals
from subbyte.cli.options import Json, Settings
from subbyte.cli.printing import print_json, stages


def quantize(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A float32 folder (MarianMT, BERT family), or Bergamot's.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="R",
            help="A preset (uniform4, nmt-mixed, w8a8-peg, ...) or a TOML file.  [default: the smallest preset that "
            "keeps MODEL's answers, found by trying; takes a minute or two]",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="2.6bits (of each weight) or 3MB: codes are entropy coded, with steps by what the model is measured "
            "to mind, which are written to OUT/recipe.toml; takes minutes. If R is of other families, its bits are "
            "chosen so (needs --calibration).",
        ),
    ] = None,
    frequencies: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Text whose words are counted, so that frequent ones get more bits where the recipe says so: "
            "a sentence, or a sentence, a tab and its translation, a line.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Text in the source language, a sentence a line (a tab between those of a pair), like what will be "
            "read: weights are rounded so that outputs change little on it, and static activations get their ranges. A "
            "few hundred lines are enough; 10,000 tokens are read at most.",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Lines like those that will be read: MODEL and OUT answer the first, with a warning if they "
            "disagree.  [default: lines that ship, in MODEL's language; or else of --calibration, or frequent words]",
        ),
    ] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not compare MODEL and OUT.")] = False,
    settings: Settings = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an older folder OUT, if all in it is as subbyte wrote it.")
    ] = False,
    json: Json = False,
) -> None:
    """Compress the float32 model in MODEL and write it to the folder OUT, without retraining.

    Without a recipe the smallest preset that keeps MODEL's answers is chosen, and one line says which and why.
    """
    if recipe is None and budget is None and no_check:
        raise typer.BadParameter("without --recipe presets are compared with MODEL; leave out --no-check, or name one")
    if check and no_check:
        raise typer.BadParameter("--check and --no-check exclude each other")
    from subbyte.models.search_settings import parsed  # not for --help of them all

    with stages() as progress:
        document = subbyte.quantize(
            model, out, recipe, budget=budget, force=force, frequencies=frequencies, calibration=calibration,
            check=not no_check, check_text=check, settings=parsed(settings or []), progress=progress,
        )  # fmt: skip
    if json:
        print_json(document)
        return
    if document["choice"]:
        print(f"{document['choice']}\n")
    print_totals(out, document)
