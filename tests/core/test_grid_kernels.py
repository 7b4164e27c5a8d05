"""Kernels that round to grids, and attention over them."""

import numpy as np
import pytest

from subbyte import _core

# bits, limit, groups of (scale, zero); the last of each kind reaches beyond both ends of its codes
GRIDS = [
    (8, 127.0, [(0.05, -31.0)]),
    (8, 127.0, [(0.03, 0.0), (0.2, 127.0), (1e-8, -127.0), (1e30, 5.0)]),
    (4, 7.0, [(0.7, -7.0), (0.4, 3.0)]),
    (2, 1.0, [(2.0, 1.0)]),
    (16, 32512.0, [(0.0004, -9000.0)]),
    (16, 32512.0, [(0.001, 0.0), (0.0001, 32512.0)]),
]


def arrays(grid):
    bits, limit, groups = grid
    return bits, [scale for scale, _ in groups], [zero for _, zero in groups], limit


def codes_of(x, scale, zero, limit):
    """As grids.py defines them, in float32."""
    inverse = np.float32(1) / np.float32(scale)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.clip(np.rint(x * inverse) + np.float32(zero), -limit, limit).astype(np.float32)


def values(shape, seed=0):
    """Random ones, and at the start halves between two codes, zeros of both signs and very large ones."""
    x = np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32) * 5
    odd = np.array([0.025, 0.075, -0.025, 0.35, 0.0, -0.0, 1e9, -1e9, 1e-30, 3e38], np.float32)
    x.reshape(-1)[: len(odd)] = odd[: x.size]
    return x


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("n", [4, 16, 36, 148])
def test_round_to_grid(isa, n, grid):
    x = values((5, n))
    expected = _core.round_to_grid(x, arrays(grid), isa="reference")
    found = _core.round_to_grid(x, arrays(grid), isa=isa)
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))
    _, limit, groups = grid
    for part, y, (scale, zero) in zip(*(np.split(a, len(groups), 1) for a in (x, expected)), groups, strict=True):
        formula = np.float32(scale) * (codes_of(part, scale, zero, limit) - np.float32(zero))
        np.testing.assert_array_equal(y, formula)


@pytest.mark.parametrize("grid", [grid for grid in GRIDS if len(grid[2]) == 1], ids=str)
@pytest.mark.parametrize("n", [1, 15, 16, 40, 333])
def test_grid_codes(isa, n, grid):
    x = values((n,))
    expected = _core.grid_codes(x, arrays(grid), isa="reference")
    found = _core.grid_codes(x, arrays(grid), isa=isa)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    high, low, high_sum, low_sum = expected
    bits, limit, ((scale, zero),) = grid
    code = high if bits < 16 else 255 * high + low
    np.testing.assert_array_equal(code[:n], codes_of(x, scale, zero, limit))
    assert not high[n:].any() and not low[n:].any() and len(high) % 16 == 0
    assert (high_sum, low_sum) == (high.sum(), low.sum())
    assert max(np.abs(high).max(), np.abs(low).max()) <= 127


@pytest.mark.parametrize("equalized", [False, True])
@pytest.mark.parametrize(("n", "rotation"), [(1, 1), (37, 1), (16, 16), (96, 32), (64, 64), (384, 128), (512, 256)])
def test_operand(isa, n, rotation, equalized):
    rng = np.random.default_rng(n)
    x = rng.standard_normal((5, n), dtype=np.float32)
    factors = rng.uniform(0.1, 10, n).astype(np.float32) if equalized else None
    expected = _core.operand(x, factors, rotation, isa="reference")
    np.testing.assert_array_equal(_core.operand(x, factors, rotation, isa=isa).view(np.int32), expected.view(np.int32))
    times = x.astype(np.float64) * (1 if factors is None else factors)
    signs = np.array([[(-1) ** (i & j).bit_count() for j in range(rotation)] for i in range(rotation)])
    turned = (times.reshape(-1, rotation) @ signs).reshape(x.shape) / np.sqrt(rotation)
    np.testing.assert_allclose(expected, turned, atol=1e-5 * np.abs(times).max() * rotation)


@pytest.mark.parametrize(("n", "rotation"), [(16, 8), (24, 16), (512, 512), (16, 0)])
def test_operands_that_cannot_be_turned(n, rotation):
    with pytest.raises(ValueError, match="rotation"):
        _core.operand(np.ones((1, n), np.float32), None, rotation)


def test_every_code_of_sixteen_bits_has_two_parts(isa):
    codes = np.arange(-32512, 32513, dtype=np.float32)
    high, low, _, _ = _core.grid_codes(codes, (16, [1.0], [0.0], 32512.0), isa=isa)
    np.testing.assert_array_equal((255 * high + low)[: codes.size], codes)
    assert max(np.abs(high).max(), np.abs(low).max()) == 127


@pytest.mark.parametrize("grids", ["no grids", "scores", "probabilities", "both"])
@pytest.mark.parametrize(
    "heads, dim, length", [(1, 16, 1), (3, 5, 7), (2, 64, 33), (4, 6, 16), (1, 32, 70), (2, 17, 4)]
)
def test_self_attention(isa, heads, dim, length, grids):
    rng = np.random.default_rng([heads, dim, length])
    q, key, value = rng.standard_normal((3, length, heads * dim), dtype=np.float32)
    scores = (8, [0.2], [-10.0], 127.0) if grids in ("scores", "both") else None
    probabilities = (8, [1 / 254], [-127.0], 127.0) if grids in ("probabilities", "both") else None
    expected = _core.self_attention(q, key, value, heads, scores, probabilities, isa="reference")
    found = _core.self_attention(q, key, value, heads, scores, probabilities, isa=isa)
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))

    def rounded(x, grid):
        return x if grid is None else _core.round_to_grid(x.astype(np.float32).reshape(1, -1), grid).reshape(x.shape)

    q, key, value = (x.reshape(length, heads, dim).swapaxes(0, 1).astype(np.float64) for x in (q, key, value))
    score = rounded(q @ key.swapaxes(1, 2), scores) / np.sqrt(dim)
    odds = np.exp(score - score.max(-1, keepdims=True))
    chances = rounded(odds / odds.sum(-1, keepdims=True), probabilities)
    formula = (chances @ value).swapaxes(0, 1).reshape(length, -1)
    np.testing.assert_allclose(expected, formula, rtol=1e-4, atol=2e-5 if grids == "no grids" else 0.02)


@pytest.mark.parametrize(
    "grid, message",
    [
        ((8, [], [], 127.0), "as many zeros"),
        ((8, [1.0], [0.0], 128.0), "127 at most"),
        ((8, [1.0], [], 7.0), "as many"),
    ],
)
def test_a_wrong_grid_is_refused(grid, message):
    with pytest.raises(ValueError, match=message):
        _core.round_to_grid(np.ones((1, 4), np.float32), grid)
