"""How far an encoder's answers are from those of the float32 model: vectors, labels, or numbers."""

from __future__ import annotations

from typing import Literal

import numpy as np

from subbyte.analysis.document import Quality, short
from subbyte.analysis.texts import Texts
from subbyte.arrays import Array
from subbyte.encoder_calibration import BATCH, Batch
from subbyte.encoder_engine import EncoderEngine
from subbyte.encoder_tokenization import EncoderTokenizer
from subbyte.encoder_vectors import stage_tensors, text_vectors
from subbyte.errors import UsageError
from subbyte.labelled_text import class_numbers, numbers
from subbyte.metrics import accuracy, pearson, spearman
from subbyte.model import Model, SentenceVectors
from subbyte.models import bert

TOKENS = 1024  # of a batch at the most, if it is not one text: all points of it are in memory at once

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
        s = bert.settings(model.config)
        self.task: Task = "regression" if s.regression else "classification" if s.labels else "vectors"
        self.threads = threads
        if s.several:
            raise UsageError(f"{model.folder}: has several labels at once; their answers are not compared here")
        self.sentence = model.sentence if model.sentence and model.sentence.pooling else SentenceVectors()
        self.pairs = len(texts.texts[0]) == 2
        self.batches = batches(tokenizer, texts.texts, self.task)
        self.wanted: list[float] | None = None
        if texts.labels and self.task == "classification":
            found = class_numbers(texts.labels, bert.label_names(model.config), texts.path)
            self.wanted = [float(one) for one in found]
        elif texts.labels and (self.task == "regression" or self.pairs):
            self.wanted = numbers(texts.labels, texts.path)
        self.exact = self._answers(model)

    def __call__(self, model: Model) -> Quality:
        """Of a model whose answers may differ."""
        found = self._answers(model)
        distance, metrics = getattr(self, f"_{self.task}")(found)
        return {"distance": short(max(distance, 0.0)), "metrics": {key: short(value) for key, value in metrics.items()}}

    def _answers(self, model: Model) -> Array:
        """Vectors of length 1, float64 [sentences, width], or logits [texts, labels]."""
        engine = EncoderEngine(model, threads=self.threads)
        if self.task != "vectors":
            return np.concatenate([engine.logits(*batch) for batch in self.batches]).astype(np.float64)
        tensors = stage_tensors(model)
        x = np.concatenate([text_vectors(engine, *batch, self.sentence, tensors) for batch in self.batches])
        x = x.astype(np.float64)
        return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))

    def _vectors(self, found: Array) -> tuple[float, dict[str, float]]:
        cosine = float(np.mean(np.sum(found * self.exact, axis=1)))
        metrics = {"cosine": cosine}
        if self.wanted is not None:
            metrics["spearman"] = spearman(np.sum(found[::2] * found[1::2], axis=1), self.wanted)
        return 1 - cosine, metrics

    def _classification(self, found: Array) -> tuple[float, dict[str, float]]:
        p, q = _log_softmax(self.exact), _log_softmax(found)
        metrics = {"agreement": accuracy(found.argmax(1), self.exact.argmax(1))}
        if self.wanted is not None:
            metrics["accuracy"] = accuracy(found.argmax(1), self.wanted)
        return float(np.mean(np.sum(np.exp(p) * (p - q), axis=1))), metrics

    def _regression(self, found: Array) -> tuple[float, dict[str, float]]:
        x, y = found[:, 0], self.exact[:, 0]
        metrics = {"correlation": pearson(x, y)}
        if self.wanted is not None:
            metrics |= {"pearson": pearson(x, self.wanted), "spearman": spearman(x, self.wanted)}
        return float(np.mean((x - y) ** 2) / max(float(y.var()), 1e-12)), metrics


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
