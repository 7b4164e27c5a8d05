"""The program `subbyte`: its commands, and how errors reach people."""

from __future__ import annotations

import io
import logging
import sys
from typing import Annotated

import typer

import subbyte
from subbyte.cli import (
    analyze,
    bench,
    classify,
    demo,
    download,
    encode,
    evaluate,
    finetune,
    inspect,
    quantize,
    score,
    translate,
)
from subbyte.errors import SubbyteError

app = typer.Typer(
    name="subbyte",
    help="Compress translation models and encoders to 1-8 bits per weight and run them on a CPU, without PyTorch.",
    epilog="stdout is data, stderr is talk. Exit codes: 0 done, 1 failed with a sentence that says why, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(download.download)
app.command()(quantize.quantize)
app.command()(finetune.finetune)
app.command()(inspect.inspect)
app.command()(translate.translate)
app.command()(encode.encode)
app.command()(classify.classify)
app.command()(evaluate.evaluate)
app.command()(score.score)
app.command()(analyze.analyze)
app.command()(bench.bench)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"subbyte {subbyte.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself; `main` looks for --debug."""


def main() -> None:
    """Run the program; an error of ours is printed as one sentence and exits with 1."""
    logging.basicConfig(format="subbyte: %(message)s")  # warnings and worse, to stderr
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace" if stream is sys.stderr else "strict")
    try:
        app(prog_name="subbyte")
    except (SubbyteError, MemoryError) as error:
        if "--debug" in sys.argv:
            raise
        sys.exit(f"subbyte: {error or 'there is not enough memory'}")
