"""Rounding in training against rounding as it is stored, for schemes of every kind."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from subbyte.numbers.granularity import PerGroup, PerRow, PerTensor, RowClusters, grouped  # noqa: E402
from subbyte.numbers.matrices import CHUNK, dequantize, quantize_matrix  # noqa: E402
from subbyte.numbers.packed import PackedMatrix  # noqa: E402
from subbyte.numbers.schemes import (  # noqa: E402
    BinaryCoding,
    Clustered,
    EntropyCoded,
    Logarithmic,
    Normal,
    Scheme,
    Uniform,
    to_plain,
)
from subbyte.training.rounding import Rounded, Rounder  # noqa: E402

GRANULARITIES = (PerTensor(), PerRow(), PerGroup(16))
PLAIN: list[Scheme] = [
    *(Uniform(bits, g, mode) for mode, bits, g in product(("midrise", "affine"), (2, 7), GRANULARITIES)),
    *(Uniform(bits, g, "symmetric") for bits, g in product((3, 8), GRANULARITIES)),
    Uniform(8, mode="affine"),
    *(Logarithmic(bits, granularity=g) for bits, g in product((1, 4), GRANULARITIES)),
    *(Normal(bits, granularity=g) for bits, g in product((2, 5), GRANULARITIES)),
    *(BinaryCoding(bits, granularity=g, rounds=3) for bits, g in product((1, 3), GRANULARITIES)),
    BinaryCoding(3, solver="greedy"),
    *(EntropyCoded(bits, g, dead_zone=0.0) for bits, g in product((3, 4, 8), GRANULARITIES)),
]  # fmt: skip
CLUSTERED = [
    Clustered(BinaryCoding(4, rounds=3), RowClusters(4, 2)),
    Clustered(Uniform(6, mode="affine"), RowClusters(4, 1.75)),
    Clustered(Uniform(4, mode="midrise", granularity=PerGroup(16)), RowClusters(2, 1)),
    Clustered(EntropyCoded(4, dead_zone=0.0), RowClusters(2, 1), ((("step", 0.7),), (("bits", 8), ("step", 1.1)))),
]


def label(scheme: Scheme | Clustered) -> str:
    return "-".join(str(value) for value in to_plain(scheme).values())


over_all_kinds = pytest.mark.parametrize("scheme", [*PLAIN, *CLUSTERED], ids=label)


def matrix(seed: int = 5, rows: int = 16, cols: int = 64) -> np.ndarray:
    """Rows of different sizes, one of zeros, one of a single value."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((rows, cols)) * np.exp(rng.standard_normal((rows, 1)))
    w[3], w[7] = 0, w[7, 0]
    return w.astype(np.float32)


def cluster_of(scheme: Scheme | Clustered, rows: int) -> np.ndarray | None:
    frequencies = np.random.default_rng(9).integers(0, 1000, rows)
    return scheme.clusters.assign(frequencies) if isinstance(scheme, Clustered) else None


def fitted(scheme: Scheme | Clustered, w: np.ndarray) -> Rounder:
    rounder = Rounder(w.shape, scheme, cluster_of(scheme, len(w)))
    rounder.fit(torch.from_numpy(w))
    return rounder


