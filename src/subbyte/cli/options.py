"""Options that several commands have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from subbyte.text_lines import decode_lines, read_lines

Activations = Literal["int8", "float32"]

ModelFolder = Annotated[
    Path,
    typer.Argument(metavar="DIR", show_default=False, help="A converted folder, or one that quantize would take."),
]
InputFile = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", show_default=False, help="Text, a sentence a line (.gz too); default: stdin."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Threads = Annotated[
    int | None, typer.Option(min=1, metavar="N", show_default=False, help="Cores to use.  [default: all]")
]
Isa = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Instruction set: best, amx, avx512_vnni, avx2, reference. Results are the same."
    ),
]
ActivationsOption = Annotated[
    Activations | None,
    typer.Option(
        "--activations",
        show_default=False,
        help="How the inputs of matrix products are rounded.  [default: as the folder says]",
    ),
]
BeamSize = Annotated[
    int | None,
    typer.Option(min=1, max=256, show_default=False, help="Beams; 1 is greedy.  [default: as the model says]"),
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, show_default=False, help="Lines at a time.  [default: 32; 1 when typed at a terminal]"),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        min=2, show_default=False, help="Longest translation, in tokens, start included.  [default: as the model says]"
    ),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        show_default=False,
        help="Scores are divided by the number of tokens to this power.  [default: as the model says]",
    ),
]


def input_lines(file: Path | None) -> Iterator[str]:
    """The lines of a file, or of stdin."""
    return decode_lines(sys.stdin.buffer, "stdin") if file is None else read_lines(file)
