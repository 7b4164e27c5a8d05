"""What an evaluation says, whatever the model is for: quality, speed and memory of one pass over a file."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypedDict, TypeVar

from subbyte.measure.memory import peak_rss_bytes
from subbyte.progress import Progress
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.translation_engine import Engine

Metrics = TypeVar("Metrics")
Answer = TypeVar("Answer")


class Evaluation(TypedDict, Generic[Metrics]):
    """Quality, speed and memory of a run.

    metrics            of translations: BLEU and chrF; of labels: accuracy, matthews, and f1 where there are two; of
                       numbers and similarities: pearson and spearman, of which 1 is best
    seconds            for answering, without opening the model and without scoring
    tokens_per_second  target tokens generated, ends of sentence included; of encoders, tokens read
    peak_rss_bytes     the most memory this process has had, up to the end of answering
    """

    task: str
    metrics: Metrics
    examples: int
    seconds: float
    tokens_per_second: float
    peak_rss_bytes: int
    isa: str
    threads: int
    activations: str
    model: str


@dataclass(frozen=True)
class Pass(Generic[Answer]):
    """All answers of a model, and what they took."""

    answers: list[Answer]
    seconds: float
    peak: int

    def document(
        self,
        task: str,
        metrics: Metrics,
        tokens: int,
        engine: Engine | EncoderEngine,
        folder: str | Path,
        each: int = 1,
    ) -> Evaluation[Metrics]:
        """What is said of it; `each` answers are one example."""
        return {
            "task": task,
            "metrics": metrics,
            "examples": len(self.answers) // each,
            "seconds": self.seconds,
            "tokens_per_second": tokens / self.seconds,
            "peak_rss_bytes": self.peak,
            "isa": engine.isa,
            "threads": engine.threads,
            "activations": engine.activations,
            "model": str(folder),
        }


def timed(answers: Iterable[Answer], name: str, count: int, progress: Progress | None, each: int = 1) -> Pass[Answer]:
    """Take every answer while the clock runs. `count` examples have `each` so many of them."""
    found: list[Answer] = []
    start = time.perf_counter()
    for one in answers:
        found.append(one)
        if progress:
            progress(name, len(found) // each, count)
    return Pass(found, time.perf_counter() - start, peak_rss_bytes())
