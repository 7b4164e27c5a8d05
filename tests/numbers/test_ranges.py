"""Estimators of ranges: against values by hand, brute force, and the trap each of them has."""

from __future__ import annotations

import numpy as np
import pytest

from subbyte.errors import SchemeError
from subbyte.numbers.grids import Grid, fake_quantize, from_range
from subbyte.numbers.ranges import ESTIMATORS, CrossEntropy, Estimator, Percentile, SquaredError

BATCHES = [np.array(rows, np.float32) for rows in ([[-1, 2, 0, 4]], [[-3, 1, 1, 2], [0, 0, 5, 6]], [[0, 1, -2, 1]])]

PARTS = np.geomspace(1, 0.02, 40)


def one(value: float) -> np.ndarray:
    return np.array([value])


def observed(estimator: Estimator, *batches: np.ndarray) -> Estimator:
    for batch in batches:
        estimator.observe(batch)
    return estimator


def squared_error(x: np.ndarray, grid: Grid) -> float:
    return float(np.square(fake_quantize(x, grid) - x, dtype=np.float64).mean())


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("current", [0, -2], [1, 1]),
        ("all", [-3, -2], [2, 6]),
        ("running", [0.9 * (0.9 * -1 + 0.1 * -3), 0.1 * -2 + 0.9 * 0.1], [0.9 * (1.8 + 0.1) + 0.1, 0.9 * 4.2 + 0.1]),
    ],
)
def test_ranges_of_two_groups_by_hand(name: str, low: list[float], high: list[float]) -> None:
    found = observed(ESTIMATORS[name](8, groups=2), *BATCHES).range()
    np.testing.assert_allclose(found, (low, high), atol=1e-7)


@pytest.mark.parametrize("name", ["current", "all", "running", "percentile", "mse"])
@pytest.mark.parametrize("groups", [1, 6])
def test_a_group_is_estimated_by_itself(name: str, groups: int) -> None:
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(20, 6)).astype(np.float32) * [1, 9, 1, 2, 5, 0.1] for _ in range(3)]
    together = observed(ESTIMATORS[name](4, groups), *batches).range()
    for i in range(groups):
        alone = observed(ESTIMATORS[name](4), *(np.split(batch, groups, axis=1)[i] for batch in batches)).range()
        np.testing.assert_allclose([end[i] for end in together], [end[0] for end in alone], rtol=1e-2)


def test_percentiles_are_clipped_on_both_sides_and_averaged() -> None:
    x = np.linspace(-100, 300, 100_001, dtype=np.float32)[:, None]
    low, high = observed(Percentile(8), x, 3 * x).range()
    assert low == pytest.approx(2 * (-100 + 0.04), rel=1e-5) and high == pytest.approx(2 * (300 - 0.04), rel=1e-5)


