"""Schemes as plain data, the levels and scales of each family where they are known, and what is refused."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest

from subbyte.errors import SchemeError
from subbyte.numbers.arrays import namespace
from subbyte.numbers.granularity import PerGroup, PerTensor, RowClusters
from subbyte.numbers.schemes import BinaryCoding, Clustered, Logarithmic, Normal, Params, Uniform, from_plain, to_plain
from subbyte.numbers.schemes.fitting import Sorted


def test_plain_data_of_each_family() -> None:
    assert from_plain({"family": "uniform", "bits": 4, "granularity": {"group": 32}}) == Uniform(4, PerGroup(32))
    assert from_plain({"family": "logarithmic", "bits": 3, "granularity": "tensor"}) == Logarithmic(3, PerTensor())
    assert from_plain({"family": "normal", "bits": 6, "scale_starts": 2}) == Normal(6, scale_starts=2)
    clustered = {"family": "binary_coding", "bits": 4, "clusters": {"count": 4, "ratio": 2}}
    assert from_plain(clustered) == Clustered(BinaryCoding(4), RowClusters(4, 2))
    assert to_plain(from_plain(clustered)) == {
        "family": "binary_coding",
        "bits": 4,
        "granularity": "row",
        "solver": "alternating",
        "rounds": 15,
        "clusters": {"count": 4, "ratio": 2},
    }


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"family": "unifrom", "bits": 4}, "did you mean 'uniform'?"),
        ({"bits": 4}, "family: None is none of uniform, logarithmic, normal, binary_coding"),
        ({"family": "uniform"}, "uniform: bits is missing"),
        ({"family": "uniform", "bit": 4}, "key of uniform: 'bit' is none of .*; did you mean 'bits'?"),
        ({"family": "uniform", "bits": 9}, "bits: expected 1..8, got 9"),
        ({"family": "uniform", "bits": "4"}, "bits: expected 1..8, got '4'"),
        ({"family": "uniform", "bits": True}, "bits: expected 1..8, got True"),
        ({"family": "uniform", "bits": 8, "mode": "midrise"}, "bits: expected 1..7, got 8"),
        ({"family": "uniform", "bits": 4, "mode": "afine"}, "mode: 'afine' is none of .*; did you mean 'affine'?"),
        ({"family": "uniform", "bits": 4, "range": []}, r"range: '\[\]' is none of|range: \[\] is none of"),
        ({"family": "logarithmic", "bits": 5}, "bits: expected 1..4, got 5"),
        ({"family": "normal", "bits": 7}, "bits: expected 1..6, got 7"),
        ({"family": "logarithmic", "bits": 4, "scale_starts": 0}, "scale_starts: expected 1..100, got 0"),
        ({"family": "binary_coding", "bits": 4, "solver": "greedily"}, "did you mean 'greedy'?"),
        ({"family": "binary_coding", "bits": 2, "clusters": {"count": 3, "ratio": 1}}, "3 clusters need as many bits"),
        ({"family": "binary_coding", "bits": 2, "granularity": "column"}, "granularity: expected"),
    ],
)
def test_plain_data_that_is_no_scheme(plain: dict[str, object], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        from_plain(plain)


def test_levels() -> None:
    assert Uniform(1).levels == (-1, 1)
    assert Uniform(3).levels == (-3, -2, -1, 0, 1, 2, 3, 3)
    assert Uniform(3, mode="midrise").levels == (-7, -5, -3, -1, 1, 3, 5, 7)
    assert Uniform(3, mode="affine").levels == (-4, -3, -2, -1, 0, 1, 2, 3)
    assert Uniform(7, mode="midrise").levels[-1] == 127
    assert Logarithmic(1).levels == (127, -127)
    assert Logarithmic(4).levels == (127, 64, 32, 16, 8, 4, 2, 1, -127, -64, -32, -16, -8, -4, -2, -1)


@pytest.mark.parametrize("bits", range(1, 7))
def test_normal_levels_are_those_of_lloyd_and_max(bits: int) -> None:
    levels = np.linspace(0.05, 3, 2 ** (bits - 1))
    for _ in range(20_000):  # each border halfway between two levels, each level the mean of what is nearest to it
        borders = np.array([0, *(levels[1:] + levels[:-1]) / 2, 40])
        probability = np.diff([math.erf(x / math.sqrt(2)) for x in borders])
        density = np.exp(-borders * borders / 2) * math.sqrt(2 / math.pi)
        before, levels = levels, -np.diff(density) / probability
        if abs(before - levels).max() < 1e-10:
            break
    np.testing.assert_allclose(Normal(bits).magnitudes[::-1], levels / levels[-1] * 127, atol=0.501)
    assert Normal(bits).levels == (*Normal(bits).magnitudes, *(-m for m in Normal(bits).magnitudes))


def test_min_max_reaches_the_ends() -> None:
    w = np.array([[[-1.0, 0.25, 3.0]]], np.float32)
    symmetric = Uniform(4, range="minmax").fit(w)
    assert symmetric["scale"] == np.float16(3 / 7)
    affine = Uniform(4, mode="affine", range="minmax").fit(w)
    assert affine["scale"] == np.float16(4 / 15)
    assert affine["zero"] == -4  # -8 + 1 / (4 / 15), rounded


def squared_error(scheme: Uniform, w: np.ndarray, params: Params) -> float:
    return float(np.square(scheme.decode(scheme.encode(w, params), params) - w).sum())


@pytest.mark.parametrize(("mode", "bits"), [("symmetric", 3), ("midrise", 4), ("affine", 3)])
@pytest.mark.parametrize("distribution", ["standard_normal", "laplace", "exponential"])
def test_the_search_finds_the_best_range(
    mode: Literal["symmetric", "midrise", "affine"], bits: int, distribution: str
) -> None:
    w = getattr(np.random.default_rng(7), distribution)(size=(1, 1, 256)).astype(np.float32)
    scheme = Uniform(bits, mode=mode)
    found = scheme.fit(w)
    zeros = range(-(2 ** (bits - 1)), 2 ** (bits - 1)) if mode == "affine" else [None]
    errors = [
        squared_error(scheme, w, {"scale": scale, **({} if zero is None else {"zero": np.full((1, 1), zero, np.int8)})})
        for scale in (found["scale"] * np.linspace(0.3, 3, 500)[:, None, None]).astype(np.float16)
        for zero in zeros
    ]
    assert squared_error(scheme, w, found) <= 1.005 * min(errors)


@pytest.mark.parametrize("bits", range(2, 9))
def test_affine_has_an_exact_zero_even_where_no_weight_is_near_it(bits: int) -> None:
    scheme = Uniform(bits, mode="affine")
    params = scheme.fit(np.full((1, 1, 16), 5, np.float32) + np.arange(16, dtype=np.float32) / 16)
    zero = np.zeros((1, 1, 1), np.float32)
    assert scheme.decode(scheme.encode(zero, params), params) == 0


@pytest.mark.parametrize("bits", range(2, 8))
def test_symmetric_does_not_use_the_last_code(bits: int) -> None:
    w = np.random.default_rng(0).standard_normal((4, 1, 4096)).astype(np.float32)
    scheme = Uniform(bits)
    assert scheme.encode(w, scheme.fit(w)).max() == 2**bits - 2


@pytest.mark.parametrize("scheme", [Uniform(1), Uniform(4, mode="affine"), Logarithmic(4), Normal(4), BinaryCoding(2)])
def test_a_scale_too_large_for_float16_is_refused(scheme: Uniform | Logarithmic | Normal | BinaryCoding) -> None:
    w = np.array([[[1e8, -1e8, 5e7]]], np.float32)
    with pytest.raises(SchemeError, match=r"a scale of .* does not fit float16 \(at most 65504\)"):
        scheme.fit(w)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 31, 32, 33])
def test_sums_of_sorted_weights(size: int) -> None:
    w = np.random.default_rng(size).integers(-4, 5, (3, 2, size)).astype(np.float32)
    thresholds = np.sort(np.random.default_rng(size).integers(-6, 7, (3, 2, 5)) / 2.0, axis=-1)
    counts, sums = Sorted.of(w).bins(thresholds)
    for row, group in np.ndindex(3, 2):
        nearest = np.searchsorted(thresholds[row, group], w[row, group], side="right")  # on a border: above
        np.testing.assert_array_equal(counts[row, group], np.bincount(nearest, minlength=6))
        np.testing.assert_array_equal(sums[row, group], np.bincount(nearest, w[row, group], minlength=6))


def test_binary_coding_finds_sums_it_can_say_exactly() -> None:
    alphas = np.array([64, 32, 16, 8])
    w = np.array([[sum(a if code >> i & 1 else -a for i, a in enumerate(alphas)) for code in range(16)]], np.float32)
    scheme = BinaryCoding(4)
    params = scheme.fit(w[None] / 128)
    np.testing.assert_allclose(scheme.decode(scheme.encode(w[None] / 128, params), params), w[None] / 128, rtol=1e-3)


def test_only_numpy_and_torch_are_arrays() -> None:
    with pytest.raises(TypeError, match="expected a numpy array or a torch tensor, got list"):
        namespace([1.0])  # type: ignore[arg-type]
