"""The numbers of the two papers that can be computed: errors of the solvers, average bits, sizes.

Chung et al. 2020, "Extremely Low Bit Transformer Quantization for On-Device Neural Machine Translation" (binary codes);
Aji & Heafield 2020, "Compressing Neural Machine Translation Models with 4-bit Precision" (logarithmic).
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from subbyte.numbers.granularity import PerRow, PerTensor, RowClusters
from subbyte.numbers.matrices import dequantize, quantize_matrix
from subbyte.numbers.schemes import BinaryCoding, Logarithmic, Normal, Uniform
from subbyte.numbers.schemes.binary_coding import alternate, greedy, refit, to_integers
from subbyte.numbers.schemes.fitting import Sorted, fit_scale

DISTRIBUTIONS = ("standard_normal", "laplace")


@cache
def rows(distribution: str) -> np.ndarray:
    """[256, 1, 512]"""
    return getattr(np.random.default_rng(0), distribution)(size=(256, 1, 512)).astype(np.float32)


@cache
def tensor(distribution: str) -> np.ndarray:
    """[1, 1, 1e6]"""
    return getattr(np.random.default_rng(1), distribution)(size=(1, 1, 10**6)).astype(np.float32)


def relative_error(w: np.ndarray, values: np.ndarray) -> float:
    """Mean over rows of ||w - values||^2 / ||w||^2."""
    return float((np.square(w - values, dtype=np.float64).sum(-1) / np.square(w, dtype=np.float64).sum(-1)).mean())


def nearest(w: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """The nearest sums of +-alpha, for real alphas [rows, 1, bits]: the definition, at 2**bits times the memory."""
    bits = alphas.shape[-1]
    signs = np.array([[1 if code >> i & 1 else -1 for i in range(bits)] for code in range(2**bits)])
    levels = alphas @ signs.T
    best = abs(w[..., None] - levels[:, :, None, :]).argmin(-1)
    return np.take_along_axis(levels, best, -1)


# Relative error of rows of 512 with 1, 2, 3, 4 planes.
GREEDY = {"standard_normal": (0.363, 0.131, 0.059, 0.033), "laplace": (0.500, 0.229, 0.143, 0.096)}
REFIT = {"standard_normal": (0.363, 0.125, 0.051, 0.025), "laplace": (0.500, 0.209, 0.117, 0.060)}
ALTERNATING = {
    2: {"standard_normal": (0.363, 0.119, 0.046, 0.021), "laplace": (0.500, 0.184, 0.082, 0.052)},
    15: {"standard_normal": (0.363, 0.117, 0.037, 0.0116), "laplace": (0.500, 0.176, 0.055, 0.020)},
}


@pytest.mark.parametrize("bits", range(1, 5))
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
class TestBinaryCoding:
    def test_greedy(self, distribution: str, bits: int) -> None:
        w = rest = rows(distribution)
        alphas = greedy(w, bits)
        for i in range(bits):
            rest = rest - np.where(rest >= 0, 1, -1) * alphas[..., i : i + 1]
        coded_greedily = relative_error(w, w - rest)
        assert coded_greedily == pytest.approx(GREEDY[distribution][bits - 1], rel=0.03)
        assert relative_error(w, nearest(w, alphas)) <= coded_greedily

    def test_refit(self, distribution: str, bits: int) -> None:
        w = value = rows(distribution)
        planes: list[np.ndarray] = []
        for i in range(bits):
            planes.append(np.where(w - value >= 0, 1, -1) if planes else np.where(w >= 0, 1, -1))
            alphas = refit(w, i + 1)
            value = sum(alphas[..., k : k + 1] * plane for k, plane in enumerate(planes))
        coded_as_fitted = relative_error(w, value)
        assert coded_as_fitted == pytest.approx(REFIT[distribution][bits - 1], rel=0.03)
        assert relative_error(w, nearest(w, alphas)) <= coded_as_fitted

    def test_alternating(self, distribution: str, bits: int) -> None:
        w = rows(distribution)
        groups, alphas = Sorted.of(w), greedy(w, bits)
        errors = [relative_error(w, nearest(w, alphas))]
        for _ in range(15):
            alphas = alternate(groups, alphas)
            errors.append(relative_error(w, nearest(w, alphas)))
        assert all(after <= before + 1e-9 for before, after in pairwise(errors))
        for rounds, table in ALTERNATING.items():
            assert errors[rounds] == pytest.approx(table[distribution][bits - 1], rel=0.035)

    @pytest.mark.parametrize("solver", ["greedy", "refit", "alternating"])
    def test_integer_alphas_lose_little(self, distribution: str, bits: int, solver: str) -> None:
        w = rows(distribution)
        scheme = BinaryCoding(bits, solver=solver)
        groups = Sorted.of(w)
        alphas = scheme.solve(groups)
        params = to_integers(groups, alphas)
        real, stored = (
            relative_error(w, nearest(w, alphas)),
            relative_error(w, scheme.decode(scheme.encode(w, params), params)),
        )
        assert stored <= 1.006 * real
        assert 116 <= params["alphas"].sum(-1).min() and params["alphas"].sum(-1).max() <= 127

    def test_ours_is_no_worse_than_the_best_of_the_table(self, distribution: str, bits: int) -> None:
        w = rows(distribution)
        scheme = BinaryCoding(bits)
        params = scheme.fit(w)
        assert (
            relative_error(w, scheme.decode(scheme.encode(w, params), params))
            <= 1.01 * ALTERNATING[15][distribution][bits - 1]
        )


# Relative error of 1e6 values with one scale, by scale steps; 4, 3, 2 and 1 bits, fixed point 4, 3 and 2.
LOGARITHMIC = {
    5: {"standard_normal": (0.0381, 0.063, 0.158, 0.364), "laplace": (0.0384, 0.0815, 0.272, 0.500)},
    50: {"standard_normal": (0.0378, 0.044, 0.158, 0.364), "laplace": (0.0384, 0.066, 0.272, 0.500)},
}
FIXED_POINT = {
    5: {"standard_normal": (0.0297, 0.068, 0.191), "laplace": (0.068, 0.119, 0.279)},
    50: {"standard_normal": (0.0129, 0.047, 0.190), "laplace": (0.028, 0.083, 0.264)},
}


def error_of_steps(w: np.ndarray, magnitudes: tuple[float, ...], steps: int) -> float:
    """Relative error of +-scale * magnitudes, the scale by `steps` of least squares from the maximum."""
    groups = Sorted.of(abs(w))
    start = groups.values[..., -1].astype(np.float64) / magnitudes[0]
    scale = fit_scale(groups, magnitudes, start, steps)
    levels = np.array(magnitudes[::-1]) * scale.item()
    borders = (levels[1:] + levels[:-1]) / 2
    return relative_error(abs(w), levels[np.searchsorted(borders, abs(w), side="right")])


@pytest.mark.parametrize("steps", [5, 50])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
class TestLogarithmic:
    @pytest.mark.parametrize("bits", [4, 3, 2, 1])
    def test_powers_of_two(self, distribution: str, steps: int, bits: int) -> None:
        w = tensor(distribution)
        ideal = error_of_steps(w, tuple(2.0**-k for k in range(2 ** (bits - 1))), steps)
        stored = error_of_steps(w, Logarithmic(bits).magnitudes, steps)
        assert ideal == pytest.approx(LOGARITHMIC[steps][distribution][4 - bits], rel=0.03)
        assert stored == pytest.approx(ideal, rel=0.01)

    @pytest.mark.parametrize("bits", [4, 3, 2])
    def test_fixed_point(self, distribution: str, steps: int, bits: int) -> None:
        magnitudes = tuple(float(n) for n in range(2 ** (bits - 1) - 1, -1, -1))
        error = error_of_steps(tensor(distribution), magnitudes, steps)
        assert error == pytest.approx(FIXED_POINT[steps][distribution][4 - bits], rel=0.035)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
class TestOursAgainstTheTable:
    @pytest.mark.parametrize("bits", [4, 3, 2, 1])
    def test_logarithmic(self, distribution: str, bits: int) -> None:
        w = tensor(distribution)[0]
        error = relative_error(w, dequantize(quantize_matrix(w, Logarithmic(bits, PerTensor()))))
        assert error <= 1.015 * LOGARITHMIC[50][distribution][4 - bits]

    @pytest.mark.parametrize("bits", [4, 3, 2])
    def test_five_steps_of_the_range(self, distribution: str, bits: int) -> None:
        w = tensor(distribution)[0]
        error = relative_error(w, dequantize(quantize_matrix(w, Uniform(bits, PerTensor(), range="steps"))))
        assert error == pytest.approx(FIXED_POINT[5][distribution][4 - bits], rel=0.04)

    @pytest.mark.parametrize("bits", [4, 3, 2])
    def test_uniform(self, distribution: str, bits: int) -> None:
        w = tensor(distribution)[0]
        error = relative_error(w, dequantize(quantize_matrix(w, Uniform(bits, PerTensor()))))
        assert error <= 1.01 * FIXED_POINT[50][distribution][4 - bits]


# Mean squared error of N(0, 1) at 1 to 5 bits (Max 1960, "Quantizing for minimum distortion", table I).
MAX_1960 = (0.3634, 0.1175, 0.03454, 0.009497, 0.002499)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5])
def test_normal_levels_reach_the_least_error(bits: int) -> None:
    w = tensor("standard_normal")[0]
    error = relative_error(w, dequantize(quantize_matrix(w, Normal(bits, PerTensor(), scale_steps=100))))
    assert error == pytest.approx(MAX_1960[bits - 1], rel=0.02)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_a_step_of_the_scale_never_raises_the_error(bits: int) -> None:
    w = tensor("laplace")[..., :5000]
    errors = [error_of_steps(w, Logarithmic(bits).magnitudes, steps) for steps in range(30)]
    assert all(after <= before + 1e-9 for before, after in pairwise(errors))


def test_the_border_between_powers_lies_at_three_quarters() -> None:
    scheme = Logarithmic(4)
    params = {"scale": np.ones((1, 1), np.float16)}
    borders = 0.75 * 2.0 ** np.arange(6, 0, -1)  # 48 24 12 6 3 1.5: 11.8 goes to 8, not to 16
    above, below = (
        scheme.decode(scheme.encode(x[None, None].astype(np.float32), params), params)[0, 0]
        for x in (borders, borders - 0.01)
    )
    np.testing.assert_array_equal(above, [64, 32, 16, 8, 4, 2])
    np.testing.assert_array_equal(below, [32, 16, 8, 4, 2, 1])


def test_zero_counts_as_positive() -> None:
    for scheme in (Logarithmic(4), BinaryCoding(1), Uniform(1), Uniform(3, mode="midrise")):
        w = np.array([[[-1.0, -0.5, 0.0, -0.0, 0.5, 1.0]]], np.float32)
        params = scheme.fit(w)
        assert (scheme.decode(scheme.encode(w, params), params)[0, 0, 2:4] > 0).all()


# Transformer base: 32768 words, 512 wide, 2048 in the feed-forward, 6 + 6 layers. [rows, cols, count] of each kind.
BASE = {
    "embedding": [(32768, 512, 1)],
    "encoder self": [(512, 512, 4 * 6)],
    "encoder ffn": [(2048, 512, 6), (512, 2048, 6)],
    "decoder self": [(512, 512, 4 * 6)],
    "decoder cross": [(512, 512, 4 * 6)],
    "decoder ffn": [(2048, 512, 6), (512, 2048, 6)],
}
OTHER_FLOATS = 63_488  # biases and layer norms
MB = 1_024_000  # bytes
ENCODER = {"encoder self": 3, "encoder ffn": 4}
DECODER = {"decoder self": 2, "decoder cross": 3, "decoder ffn": 1}


def paper_size_in_mb(bits: dict[str, int], ratio: float | None = None) -> float:
    """Size by the paper's rule: n * q / 8 + rows * q * 4 bytes a matrix; 4 bytes for all else; no width means float."""
    total = 4.0 * OTHER_FLOATS
    for kind, matrices in BASE.items():
        for rows, cols, count in matrices:
            if kind == "embedding" and ratio is not None:
                parts = [(size, 4 - i) for i, size in enumerate(RowClusters(4, ratio).sizes(rows))]
            else:
                parts = [(rows, bits.get(kind, 0))]
            total += count * sum(n * cols * q / 8 + n * q * 4 if q else n * cols * 4 for n, q in parts)
    return total / MB


