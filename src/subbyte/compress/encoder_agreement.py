"""Whether a compressed encoder still says what the model it was made from says: both read the same texts.

What counts is what an encoder is used for: the cosine of the vectors that its folder makes, or, with a head, how much
of the probability has moved to other labels; of a predicted number, how far it is off.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np

from subbyte.models.families import encoder_of
from subbyte.models.model import Model
from subbyte.numbers.arrays import Array
from subbyte.run.classifier import Classifier
from subbyte.run.encoder import Encoder

LIMITS = {"vectors": 0.03, "labels": 0.03, "number": 0.1}  # docs/agreement.md has what they tell apart
# up to which a preset may be chosen for somebody who did not ask for it: away from the limit, for texts differ
KEPT = {measured: 0.7 * limit for measured, limit in LIMITS.items()}

Texts = Sequence[tuple[str, ...]]


class EncoderAgreement(TypedDict):
    """How far a compressed encoder agrees with its source on some texts.

    measured  what the distance is of, in the mean over the texts: vectors (1 - cosine), labels (the share of
              probability that moved to other labels) or number (the difference, in standard deviations of what the
              source predicts)
    noise     standard error of the distance over the texts
    limit     the distance above which the two disagree
    cosine    of the vectors, in the mean; of models with a head of the mean-pooled ones
    labels    share of texts that get the same likeliest label, or the same ones of several; None without labels
    """

    measured: str
    texts: int
    distance: float
    noise: float
    limit: float
    cosine: float
    labels: float | None


class Answers(NamedTuple):
    """vectors float32 [texts, width]; scores float32 [texts, labels], or None without a head."""

    vectors: Array
    scores: Array | None
    activation: str  # that made the scores (encoder.Classifier)


def answers(model: Model, texts: Texts) -> Answers:
    """What an encoder says of these texts."""
    if not encoder_of(model.config).labels:
        return Answers(Encoder.from_pretrained(model).encode([" ".join(text) for text in texts]), None, "none")
    classifier = Classifier.from_pretrained(model)
    found = [[label["score"] for label in labels] for labels in classifier.scores(texts)]
    ids = classifier.tokenizer.encode(texts)
    return Answers(classifier.engine.pooled(*ids), np.array(found, np.float32), classifier.activation)


def agreement(source: Answers, result: Answers) -> EncoderAgreement:
    """How far the answers of two encoders to the same texts agree."""
    cosines = _cosines(source, result)
    labels = None
    if source.scores is None or result.scores is None:
        measured, distances = "vectors", 1 - cosines
    else:
        moved = np.abs(source.scores - result.scores)
        if source.activation == "none":
            measured, distances = "number", moved.max(1) / max(float(source.scores.std()), 1e-6)
        elif source.activation == "sigmoid":
            measured, distances = "labels", moved.max(1)
            labels = round(float(np.mean(((source.scores > 0.5) == (result.scores > 0.5)).all(1))), 4)
        else:
            measured, distances = "labels", moved.sum(1) / 2
            labels = round(float(np.mean(source.scores.argmax(1) == result.scores.argmax(1))), 4)
    return {
        "measured": measured,
        "texts": len(cosines),
        "distance": round(float(distances.mean()), 5),
        "noise": round(float(distances.std() / np.sqrt(len(distances))), 5),
        "limit": LIMITS[measured],
        "cosine": round(float(cosines.mean()), 5),
        "labels": labels,
    }


def _cosines(source: Answers, result: Answers) -> Array:
    """Of the vectors of each text."""
    norms = np.linalg.norm(source.vectors, axis=1) * np.linalg.norm(result.vectors, axis=1)
    dots = np.einsum("ij,ij->i", source.vectors, result.vectors, dtype=np.float64)
    cosines: Array = dots / np.maximum(norms, 1e-12)
    return cosines


def distances(source: Answers, result: Answers) -> Array:
    """float64 [texts]: what grows with the square of a small difference of the answers, for sums of many of them.

    Of vectors 1 - cosine, of labels the Kullback-Leibler divergence, of a number half the squared difference.
    """
    if source.scores is None or result.scores is None:
        return 1 - _cosines(source, result)
    p, q = source.scores.astype(np.float64), result.scores.astype(np.float64)
    if source.activation == "none":
        squares: Array = np.square((p - q) / max(float(p.std()), 1e-6)).sum(1) / 2
        return squares
    least = np.finfo(np.float32).tiny
    bits = p * np.log((p + least) / (q + least))
    if source.activation == "sigmoid":
        bits += (1 - p) * np.log((1 - p + least) / (1 - q + least))
    divergence: Array = bits.sum(1)
    return divergence


def described(found: EncoderAgreement, text: str | None, limit: float) -> str:
    """An agreement for people: what was measured, with its noise and a limit, and on what."""
    distance, noise = found["distance"], found["noise"]
    on = f"on {found['texts']} lines of {text}"
    if found["measured"] == "vectors":
        return f"cosine {1 - distance:.3f} +- {noise:.3f} to the float32 vectors (limit: {1 - limit:g}) {on}"
    if found["measured"] == "number":
        return f"predictions differ by {distance:.3f} +- {noise:.3f} of their spread (limit: {limit:g}) {on}"
    moved = f"{100 * distance:.1f} +- {100 * noise:.1f} % of the probability is on other labels"
    return f"{moved} (limit: {100 * limit:g} %), {100 * (found['labels'] or 0):.0f} % of labels are the same {on}"
