"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from subbyte.progress import Progress
from subbyte.text.lines import LineReader

Found = TypeVar("Found")
Activations = Literal["int8", "float32"]

ModelFolder = Annotated[
    Path,
    typer.Argument(metavar="DIR", show_default=False, help="A converted folder, or one that quantize would take."),
]
InputFile = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", show_default=False, help="Text, a sentence a line (.gz too); default: stdin."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Threads = Annotated[
    int | None, typer.Option(min=1, metavar="N", show_default=False, help="Cores to use.  [default: all]")
]
Isa = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Instruction set: best, or one that `subbyte inspect` names. Results are the same."
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
BatchSizeOfFiles = Annotated[
    int | None, typer.Option("--batch-size", min=1, show_default=False, help="Lines at a time.  [default: 32]")
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
MaxNewTokens = Annotated[
    int | None,
    typer.Option(min=1, show_default=False, help="The same, without start and prefix.  [default: as the model says]"),
]
MinLength = Annotated[
    int | None,
    typer.Option(
        min=0, show_default=False, help="Shortest translation, in tokens, start included.  [default: as the model says]"
    ),
]
MinNewTokens = Annotated[
    int | None,
    typer.Option(min=0, show_default=False, help="The same, without start and prefix.  [default: as the model says]"),
]
EarlyStopping = Annotated[
    Literal["true", "false", "never"] | None,
    typer.Option(
        show_default=False,
        help="Beam search ends when as many translations as beams are found (true), when better ones are unlikely "
        "(false), or impossible (never).  [default: as the model says]",
    ),
]
NoRepeatNgramSize = Annotated[
    int | None,
    typer.Option(
        min=0, show_default=False, help="No run of so many tokens twice; 0 allows all.  [default: as the model says]"
    ),
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option(
        show_default=False,
        help="Above 1, tokens that are there already become less likely; 1 is none.  [default: as the model says]",
    ),
]
Prefix = Annotated[str, typer.Option(metavar="TEXT", show_default=False, help="What every translation begins with.")]
Sample = Annotated[
    bool | None,
    typer.Option(
        "--sample/--no-sample",
        show_default=False,
        help="Draw tokens by their probabilities; --num-hypotheses then draws so many.  [default: as the model says]",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        show_default=False,
        help="With --sample: below 1 likely tokens become likelier, above 1 less.  [default: as the model says, or 1]",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        min=0,
        show_default=False,
        help="With --sample: among the K likeliest tokens; 0: all.  [default: as the model says, or 50]",
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        show_default=False,
        help="With --sample: among the likeliest tokens with this probability together.  [default: as the model says, "
        "or 1]",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, show_default=False, help="With --sample: other seeds draw others, the same draws the same.  [default: 0]"
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="A key of generation_config.json and its value (JSON) in the place of the folder's; null takes it away. "
        "May be given several times.",
    ),
]


def followed(found: Iterable[Found], read: LineReader, name: str, progress: Progress | None) -> Iterator[Found]:
    """What was found of each line, while `progress` is told how far that is: in the file, or of a pipe in lines."""
    for number, one in enumerate(found, start=1):
        yield one
        if progress:
            progress(name, number if read.total is None else read.position, read.total)
