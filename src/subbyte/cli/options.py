"""Options that several commands have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from subbyte.progress import Progress
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.lines import LineReader

Found = TypeVar("Found")
Command = TypeVar("Command", bound=Callable[..., Any])
Activations = Literal["int8", "float32"]

ModelFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="A converted folder, or one that quantize would take.")
]
InputFile = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="Text, a sentence a line (.gz too); default: stdin.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="Cores to use.  [default: all]")]
Isa = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Instruction set: best, or one that `subbyte inspect` names. Results are the same."
    ),
]
ActivationsOption = Annotated[
    Activations | None,
    typer.Option("--activations", help="How the inputs of matrix products are rounded.  [default: as the folder says]"),
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help=f"Lines at a time.  [default: {DEFAULT_BATCH_SIZE}; 1 when typed at a terminal]"),
]
BatchSizeOfFiles = Annotated[int, typer.Option("--batch-size", min=1, help="Lines at a time.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A key of generation_config.json and its value (JSON) in the place of the folder's; null takes it away. "
        "May be given several times.",
    ),
]


def with_options(options: Iterable[Parameter]) -> Callable[[Command], Command]:
    """A command with these options in the place of its last parameter, `**`; in --help they come where `*` stands."""

    def changed(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        first, last = (
            [one for one in signature.parameters.values() if one.kind is kind]
            for kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        )
        parameters = [*first, *options, *last]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return changed


def followed(found: Iterable[Found], read: LineReader, name: str, progress: Progress | None) -> Iterator[Found]:
    """What was found of each line, while `progress` is told how far that is: in the file, or of a pipe in lines."""
    for number, one in enumerate(found, start=1):
        yield one
        if progress:
            progress(name, number if read.total is None else read.position, read.total)
