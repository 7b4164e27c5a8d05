"""`subbyte evaluate`"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import subbyte
from subbyte.cli.options import ActivationsOption, BatchSizeOfFiles, Isa, Json, ModelFolder, Threads, with_options
from subbyte.cli.printing import print_json, print_pairs, stages
from subbyte.cli.search import search_options
from subbyte.text.batches import DEFAULT_BATCH_SIZE

NAMES = {"bleu": "BLEU", "chrf": "chrF", "accuracy": "accuracy", "f1": "F1", "matthews": "Matthews"}
NAMES |= {"pearson": "Pearson", "spearman": "Spearman"}


@with_options(search_options("beam_size", "max_length", "length_penalty"))
def evaluate(
    folder: ModelFolder,
    task: Annotated[
        Literal["translation", "classification", "sts"] | None,
        typer.Option(
            help="What to measure: translations, labels (or numbers), or similarity of sentences.  "
            "[default: what the model is for]"
        ),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Translation: text, a sentence a line (.gz too).")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Translation: that of the text, line by line.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="F.tsv",
            help="The other tasks: tab-separated with a header: label (or score), and sentence, or sentence1 and "
            "sentence2 (.gz too).",
        ),
    ] = None,
    *,
    batch_size: BatchSizeOfFiles = DEFAULT_BATCH_SIZE,
    threads: Threads = None,
    isa: Isa = "best",
    activations: ActivationsOption = None,
    json: Json = False,
    **search: Any,
) -> None:
    """Measure quality, speed and memory: BLEU and chrF of sacrebleu; accuracy, F1, Matthews; Pearson and Spearman."""
    what = ""
    if task is None and not (source and reference):
        from subbyte.folders.opening import open_model
        from subbyte.models.kinds import described, purpose_of

        model = open_model(folder)
        task, what = purpose_of(model), f"{folder} is {described(model)}: "
    translates = task in ("translation", None)
    if translates and (source is None or reference is None):
        raise typer.BadParameter(f"{what}--task translation needs --source and --reference")
    if not translates and data is None:
        raise typer.BadParameter(f"{what}--task {task} needs --data, a labelled TSV")
    shared: dict[str, Any] = {"threads": threads, "isa": isa, "activations": activations}
    with stages() as progress:
        shared |= {"batch_size": batch_size, "progress": progress}
        document: Mapping[str, Any]
        if source and reference and translates:
            document = subbyte.evaluate_translation(folder, source, reference, **shared, **search)
        else:
            assert data
            measure = subbyte.evaluate_classification if task == "classification" else subbyte.evaluate_similarity
            document = measure(folder, data, **shared)
    if json:
        print_json(document)
        return
    metrics: Mapping[str, Any] = document["metrics"]
    if translates:
        shown = {"BLEU": f"{metrics['bleu']:.2f}  {metrics['bleu_signature']}", "chrF": f"{metrics['chrf']:.2f}"}
    else:
        shown = {NAMES[name]: f"{100 * value:.2f}" for name, value in metrics.items()}
    print_pairs(
        {
            **shown,
            "sentences" if translates else "examples": f"{document['examples']:,} in {document['seconds']:.2f} s",
            "speed": f"{document['tokens_per_second']:,.0f} {'target ' if translates else ''}tokens per second on "
            f"{document['threads']} threads, {document['isa']}, {document['activations']} activations",
            "peak memory": f"{document['peak_rss_bytes']:,} bytes",
        }
    )
