"""`subbyte translate`"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import subbyte
from subbyte.cli.options import (
    ActivationsOption,
    BatchSize,
    BeamSize,
    Isa,
    Json,
    LengthPenalty,
    MaxLength,
    ModelFolder,
    Threads,
)
from subbyte.cli.printing import print_json, progress_bar
from subbyte.text_lines import decode_lines, read_lines

if TYPE_CHECKING:
    from subbyte.translator import Translation


def translate(
    folder: ModelFolder,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", show_default=False, help="Text, a sentence a line (.gz too); default: stdin."),
    ] = None,
    beam_size: BeamSize = None,
    batch_size: BatchSize = None,
    max_length: MaxLength = None,
    length_penalty: LengthPenalty = None,
    num_hypotheses: Annotated[int, typer.Option(min=1, help="Translations a line, one a line, best first.")] = 1,
    scores: Annotated[bool, typer.Option("--scores", help="Print score and tab before each translation.")] = False,
    threads: Threads = None,
    isa: Isa = "best",
    activations: ActivationsOption = None,
    json: Json = False,
) -> None:
    """Translate line by line: lines in, lines out, a batch at a time. An empty line stays an empty line.

    A line that is longer than the model can read is cut, with a warning.
    """
    typed = file is None and sys.stdin.isatty()
    batch_size = batch_size or (1 if typed else 32)
    translator = subbyte.Translator.from_pretrained(folder, threads=threads, isa=isa, activations=activations)
    generation = translator.engine.generation(
        beam_size=beam_size, num_hypotheses=num_hypotheses, max_length=max_length, length_penalty=length_penalty
    )
    lines = decode_lines(sys.stdin.buffer, "stdin") if file is None else read_lines(file)
    if json:
        sources = list(lines)
        found = translator.stream(sources, generation, batch_size)
        print_json({"model": str(folder), "translations": list(map(_document, sources, found))})
        return
    with progress_bar("translating", unless=typed or sys.stdout.isatty()) as progress:
        for number, hypotheses in enumerate(translator.stream(lines, generation, batch_size), start=1):
            for hypothesis in hypotheses:
                print(f"{hypothesis.score:.4f}\t" if scores else "", _one_line(hypothesis.text), sep="")
            if number % batch_size == 0:
                sys.stdout.flush()
            if progress:
                progress(number, None)


def _one_line(text: str) -> str:
    """A model may know pieces with line ends; lines out must stay lines in."""
    return text.replace("\r", " ").replace("\n", " ")


def _document(source: str, hypotheses: list[Translation]) -> dict[str, Any]:
    return {"source": source, "hypotheses": [asdict(hypothesis) for hypothesis in hypotheses]}