def assert_same(ours: PackedMatrix, theirs: PackedMatrix) -> None:
    assert (ours.shape, ours.group_size, ours.scheme) == (theirs.shape, theirs.group_size, theirs.scheme)
    np.testing.assert_array_equal(ours.cluster, theirs.cluster)
    for a, b in zip(ours.blocks, theirs.blocks, strict=True):
        assert (a.bits, a.levels) == (b.bits, b.levels)
        for name in ("codes", "scale", "alphas", "zero"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
            assert getattr(getattr(a, name), "dtype", None) == getattr(getattr(b, name), "dtype", None)


def squared_errors(w: np.ndarray, rounded: torch.Tensor, scheme: Scheme) -> np.ndarray:
    """Of each group, in float64."""
    return np.square(grouped(w.astype(np.float64) - rounded.numpy(), scheme.granularity)).sum(-1)


@over_all_kinds
def test_what_is_rounded_is_what_is_stored(scheme: Scheme | Clustered) -> None:
    w = matrix()
    rounder = fitted(scheme, w)
    for later in (w, w + matrix(6) / 10, 3 * matrix(7)):  # also far from what was fitted
        moved = torch.from_numpy(later)
        rounded = rounder.round(moved)
        np.testing.assert_array_equal(rounded.numpy(), dequantize(rounder.pack(moved)))
        np.testing.assert_array_equal(rounder.round(rounded).numpy(), rounded.numpy())


@over_all_kinds
def test_a_fit_is_that_of_quantization(scheme: Scheme | Clustered) -> None:
    w = matrix()
    packed = fitted(scheme, w).pack(torch.from_numpy(w))
    assert_same(packed, quantize_matrix(w, scheme, cluster_of(scheme, len(w))))


@pytest.mark.parametrize("scheme", [Uniform(4), Uniform(4, granularity=PerTensor()), CLUSTERED[0]], ids=label)
def test_a_fit_is_that_of_quantization_where_a_matrix_is_worked_on_in_parts(scheme: Scheme | Clustered) -> None:
    w = matrix(rows=CHUNK // 512 + 5, cols=512)
    packed = fitted(scheme, w).pack(torch.from_numpy(w))
    assert_same(packed, quantize_matrix(w, scheme, cluster_of(scheme, len(w))))


@over_all_kinds
def test_adopting_a_packed_matrix_keeps_its_codes(scheme: Scheme | Clustered) -> None:
    """Also where codes are not the nearest, as calibrated rounding chooses them."""
    w, x = matrix(), matrix(8, 100).astype(np.float64)
    packed = quantize_matrix(w, scheme, cluster_of(scheme, len(w)), x.T @ x)
    rounder = Rounder(w.shape, scheme, packed.cluster)
    values = rounder.adopt(packed)
    np.testing.assert_array_equal(values.numpy(), dequantize(packed))
    again = rounder.pack(values)
    np.testing.assert_array_equal(dequantize(again), dequantize(packed))
    if not any(block.alphas is not None for block in packed.blocks):  # there several codes may have one value
        assert_same(again, packed)


@pytest.mark.parametrize("scheme", PLAIN, ids=label)
def test_following_scales_never_raises_the_error(scheme: Scheme) -> None:
    """But for float16: a scale that is off by a share of 2**-11 costs (2**-11)**2 of the values' squares."""
    rounder = fitted(scheme, matrix())
    lowered = 0
    for seed in range(6, 9):
        w = matrix(seed)
        before = squared_errors(w, rounder.round(torch.from_numpy(w)), scheme)
        rounder.rescale(torch.from_numpy(w))
        rounded = rounder.round(torch.from_numpy(w))
        after = squared_errors(w, rounded, scheme)
        squares = np.square(grouped(rounded.numpy().astype(np.float64), scheme.granularity)).sum(-1)
        assert (after <= before * (1 + 1e-6) + 1.1 * 2.0**-22 * squares + 1e-12).all()
        lowered += np.count_nonzero(after < 0.99 * before)
    assert lowered


@over_all_kinds
def test_the_state_has_all_that_rounding_needs(scheme: Scheme | Clustered) -> None:
    w = matrix()
    rounder = fitted(scheme, w)
    other = Rounder(w.shape, scheme, cluster_of(scheme, len(w)))
    other.load_state_dict(rounder.state_dict())
    later = torch.from_numpy(matrix(6))
    np.testing.assert_array_equal(other.round(later).numpy(), rounder.round(later).numpy())


def test_products_see_the_rounded_weights_and_the_gradient_goes_straight_to_the_others() -> None:
    w = torch.from_numpy(matrix()).requires_grad_()
    rounded = fitted(Uniform(2), matrix()).round(w.detach())
    slope = torch.from_numpy(matrix(6))
    used = Rounded.apply(w, rounded)
    np.testing.assert_array_equal(used.detach().numpy(), rounded.numpy())
    (used * slope).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), slope.numpy())