@pytest.mark.parametrize(
    ("bits", "ratio", "size"),
    [
        ({}, None, 237.8),
        (dict.fromkeys(BASE, 3), None, 23.7),
        (dict.fromkeys(BASE, 2), None, 15.9),
        ({}, 1, 177.7),
        ({}, 4, 175.2),
        ({}, 8, 174.8),
        (DECODER, 1, 85.1),
        (DECODER, 4, 82.5),
        (DECODER | ENCODER, 1, 20.2),
        (DECODER | ENCODER, 4, 17.6),
        (DECODER | ENCODER, 8, 17.2),
    ],
)
def test_sizes(bits: dict[str, int], ratio: float | None, size: float) -> None:
    assert paper_size_in_mb(bits, ratio) == pytest.approx(size, abs=0.055)  # the printed digit, but 175.15 for 175.2


@pytest.mark.parametrize(("ratio", "average"), [(1, 2.5), (2, 1.733), (4, 1.318), (8, 1.142)])
def test_average_bits_of_a_clustered_embedding(ratio: float, average: float) -> None:
    sizes = RowClusters(4, ratio).sizes(32768)
    assert sum(n * (4 - i) for i, n in enumerate(sizes)) / 32768 == pytest.approx(average, abs=5e-4)


def test_average_bits_of_the_mixed_model() -> None:
    widths = {"embedding": 2.5, **ENCODER, **DECODER}
    weights = {kind: sum(rows * cols * count for rows, cols, count in BASE[kind]) for kind in BASE}
    assert sum(weights.values()) == 60_817_408
    assert sum(weights[kind] * widths[kind] for kind in BASE) / sum(weights.values()) == pytest.approx(2.55, abs=0.005)


@pytest.mark.parametrize("bits", range(1, 5))
def test_ours_stores_less_than_the_paper(bits: int) -> None:
    w = rows("standard_normal")[:, 0]
    (block,) = quantize_matrix(w, BinaryCoding(bits, PerRow(), "greedy")).blocks
    assert block.alphas is not None
    stored = block.codes.nbytes + block.scale.nbytes + block.alphas.nbytes
    assert stored == w.size * bits // 8 + len(w) * (2 + bits)
    assert stored <= w.size * bits // 8 + len(w) * bits * 4