class TestSquaredError:
    def test_the_best_scale_of_a_normal_distribution(self) -> None:
        """Of 15 levels; with the 16th of two's complement it would be 0.335."""
        x = np.random.default_rng(0).standard_normal((1000, 500)).astype(np.float32)
        grid = from_range(*observed(SquaredError(4, symmetric=True), *np.split(x, 10)).range(), 4, symmetric=True)
        assert grid.scale[0] == pytest.approx(0.3535, abs=0.003)
        assert squared_error(x, grid) == pytest.approx(0.0129, rel=0.01)

    @pytest.mark.parametrize("symmetric", [True, False])
    @pytest.mark.parametrize("bits", [2, 4, 8])
    @pytest.mark.parametrize("name", ["normal", "gelu", "positive", "outliers", "negative"])
    def test_the_error_is_near_that_of_a_search_of_all_ranges(self, name: str, bits: int, symmetric: bool) -> None:
        x = np.random.default_rng(1).standard_normal((400, 10)).astype(np.float32)
        x = {
            "normal": x, "gelu": x / (1 + np.exp(-1.7 * x)), "positive": np.maximum(x, 0), "negative": -abs(x),
            "outliers": np.where(np.arange(10) == 3, 20 + x, x),
        }[name].astype(np.float32)  # fmt: skip
        ends = [(a, b) for a in PARTS for b in (PARTS[::4] if not symmetric else [a])]
        grids = [from_range(x.min() * one(a), x.max().clip(x.min() * a) * one(b), bits, symmetric) for a, b in ends]
        best = min(squared_error(x, grid) for grid in grids)
        found = from_range(*observed(SquaredError(bits, symmetric=symmetric), x).range(), bits, symmetric)
        assert squared_error(x, found) <= 1.03 * best

    def test_it_is_better_than_the_whole_range_with_outliers_and_no_worse_without(self) -> None:
        x = np.random.default_rng(2).standard_normal((500, 8)).astype(np.float32)
        for part in (x, np.where(np.arange(4000).reshape(x.shape) == 5, 60, x).astype(np.float32)):
            grids = [from_range(*observed(ESTIMATORS[name](8), part).range(), 8) for name in ("mse", "all")]
            errors = [squared_error(part, grid) for grid in grids]
            assert errors[0] <= 1.001 * errors[1]

    def test_losses_are_summed_over_batches_in_any_order(self) -> None:
        rng = np.random.default_rng(3)
        batches = [(rng.standard_normal((50, 4)) * scale).astype(np.float32) for scale in (1e-9, 1, 1e4, 1e-3, 0)]
        ranges = [observed(SquaredError(4, 2), *order).range() for order in (batches, batches[::-1])]
        np.testing.assert_array_equal(*ranges)
        assert ranges[0][1].max() > 1e3  # of all of them, not of the first or the last

    def test_the_loss_is_that_of_the_grid(self) -> None:
        x = np.random.default_rng(4).standard_normal((500, 40)).astype(np.float32)
        for bits in (2, 4, 8, 16):
            estimator = SquaredError(bits)
            estimator.observe(x)
            low, high = np.array([-1.5]), np.array([5.0])
            predicted = estimator._loss(low, high)[0] / x.size
            assert predicted == pytest.approx(squared_error(x, from_range(low, high, bits)), rel=0.02)

    def test_a_constant_is_kept(self) -> None:
        for value in (0.0, 3.0, -2.0):
            x = np.full((9, 2), value, np.float32)
            grid = from_range(*observed(SquaredError(8), x).range(), 8)
            np.testing.assert_allclose(fake_quantize(x, grid), x, rtol=1e-2)


@pytest.mark.parametrize("symmetric", [True, False])
def test_cross_entropy_keeps_probabilities_better_than_the_whole_range(symmetric: bool) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(0, 0.4, (400, 3)).astype(np.float32)
    x[::50, 0] -= 30  # of no consequence to the probabilities

    def divergence(name: str) -> float:
        grid = from_range(*observed(ESTIMATORS[name](4, symmetric=symmetric), *np.split(x, 4)).range(), 4, symmetric)
        p, q = (np.exp(y) / np.exp(y).sum(1, keepdims=True) for y in (x, fake_quantize(x, grid)))
        return float((p * np.log(p / q)).sum(1).mean())

    assert divergence("cross_entropy") < 0.2 * divergence("all")
    assert divergence("cross_entropy") <= divergence("mse")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_cannot_be_estimated_is_refused(name: str) -> None:
    with pytest.raises(SchemeError, match="no values were seen"):
        ESTIMATORS[name](8).range()
    for x, message in [
        (np.array([[1, np.nan, np.inf]]), "2 of 3 values are not finite"),
        (np.zeros((0, 3)), r"shape \[0, 3\]"),
        (np.zeros(3), r"shape \[3\]"),
    ]:
        with pytest.raises(SchemeError, match=message):
            ESTIMATORS[name](8).observe(x)
    if name == "cross_entropy":
        with pytest.raises(SchemeError, match="one group, not 2"):
            CrossEntropy(8, groups=2)
    else:
        with pytest.raises(SchemeError, match="3 groups"):
            ESTIMATORS[name](8, groups=3).observe(np.zeros((1, 4)))
