"""What an encoder answers, vectors, labels or a number, and how far an answer is from that of the float32 model."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from subbyte.compress.calibration.encoders import BATCH, Batch
from subbyte.errors import UsageError
from subbyte.measure.analysis.noise import Statistic
from subbyte.measure.analysis.texts import Texts
from subbyte.metrics import pearson, spearman
from subbyte.models.families import encoder_of
from subbyte.models.kinds import label_names
from subbyte.models.model import Model, SentenceVectors
from subbyte.numbers.arrays import Array
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.vectors import stage_tensors, text_vectors
from subbyte.text.encoder_tokenizer import EncoderTokenizer
from subbyte.text.labelled import class_numbers, numbers

TOKENS = 1024  # of a batch at the most, if it is not one text: all points of it are in memory at once
ROUNDED = 1e-12  # what sums of products are off by


class Answers(Protocol):
    """A kind of answer. Those of some texts are one array, float64, a row a sentence or a text.

    apart  whether the two of a pair are read by themselves
    """

    name: str
    apart: bool

    def wanted(self, model: Model, texts: Texts) -> Array | None:
        """What the labels say, a number a text; None where there are none to compare with. Raises UsageError."""

    def given(self, engine: EncoderEngine, model: Model, batches: Sequence[Batch]) -> Array:
        """What a model answers."""

    def compared(self, found: Array, exact: Array) -> tuple[Array, Mapping[str, Statistic]]:
        """The distance of each text; and figures, each a function of the numbers of some texts."""

    def scores(self, found: Array, wanted: Array) -> Mapping[str, Statistic]:
        """Figures by labels."""


class Vectors:
    """One of length 1 of each sentence; of a pair two, by themselves, and their cosine is compared with its label."""

    name = "vectors"
    apart = True

    def __init__(self, model: Model, pairs: bool) -> None:
        self.sentence = model.sentence if model.sentence and model.sentence.pooling else SentenceVectors()
        self.pairs = pairs

    def wanted(self, model: Model, texts: Texts) -> Array | None:
        """How alike the two of each pair are."""
        return np.array(numbers(texts.labels, texts.path)) if texts.labels and self.pairs else None

    def given(self, engine: EncoderEngine, model: Model, batches: Sequence[Batch]) -> Array:
        """[sentences, width]."""
        tensors = stage_tensors(model)
        x = np.concatenate([text_vectors(engine, *batch, self.sentence, tensors) for batch in batches])
        x = x.astype(np.float64)
        return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))

    def compared(self, found: Array, exact: Array) -> tuple[Array, Mapping[str, Statistic]]:
        """1 - cosine."""
        sentences = 1 - np.sum(found * exact, axis=1)
        sentences[abs(sentences) < ROUNDED] = 0  # of equal vectors it is not exactly 0
        distances = sentences.reshape(-1, 2).mean(1) if self.pairs else sentences
        return distances, {"cosine": lambda of: float(1 - distances[of].mean())}

    def scores(self, found: Array, wanted: Array) -> Mapping[str, Statistic]:
        """Whether the cosines of pairs rise with their labels."""
        x = np.sum(found[::2] * found[1::2], axis=1)
        return {"spearman": lambda of: spearman(x[of], wanted[of])}


class Labels:
    """The logits of a classifier."""

    name = "classification"
    apart = False

    def wanted(self, model: Model, texts: Texts) -> Array | None:
        """The number of each text's class."""
        names = label_names(model)
        return np.array(class_numbers(texts.labels, names, texts.path)) if texts.labels else None

    def given(self, engine: EncoderEngine, model: Model, batches: Sequence[Batch]) -> Array:
        """[texts, labels]."""
        return _logits(engine, batches)

    def compared(self, found: Array, exact: Array) -> tuple[Array, Mapping[str, Statistic]]:
        """Kullback-Leibler divergence."""
        p, q = _log_softmax(exact), _log_softmax(found)
        same = found.argmax(1) == exact.argmax(1)
        moved = np.abs(np.exp(p) - np.exp(q)).sum(1) / 2
        return np.sum(np.exp(p) * (p - q), axis=1), {
            "moved": lambda of: float(moved[of].mean()),
            "agreement": lambda of: float(same[of].mean()),
        }

    def scores(self, found: Array, wanted: Array) -> Mapping[str, Statistic]:
        """Whether the likeliest class is the one of the text."""
        hits = found.argmax(1) == wanted
        return {"accuracy": lambda of: float(hits[of].mean())}


class Numbers:
    """The number that a regression predicts."""

    name = "regression"
    apart = False

    def wanted(self, model: Model, texts: Texts) -> Array | None:
        """The number of each text."""
        return np.array(numbers(texts.labels, texts.path)) if texts.labels else None

    def given(self, engine: EncoderEngine, model: Model, batches: Sequence[Batch]) -> Array:
        """[texts, 1]."""
        return _logits(engine, batches)

    def compared(self, found: Array, exact: Array) -> tuple[Array, Mapping[str, Statistic]]:
        """Squared difference as a share of the variance."""
        x, y = found[:, 0], exact[:, 0]
        off = np.abs(x - y) / max(float(y.std()), 1e-6)
        return (x - y) ** 2 / max(float(y.var()), 1e-12), {
            "off": lambda of: float(off[of].mean()),
            "correlation": lambda of: pearson(x[of], y[of]),
        }

    def scores(self, found: Array, wanted: Array) -> Mapping[str, Statistic]:
        """Whether the numbers go with those of the texts."""
        x = found[:, 0]
        return {
            "pearson": lambda of: pearson(x[of], wanted[of]),
            "spearman": lambda of: spearman(x[of], wanted[of]),
        }


def answers_of(model: Model, texts: Texts) -> Answers:
    """The kind of a model's answers. Raises UsageError for those that are not compared."""
    settings = encoder_of(model.config)
    if settings.several:
        raise UsageError(f"{model.folder}: has several labels at once; their answers are not compared here")
    if settings.regression:
        return Numbers()
    return Labels() if settings.labels else Vectors(model, pairs=len(texts.texts[0]) == 2)


def batches(tokenizer: EncoderTokenizer, texts: Sequence[tuple[str, ...]], apart: bool) -> list[Batch]:
    """Ids and types, some texts at a time; the two of a pair by themselves where they are read `apart`."""
    if apart:
        texts = [(sentence,) for text in texts for sentence in text]
    made: list[Batch] = []
    room = 0
    for ids, types in zip(*tokenizer.encode(texts), strict=True):
        if len(ids) > room or len(made[-1][0]) == BATCH:
            made.append(([], []))
            room = TOKENS
        made[-1][0].append(ids)
        made[-1][1].append(types)
        room -= len(ids)
    return made


def _logits(engine: EncoderEngine, batches: Sequence[Batch]) -> Array:
    return np.concatenate([engine.logits(*batch) for batch in batches]).astype(np.float64)


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))
