"""Rounding that keeps outputs: better than nearest where inputs are alike, the same where nothing is known of them."""

from __future__ import annotations

import numpy as np
import pytest

from subbyte.granularity import PerGroup, PerRow, PerTensor
from subbyte.model import PackedMatrix
from subbyte.quantization import dequantize, quantize_matrix
from subbyte.schemes import SCHEMES, from_plain

SCHEMES_TRIED = [
    kind(bits=bits, granularity=granularity)
    for kind in SCHEMES.values()
    for bits in (2, 3, 4)
    for granularity in (PerTensor(), PerRow(), PerGroup(16))
] + [from_plain({"family": "uniform", "bits": bits, "mode": "affine", "granularity": "row"}) for bits in (3, 4, 6, 8)]


def weights(rows: int = 40, cols: int = 96) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, cols)).astype(np.float32)


def inputs(cols: int = 96) -> np.ndarray:
    """Inputs that hold a dozen numbers, and a little noise."""
    rng = np.random.default_rng(1)
    return (rng.normal(size=(2000, 12)) @ rng.normal(size=(12, cols)) + 0.3 * rng.normal(size=(2000, cols))).astype(
        "f4"
    )


def output_error(w: np.ndarray, packed: PackedMatrix, x: np.ndarray) -> float:
    return float(np.square(x @ (w - dequantize(packed)).T, dtype=np.float64).sum())


@pytest.mark.parametrize("scheme", SCHEMES_TRIED, ids=str)
def test_outputs_are_kept_better_than_by_nearest_rounding(scheme):
    w, x = weights(), inputs()
    plain = output_error(w, quantize_matrix(w, scheme), x)
    assert output_error(w, quantize_matrix(w, scheme, gram=(x.T @ x).astype(np.float64)), x) < 0.5 * plain


@pytest.mark.parametrize("scheme", SCHEMES_TRIED, ids=str)
def test_inputs_that_have_nothing_in_common_change_nothing(scheme):
    w = weights()
    plain, kept = quantize_matrix(w, scheme), quantize_matrix(w, scheme, gram=7 * np.eye(96))
    np.testing.assert_array_equal(dequantize(kept), dequantize(plain))


def test_every_cluster_is_rounded_with_its_own_bits():
    scheme = from_plain({"family": "uniform", "bits": 4, "clusters": {"count": 3, "ratio": 2}})
    w, x = weights(), inputs()
    gram = (x.T @ x).astype(np.float64)
    plain, kept = quantize_matrix(w, scheme), quantize_matrix(w, scheme, gram=gram)
    np.testing.assert_array_equal(kept.cluster, plain.cluster)
    assert [block.bits for block in kept.blocks] == [4, 3, 2]
    for cluster in range(3):
        rows = kept.cluster == cluster
        lost = [np.square(x @ (w - dequantize(packed))[rows].T).sum() for packed in (kept, plain)]
        assert lost[0] < 0.5 * lost[1]


@pytest.mark.parametrize("gram", [np.zeros((96, 96)), np.diag([0.0] * 50 + [1.0] * 46)], ids=["none", "half"])
def test_inputs_that_are_always_zero_are_no_trouble(gram):
    scheme = from_plain({"family": "uniform", "bits": 4})
    kept, nearest = (dequantize(quantize_matrix(weights(), scheme, gram=g)) for g in (gram, None))
    np.testing.assert_array_equal(kept, nearest)
