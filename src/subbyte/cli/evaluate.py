"""`subbyte evaluate`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
from subbyte.cli.printing import print_json, print_pairs, progress_bar


def evaluate(
    folder: ModelFolder,
    source: Annotated[Path, typer.Option(metavar="FILE", help="Text, a sentence a line (.gz too).")],
    reference: Annotated[Path, typer.Option(metavar="FILE", help="Its translation, line by line.")],
    task: Annotated[Literal["translation"], typer.Option(help="What to measure.")] = "translation",
    beam_size: BeamSize = None,
    batch_size: BatchSize = None,
    max_length: MaxLength = None,
    length_penalty: LengthPenalty = None,
    threads: Threads = None,
    isa: Isa = "best",
    activations: ActivationsOption = None,
    json: Json = False,
) -> None:
    """Translate a file and compare with its reference translation: BLEU and chrF of sacrebleu, speed and memory."""
    with progress_bar("translating") as progress:
        document = subbyte.evaluate_translation(
            folder,
            source,
            reference,
            threads=threads,
            isa=isa,
            activations=activations,
            beam_size=beam_size,
            batch_size=batch_size or 32,
            max_length=max_length,
            length_penalty=length_penalty,
            progress=progress,
        )
    if json:
        print_json(document)
        return
    metrics = document["metrics"]
    print_pairs(
        {
            "BLEU": f"{metrics['bleu']:.2f}  {metrics['bleu_signature']}",
            "chrF": f"{metrics['chrf']:.2f}",
            "sentences": f"{document['examples']:,} in {document['seconds']:.2f} s",
            "speed": f"{document['tokens_per_second']:,.0f} target tokens per second on {document['threads']} threads, "
            f"{document['isa']}, {document['activations']} activations",
            "peak memory": f"{document['peak_rss_bytes']:,} bytes",
        }
    )
