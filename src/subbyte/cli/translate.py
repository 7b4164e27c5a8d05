"""`subbyte translate`"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Unpack

import typer

import subbyte
from subbyte.cli.options import (
    ActivationsOption,
    BatchSize,
    InputFile,
    Isa,
    Json,
    ModelFolder,
    Settings,
    Threads,
    followed,
    with_options,
)
from subbyte.cli.printing import print_json, stages
from subbyte.cli.search import in_python, search_options
from subbyte.models.search_options import OPTIONS, SearchOptions
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.lines import LineReader, one_line, without_end


@with_options(search_options(*OPTIONS))
def translate(
    folder: ModelFolder,
    file: InputFile = None,
    *,
    batch_size: BatchSize = None,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="What every translation begins with.")] = "",
    settings: Settings = None,
    num_hypotheses: Annotated[int, typer.Option(min=1, help="Translations a line, one a line, best first.")] = 1,
    scores: Annotated[bool, typer.Option("--scores", help="Print score and tab before each translation.")] = False,
    split: Annotated[
        bool, typer.Option("--split", help="Translate each sentence of a line by itself; white space is kept.")
    ] = False,
    document: Annotated[
        bool, typer.Option("--document", help="The same, and line ends are kept too: only the words change.")
    ] = False,
    target_language: Annotated[
        str | None, typer.Option(metavar="XX", help="For models with several: deu puts >>deu<< before each sentence.")
    ] = None,
    threads: Threads = None,
    isa: Isa = "best",
    activations: ActivationsOption = None,
    json: Json = False,
    **search: Unpack[SearchOptions],
) -> None:
    """Translate line by line: lines in, lines out, a batch at a time. An empty line stays an empty line.

    A line that is longer than the model can read is cut, with a warning; with --split or --document nothing is lost.
    """
    by_sentence = split or document
    if by_sentence and (scores or num_hypotheses > 1 or prefix):
        given = "--scores" if scores else "--num-hypotheses" if num_hypotheses > 1 else "--prefix"
        raise typer.BadParameter(f"{given} is about one sentence a line; leave it out, or --split and --document")
    typed = file is None and sys.stdin.isatty()
    batch_size = batch_size or (1 if typed else DEFAULT_BATCH_SIZE)
    from subbyte.folders.opening import open_to_run  # numpy is not for --help
    from subbyte.models.search_settings import parsed

    model = open_to_run(folder, activations)
    translator = subbyte.Translator.from_pretrained(
        model, threads=threads, isa=isa, activations=activations, settings=parsed(settings or [])
    )
    generation = translator.generation(
        num_hypotheses=num_hypotheses, prefix=prefix, scores=scores or json, **in_python(search)
    )
    read = LineReader(file)
    sources: list[str] = []  # for the document
    lines = iter(read) if document else map(without_end, read)
    lines = _noted(lines, sources) if json else lines
    found: Iterable[list[dict[str, Any]]]  # of each line its hypotheses
    if by_sentence:
        texts = translator.stream_by_sentence(lines, generation, batch_size, target_language)
        found = ([{"text": text}] for text in texts)
    else:
        best = translator.stream(lines, generation, batch_size, target_language)
        found = ([vars(hypothesis) for hypothesis in hypotheses] for hypotheses in best)
    translations = []
    with stages(unless=typed or (not json and sys.stdout.isatty())) as progress:
        for number, hypotheses in enumerate(followed(found, read, "translating", progress), start=1):
            if json:
                translations.append({"source": sources[number - 1], "hypotheses": hypotheses})
                continue
            for hypothesis in hypotheses:
                text = hypothesis["text"] if by_sentence else one_line(hypothesis["text"])
                print(f"{hypothesis['score']:.4f}\t" if scores else "", text, sep="", end="" if document else "\n")
            if number % batch_size == 0:
                sys.stdout.flush()
    if json:
        print_json({"model": str(folder), "translations": translations})


def _noted(lines: Iterable[str], notes: list[str]) -> Iterator[str]:
    """The lines, each of them noted on the way."""
    for line in lines:
        notes.append(line)
        yield line
