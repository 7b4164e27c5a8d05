"""`subbyte score`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import subbyte
from subbyte.cli.options import ActivationsOption, BatchSizeOfFiles, Isa, Json, ModelFolder, Threads
from subbyte.cli.printing import print_json, stages
from subbyte.errors import UsageError
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.lines import read_lines, require_parallel


def score(
    folder: ModelFolder,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Text, a sentence a line (.gz too).")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Its translation, line by line.")],
    normalize: Annotated[bool, typer.Option("--normalize", help="Divide by the number of tokens.")] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="With --json: each token and its log-probability.")] = False,
    batch_size: BatchSizeOfFiles = DEFAULT_BATCH_SIZE,
    threads: Threads = None,
    isa: Isa = "best",
    activations: ActivationsOption = None,
    json: Json = False,
) -> None:
    """Score given translations: a line each, the log-probability of TARGET's line given SOURCE's, in nats.

    It is the sum over the line's tokens, end of sentence included.
    """
    if tokens and not json:
        raise typer.BadParameter("--tokens is for the JSON document; add --json")
    (sources, fault), (targets, other) = _lines(source), _lines(target)
    fault = fault or other
    if fault and (json or not sources or not targets):
        raise fault
    if not fault:
        require_parallel(source, sources, target, targets)
    from subbyte.folders.opening import open_model  # numpy is not for --help

    model = open_model(folder)  # here, because what its folder says about searching has no say
    translator = subbyte.Translator.from_pretrained(model, threads=threads, isa=isa, activations=activations)
    document: list[dict[str, Any]] = []
    with stages(unless=not json and sys.stdout.isatty()) as progress:
        pairs = [*zip(sources, targets, strict=False)]
        for number, found in enumerate(translator.stream_scores(pairs, batch_size), start=1):
            value = found.mean if normalize else found.total
            if json:
                document.append({"source": sources[number - 1], "target": targets[number - 1]})
                document[-1] |= {"score": value, "tokens": len(found.tokens)}
                if tokens:
                    each = zip(found.tokens, found.log_probabilities, strict=True)
                    document[-1]["token_scores"] = [{"token": token, "score": one} for token, one in each]
            else:
                print(f"{value:.4f}")
            if progress:
                progress("scoring", number, len(pairs))
    if json:
        print_json({"model": str(folder), "scores": document})
    if fault:
        raise fault


def _lines(path: Path) -> tuple[list[str], UsageError | None]:
    """The lines of a file, and what kept us from reading them all."""
    lines: list[str] = []
    try:
        for line in read_lines(path):
            lines.append(line)
    except UsageError as fault:
        return lines, fault
    return lines, None
