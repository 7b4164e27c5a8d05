"""The quality of encoders on labelled texts, measured with our engine: labels, numbers, and similarity of sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from subbyte.errors import UsageError
from subbyte.measure.evaluation.document import Evaluation, timed
from subbyte.metrics import accuracy, f1, matthews, pearson, spearman
from subbyte.models.model import Activations
from subbyte.progress import Progress
from subbyte.run.classifier import Classifier
from subbyte.run.encoder import Encoder
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.labelled import LabelledText, class_numbers, numbers, read_labelled

Scores = dict[str, float]


def evaluate_classification(
    folder: str | Path,
    data: str | Path,
    *,
    threads: int | None = None,
    isa: str = "best",
    activations: Activations | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    progress: Progress | None = None,
) -> Evaluation[Scores]:
    """How well a model with a classifier labels the texts of a labelled TSV, or predicts their numbers."""
    labelled = read_labelled(data)
    classifier = Classifier.from_pretrained(folder, threads=threads, isa=isa, activations=activations)
    count = len(labelled.texts)
    found = timed(classifier.logits(labelled.texts, batch_size), "classifying", count, progress)
    metrics = scores_of(np.stack(found.answers), labelled, classifier, str(data))
    ids, _ = classifier.tokenizer.encode(labelled.texts)
    return found.document("classification", metrics, sum(map(len, ids)), classifier.engine, folder)


def scores_of(logits: np.ndarray, labelled: LabelledText, classifier: Classifier, where: str) -> Scores:
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
) -> Evaluation[Scores]:
    """How the cosine of two sentences' vectors goes with the score that people gave the pair."""
    labelled = read_labelled(data)
    if len(labelled.texts[0]) != 2:
        raise UsageError(f"{data}: has one text a line; for similarity there should be two")
    encoder = Encoder.from_pretrained(folder, threads=threads, isa=isa, activations=activations)
    texts = [sentence for pair in labelled.texts for sentence in pair]
    made = encoder.stream(texts, batch_size, normalize_embeddings=True)
    found = timed(made, "encoding", len(labelled.texts), progress, each=2)
    first, second = np.stack(found.answers[::2]), np.stack(found.answers[1::2])
    cosines = np.einsum("ij,ij->i", first, second, dtype=np.float64)
    actual = numbers(labelled.labels, str(data))
    metrics = {"pearson": pearson(cosines, actual), "spearman": spearman(cosines, actual)}
    ids, _ = encoder.tokenizer.encode([(text,) for text in texts])
    return found.document("sts", metrics, sum(map(len, ids)), encoder.engine, folder, each=2)
