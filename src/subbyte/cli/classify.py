"""`subbyte classify`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import subbyte
from subbyte.cli.options import ActivationsOption, BatchSize, InputFile, Isa, Json, ModelFolder, Threads, followed
from subbyte.cli.printing import print_json, stages
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.lines import LineReader, without_end

if TYPE_CHECKING:
    from subbyte.text.given import Text

Scores = Literal["none", "sigmoid", "softmax"]


def classify(
    folder: ModelFolder,
    file: InputFile = None,
    all_labels: Annotated[bool, typer.Option("--all", help="Every label of each line, best first.")] = False,
    activation: Annotated[
        Scores | None, typer.Option(help="What makes scores of logits.  [default: as the folder says]")
    ] = None,
    batch_size: BatchSize = None,
    threads: Threads = None,
    isa: Isa = "best",
    activations: ActivationsOption = None,
    json: Json = False,
) -> None:
    """Label each line: label, tab, score. A tab in a line divides it into a pair of sentences.

    The score is the label's probability, or the number that a regression predicts, or what --activation makes of the
    model's logit. What is too long is cut.
    """
    typed = file is None and sys.stdin.isatty()
    classifier = subbyte.Classifier.from_pretrained(
        folder, threads=threads, isa=isa, activations=activations, activation=activation
    )
    read = LineReader(file)
    labels = classifier.scores(map(_text, read), batch_size or (1 if typed else DEFAULT_BATCH_SIZE))
    found = []
    with stages(unless=typed or (not json and sys.stdout.isatty())) as progress:
        for scores in followed(labels, read, "classifying", progress):
            best = sorted(scores, key=lambda label: -label["score"])[: None if all_labels else 1]
            if json:
                found.append(best)
            else:
                print("\t".join(f"{label['label']}\t{label['score']:.4f}" for label in best), flush=typed)
    if json:
        print_json({"model": str(folder), "lines": found})


def _text(line: str) -> Text:
    first, tab, second = without_end(line).partition("\t")
    return (first, second) if tab else first
