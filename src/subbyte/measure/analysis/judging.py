"""How far an encoder's answers are from those of the float32 model: vectors, labels, or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from subbyte.compress.calibration.encoders import BATCH, Batch
from subbyte.errors import UsageError
from subbyte.measure.analysis.document import Change, Quality, short
from subbyte.measure.analysis.noise import Statistic, figures, share_noise, standard_error
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
SHARES = {"agreement", "accuracy"}  # metrics that count texts

Task = Literal["vectors", "classification", "regression"]
DISTANCES: dict[str, str] = {
    "vectors": "1 - cosine with the float32 model's vector, the mean over texts",
    "classification": "Kullback-Leibler divergence from the float32 model's probabilities in nats, the mean over texts",
    "regression": "mean squared difference from the float32 model's numbers, as a share of their variance",
    "translation": "nats a token that the float32 model's own translations become less likely by",
}


class Judge:
    """Compares models of one shape with a float32 one on some texts; the same ids for all of them."""

    def __init__(self, model: Model, tokenizer: EncoderTokenizer, texts: Texts, threads: int | None) -> None:
        """Raises UsageError where the labels are not those of the model."""
        s = encoder_of(model.config)
        self.task: Task = "regression" if s.regression else "classification" if s.labels else "vectors"
        self.threads = threads
        if s.several:
            raise UsageError(f"{model.folder}: has several labels at once; their answers are not compared here")
        self.sentence = model.sentence if model.sentence and model.sentence.pooling else SentenceVectors()
        self.pairs = len(texts.texts[0]) == 2
        self.batches = batches(tokenizer, texts.texts, self.task)
        self.wanted: list[float] | None = None
        if texts.labels and self.task == "classification":
            found = class_numbers(texts.labels, label_names(model), texts.path)
            self.wanted = [float(one) for one in found]
        elif texts.labels and (self.task == "regression" or self.pairs):
            self.wanted = numbers(texts.labels, texts.path)
        self.exact = self._answers(model)

    def __call__(self, model: Model) -> Quality:
        """Of a model whose answers may differ."""
        found = self._answers(model)
        by_text, statistics = self._compared(found)
        metrics, noise = figures(statistics, len(by_text))
        for name in SHARES & metrics.keys():
            noise[name] = max(noise[name], share_noise(metrics[name], len(by_text)))
        noise["distance"] = standard_error(lambda of: float(by_text[of].mean()), len(by_text))
        scores, exact = self._scores(found), self._scores(self.exact)
        changes: dict[str, Change] = {}
        for name in scores:
            change, error = figures({name: _gain(scores[name], exact[name])}, len(by_text))
            changes[name] = {"by": short(change[name]), "noise": short(error[name])}
        return {
            "distance": short(max(float(by_text.mean()), 0.0)),
            "metrics": _short(metrics),
            "noise": _short(noise),
            "changes": changes,
            "by_text": [short(one) for one in by_text],
        }

    def _answers(self, model: Model) -> Array:
        """Vectors of length 1, float64 [sentences, width], or logits [texts, labels]."""
        engine = EncoderEngine(model, threads=self.threads)
        if self.task != "vectors":
            return np.concatenate([engine.logits(*batch) for batch in self.batches]).astype(np.float64)
        tensors = stage_tensors(model)
        x = np.concatenate([text_vectors(engine, *batch, self.sentence, tensors) for batch in self.batches])
        x = x.astype(np.float64)
        return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))

    def _compared(self, found: Array) -> tuple[Array, dict[str, Statistic]]:
        """The distance of each text; and the figures, each a function of the numbers of some texts."""
        statistics: dict[str, Statistic]
        if self.task == "vectors":
            sentences = 1 - np.sum(found * self.exact, axis=1)
            sentences[abs(sentences) < ROUNDED] = 0  # of equal vectors it is not exactly 0
            distances = sentences.reshape(-1, 2).mean(1) if self.pairs else sentences
            statistics = {"cosine": lambda of: float(1 - distances[of].mean())}
        elif self.task == "classification":
            p, q = _log_softmax(self.exact), _log_softmax(found)
            distances, same = np.sum(np.exp(p) * (p - q), axis=1), found.argmax(1) == self.exact.argmax(1)
            moved = np.abs(np.exp(p) - np.exp(q)).sum(1) / 2
            statistics = {"moved": lambda of: float(moved[of].mean()), "agreement": lambda of: float(same[of].mean())}
        else:
            x, y = found[:, 0], self.exact[:, 0]
            distances = (x - y) ** 2 / max(float(y.var()), 1e-12)
            off = np.abs(x - y) / max(float(y.std()), 1e-6)
            statistics = {"off": lambda of: float(off[of].mean()), "correlation": lambda of: pearson(x[of], y[of])}
        return distances, statistics | self._scores(found)

    def _scores(self, answers: Array) -> dict[str, Statistic]:
        """Those by labels; none without any."""
        if self.wanted is None:
            return {}
        wanted = np.array(self.wanted)
        if self.task == "classification":
            hits = answers.argmax(1) == wanted
            return {"accuracy": lambda of: float(hits[of].mean())}
        x = np.sum(answers[::2] * answers[1::2], axis=1) if self.task == "vectors" else answers[:, 0]
        rank: dict[str, Statistic] = {"spearman": lambda of: spearman(x[of], wanted[of])}
        return rank if self.task == "vectors" else {"pearson": lambda of: pearson(x[of], wanted[of])} | rank


def batches(tokenizer: EncoderTokenizer, texts: list[tuple[str, ...]], task: Task) -> list[Batch]:
    """Ids and types, some texts at a time; the two of a pair by themselves where a vector is made of each."""
    if task == "vectors":
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


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def _gain(score: Statistic, of_float32: Statistic) -> Statistic:
    return lambda of: score(of) - of_float32(of)


def _short(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: short(number) for name, number in numbers.items()}
