"""The program `subbyte`: its commands, and how errors reach people."""

from __future__ import annotations

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
    pack,
    quantize,
    score,
    translate,
)
from subbyte.cli.ending import CLOSED_PIPE, INTERRUPTED, ended_by_sigterm, finish, open_streams, sentence_of

app = typer.Typer(
    name="subbyte",
    help="Compress translation models and encoders to 1-8 bits per weight and run them on a CPU, without PyTorch.",
    epilog="stdout is data, stderr is talk. Exit codes: 0 done, 1 failed with a sentence that says why, 2 wrong usage, "
    "130 interrupted, 141 the reader of stdout went away, 143 terminated.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# what the list of commands says of each, short enough for a terminal of 80 columns
app.command(short_help="Compress the small model that ships, and translate with both.")(demo.demo)
app.command(short_help="Fetch a model from the Hugging Face hub into a folder.")(download.download)
app.command(short_help="Compress a float32 model into a folder, without retraining.")(quantize.quantize)
app.command(short_help="Compress a float32 model, and train it as it is stored.")(finetune.finetune)
app.command(short_help="Write a compressed folder in fewer bytes, with the same answers.")(pack.pack)
app.command(short_help="Show what is in a folder, and how this machine would run it.")(inspect.inspect)
app.command(short_help="Translate line by line: lines in, lines out.")(translate.translate)
app.command(short_help="Make a vector of each line: JSON on stdout, or a .npy file.")(encode.encode)
app.command(short_help="Label each line: label, tab, score.")(classify.classify)
app.command(short_help="Measure quality, speed and memory on a text of yours.")(evaluate.evaluate)
app.command(short_help="Score given translations, line by line.")(score.score)
app.command(short_help="Find the preset for a float32 model, and where it breaks.")(analyze.analyze)
app.command(short_help="Measure speed, memory and size beside other engines.")(bench.bench)


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
    """Run the program and exit with its code; what went wrong is one sentence on stderr."""
    logging.basicConfig(format="subbyte: %(message)s")  # warnings and worse, to stderr
    open_streams()
    code, fault = 0, ""
    with ended_by_sigterm():
        try:
            app(prog_name="subbyte")
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
            if isinstance(stop.__context__, BrokenPipeError):  # typer has made a 1 of it
                code = CLOSED_PIPE
        except KeyboardInterrupt:
            code = INTERRUPTED
        except Exception as error:
            if "--debug" in sys.argv:
                raise
            code, fault = 1, sentence_of(error)
    sys.exit(finish(code, fault))
