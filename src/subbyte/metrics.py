"""Scores of predictions against labels, as GLUE uses them. Each is a float; 1 is best.

Where a correlation is not defined, for one of its sides does not vary, it is 0: nothing is predicted.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike


def accuracy(predicted: ArrayLike, actual: ArrayLike) -> float:
    """The share of equal class numbers [n]."""
    p, a = _both(predicted, actual)
    return float(np.mean(p == a))


def f1(predicted: ArrayLike, actual: ArrayLike) -> float:
    """The harmonic mean of precision and recall of class 1 [n]; 0 where it is neither predicted nor there."""
    p, a = _both(predicted, actual)
    hits = np.count_nonzero((p == 1) & (a == 1))
    named = np.count_nonzero(p == 1) + np.count_nonzero(a == 1)
    return float(2 * hits / named) if named else 0.0


def matthews(predicted: ArrayLike, actual: ArrayLike) -> float:
    """The correlation of class numbers [n], of two classes or more (Gorodkin 2004)."""
    p, a = _both(predicted, actual)
    classes = np.union1d(p, a)
    is_p, is_a = (np.equal.outer(x, classes).astype(np.float64) for x in (p, a))
    is_p, is_a = is_p - is_p.mean(0), is_a - is_a.mean(0)
    return _ratio(float((is_p * is_a).sum()), float((is_p**2).sum()), float((is_a**2).sum()))


def pearson(predicted: ArrayLike, actual: ArrayLike) -> float:
    """The linear correlation of numbers [n]."""
    p, a = (x - x.mean() for x in _both(predicted, actual))
    return _ratio(float(p @ a), float(p @ p), float(a @ a))


def spearman(predicted: ArrayLike, actual: ArrayLike) -> float:
    """The linear correlation of ranks; numbers that are equal share the mean of their ranks."""
    p, a = _both(predicted, actual)
    return pearson(_ranks(p), _ranks(a))


def correlation(predicted: ArrayLike, actual: ArrayLike) -> float:
    """The mean of Pearson's and Spearman's, as GLUE reports STS-B."""
    return (pearson(predicted, actual) + spearman(predicted, actual)) / 2


METRICS: Mapping[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "accuracy": accuracy, "f1": f1, "matthews": matthews,
    "pearson": pearson, "spearman": spearman, "correlation": correlation,
}  # fmt: skip
OF_NUMBERS = ("pearson", "spearman", "correlation")  # the others are of classes


def _both(predicted: ArrayLike, actual: ArrayLike) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    p, a = np.asarray(predicted, np.float64), np.asarray(actual, np.float64)
    if p.ndim != 1 or p.shape != a.shape or not p.size:
        raise ValueError(f"expected as many predictions as labels, in one row; found shapes {p.shape} and {a.shape}")
    return p, a


def _ratio(together: float, one: float, other: float) -> float:
    """Covariance over the root of both variances."""
    return together / math.sqrt(one) / math.sqrt(other) if one > 0 and other > 0 else 0.0


def _ranks(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    _, places, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: np.ndarray[Any, Any] = (last - (counts - 1) / 2)[places]
    return means


def chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """chrF of sacrebleu, 0..100, one reference each."""
    from sacrebleu.metrics.chrf import CHRF  # takes long to import, and is only needed here

    return float(CHRF().corpus_score(translations, [references]).score)


class TranslationMetrics(TypedDict):
    """Scores of sacrebleu, 0..100; the signature says how BLEU was computed."""

    bleu: float
    bleu_signature: str
    chrf: float


def score(translations: Sequence[str], references: Sequence[str]) -> TranslationMetrics:
    """BLEU and chrF of translations, one reference each."""
    from sacrebleu.metrics.bleu import BLEU  # half of the time of importing this module, and only needed here

    bleu = BLEU()
    return {
        "bleu": bleu.corpus_score(translations, [references]).score,
        "bleu_signature": str(bleu.get_signature()),
        "chrf": chrf(translations, references),
    }
