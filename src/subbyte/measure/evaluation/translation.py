"""The quality of a model on text with reference translations, measured with our engine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, TypedDict

from subbyte.errors import UsageError
from subbyte.measure.memory import peak_rss_bytes
from subbyte.metrics import TranslationMetrics, score
from subbyte.progress import Progress
from subbyte.run.translator import Translator
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.lines import read_lines


class Evaluation(TypedDict):
    """Quality, speed and memory of a run.

    seconds            for translating, without opening the model and without scoring
    tokens_per_second  target tokens generated, ends of sentence included
    peak_rss_bytes     the most memory this process has had, up to the end of translating
    """

    task: str
    metrics: TranslationMetrics
    examples: int
    seconds: float
    tokens_per_second: float
    peak_rss_bytes: int
    isa: str
    threads: int
    activations: str
    model: str


def evaluate_translation(
    folder: str | Path,
    source: str | Path,
    reference: str | Path,
    *,
    threads: int | None = None,
    isa: str = "best",
    activations: Literal["int8", "float32"] | None = None,
    beam_size: int | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_length: int | None = None,
    length_penalty: float | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """BLEU and chrF of a model folder on a source file and its reference translation, line by line (.gz too).

    progress  called with the phase (translating), the sentences translated so far and those in all
    """
    sources, references = list(read_lines(source)), list(read_lines(reference))
    if len(sources) != len(references):
        raise UsageError(
            f"{source} has {len(sources):,} lines and {reference} has {len(references):,}; "
            "line i of the one should be the translation of line i of the other"
        )
    if not sources:
        raise UsageError(f"{source}: is empty")
    translator = Translator.from_pretrained(folder, threads=threads, isa=isa, activations=activations)
    generation = translator.engine.generation(
        beam_size=beam_size, max_length=max_length, length_penalty=length_penalty, scores=False
    )
    translations = []
    start = time.perf_counter()
    for hypotheses in translator.stream(sources, generation, batch_size):
        translations.append(hypotheses[0])
        if progress:
            progress("translating", len(translations), len(sources))
    seconds = time.perf_counter() - start
    peak = peak_rss_bytes()
    return {
        "task": "translation",
        "metrics": score([t.text for t in translations], references),
        "examples": len(sources),
        "seconds": seconds,
        "tokens_per_second": sum(t.tokens for t in translations) / seconds,
        "peak_rss_bytes": peak,
        "isa": translator.engine.isa,
        "threads": translator.engine.threads,
        "activations": translator.engine.activations,
        "model": str(folder),
    }
