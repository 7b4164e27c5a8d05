"""Scores against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from subbyte import metrics

YES, NO = 1, 0
# 3 hits of class 1, 1 false alarm, 2 misses, 4 right rejections
PREDICTED = [YES, YES, YES, YES, NO, NO, NO, NO, NO, NO]
ACTUAL = [YES, YES, YES, NO, YES, YES, NO, NO, NO, NO]


@pytest.mark.parametrize(
    "name, predicted, actual, expected",
    [
        ("accuracy", PREDICTED, ACTUAL, 0.7),
        ("f1", PREDICTED, ACTUAL, 2 * 3 / (4 + 5)),
        ("matthews", PREDICTED, ACTUAL, (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6)),
        ("matthews", [0, 1, 2], [0, 1, 2], 1.0),
        ("matthews", [0, 1, 2, 2], [0, 1, 1, 2], (3 * 4 - 5) / 10),  # sum p = 1 1 2, sum a = 1 2 1
        ("matthews", [1, 1, 1], [0, 1, 0], 0.0),
        ("f1", [0, 0], [0, 0], 0.0),
        ("pearson", [1, 2, 3], [2, 4, 6], 1.0),
        ("pearson", [1, 2, 3], [1, 3, 2], 0.5),
        ("pearson", [1, 2, 3], [5, 5, 5], 0.0),
        ("spearman", [1, 10, 100], [-3, -2, 7], 1.0),
        ("spearman", [1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ("spearman", [1, 2, 2, 3], [1, 2, 3, 4], 4.5 / math.sqrt(4.5 * 5)),  # ranks 1 2.5 2.5 4
        ("correlation", [1, 10, 100], [1, 2, 3], (1 + 99 / math.sqrt(2 * 5994)) / 2),
    ],
)
def test_values_worked_out_by_hand(name: str, predicted: list[float], actual: list[float], expected: float) -> None:
    assert metrics.METRICS[name](predicted, actual) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", metrics.METRICS)
@pytest.mark.parametrize("predicted, actual", [([], []), ([1, 0], [1]), ([[1]], [[1]])])
def test_rows_that_do_not_fit_are_refused(name: str, predicted: list[float], actual: list[float]) -> None:
    with pytest.raises(ValueError, match="as many predictions as labels"):
        metrics.METRICS[name](predicted, actual)
