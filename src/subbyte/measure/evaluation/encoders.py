"""The quality of encoders on labelled texts, measured with our engine: labels, numbers, and similarity of sentences."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TypedDict

import numpy as np

from subbyte.errors import UsageError
from subbyte.measure.memory import peak_rss_bytes
from subbyte.metrics import accuracy, f1, matthews, pearson, spearman
from subbyte.models.model import Activations
from subbyte.progress import Progress
from subbyte.run.classifier import Classifier
from subbyte.run.encoder import Encoder
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.labelled import LabelledText, class_numbers, numbers, read_labelled


class EncoderEvaluation(TypedDict):
    """Quality, speed and memory of a run; see `evaluation.Evaluation`.

    metrics            of labels: accuracy, matthews, and f1 where there are two; of numbers and similarities: pearson
                       and spearman. 1 is best
    tokens_per_second  tokens read, special ones included
    """

    task: str
    metrics: dict[str, float]
    examples: int
    seconds: float
    tokens_per_second: float
    peak_rss_bytes: int
    isa: str
    threads: int
    activations: str
    model: str


def evaluate_classification(
    folder: str | Path,
    data: str | Path,
    *,
    threads: int | None = None,
    isa: str = "best",
    activations: Activations | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    progress: Progress | None = None,
) -> EncoderEvaluation:
    """How well a model with a classifier labels the texts of a labelled TSV, or predicts their numbers."""
    labelled = read_labelled(data)
    classifier = Classifier.from_pretrained(folder, threads=threads, isa=isa, activations=activations)
    start = time.perf_counter()
    logits = []
    for one in classifier.logits(labelled.texts, batch_size):
        logits.append(one)
        if progress:
            progress("classifying", len(logits), len(labelled.texts))
    seconds = time.perf_counter() - start
    metrics = scores_of(np.stack(logits), labelled, classifier, str(data))
    ids, _ = classifier.tokenizer.encode(labelled.texts)
    return _document("classification", metrics, classifier, labelled, sum(map(len, ids)), seconds, folder)


def scores_of(logits: np.ndarray, labelled: LabelledText, classifier: Classifier, where: str) -> dict[str, float]:
    """The metrics of logits [n, labels]; `where` is the file that the labels are from."""
    if classifier.engine.settings.several:
        raise UsageError("the model has several labels at once, or several numbers; one label a text is measured")
    if classifier.regression:
        wanted, given = numbers(labelled.labels, where), classifier.scored(logits)[:, 0]
        return {"pearson": pearson(given, wanted), "spearman": spearman(given, wanted)}
    actual = class_numbers(labelled.labels, list(classifier.labels), where)
    predicted = logits.argmax(1)
    found = {"accuracy": accuracy(predicted, actual), "matthews": matthews(predicted, actual)}
    return found | ({"f1": f1(predicted, actual)} if len(classifier.labels) == 2 else {})


def evaluate_similarity(
    folder: str | Path,
    data: str | Path,
    *,
    threads: int | None = None,
    isa: str = "best",
    activations: Activations | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    progress: Progress | None = None,
) -> EncoderEvaluation:
    """How the cosine of two sentences' vectors goes with the score that people gave the pair."""
    labelled = read_labelled(data)
    if len(labelled.texts[0]) != 2:
        raise UsageError(f"{data}: has one text a line; for similarity there should be two")
    encoder = Encoder.from_pretrained(folder, threads=threads, isa=isa, activations=activations)
    texts = [sentence for pair in labelled.texts for sentence in pair]
    start = time.perf_counter()
    vectors = []
    for vector in encoder.stream(texts, batch_size, normalize_embeddings=True):
        vectors.append(vector)
        if progress:
            progress("encoding", len(vectors) // 2, len(labelled.texts))
    seconds = time.perf_counter() - start
    first, second = np.stack(vectors[::2]), np.stack(vectors[1::2])
    cosines = np.einsum("ij,ij->i", first, second, dtype=np.float64)
    actual = numbers(labelled.labels, str(data))
    metrics = {"pearson": pearson(cosines, actual), "spearman": spearman(cosines, actual)}
    ids, _ = encoder.tokenizer.encode([(text,) for text in texts])
    return _document("sts", metrics, encoder, labelled, sum(map(len, ids)), seconds, folder)


def _document(
    task: str,
    metrics: dict[str, float],
    model: Classifier | Encoder,
    labelled: LabelledText,
    tokens: int,
    seconds: float,
    folder: str | Path,
) -> EncoderEvaluation:
    return {
        "task": task,
        "metrics": metrics,
        "examples": len(labelled.texts),
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "isa": model.engine.isa,
        "threads": model.engine.threads,
        "activations": model.engine.activations,
        "model": str(folder),
    }
