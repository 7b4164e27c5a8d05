"""Every instruction set gives the reference's bits; the reference gives the formula's values."""

import zlib
from itertools import product

import numpy as np
import pytest

from subbyte import _core

# (rows, cols, groups): one, a prime, less and more than a block; the columns need no padding where there are groups.
SHAPES = [(1, 16, 1), (7, 40, 1), (16, 64, 1), (33, 272, 1), (50, 96, 3), (20, 512, 4)]
LEVELS = ["shared", "alphas", "zero"]


def example(rows, cols, groups, bits, kind, seed=0):
    """A random matrix in the file's form, and what it stands for as float64 [rows, cols]."""
    rng = np.random.default_rng([seed, rows, cols, groups, bits, zlib.crc32(kind.encode())])
    scale = rng.uniform(0.001, 0.1, (rows, groups)).astype(np.float16).astype(np.float32)
    zero = rng.integers(-127, 128, (rows, groups), dtype=np.int8) if kind == "zero" else None
    levels = alphas = None
    if bits == 8:
        codes = rng.integers(-127, 128, (rows, cols), dtype=np.int8)
        level = codes.astype(np.int64)
    else:
        code = rng.integers(0, 2**bits, (rows, cols), dtype=np.uint8)
        codes = np.packbits(np.stack([code >> b & 1 for b in range(bits)]), axis=-1, bitorder="little")
        if kind == "alphas":
            alphas = rng.integers(0, 127 // bits + 1, (rows, groups, bits)).astype(np.uint8)
            signs = np.stack([(code >> b & 1) * 2 - 1.0 for b in range(bits)], axis=-1)
            level = (signs * np.repeat(alphas, cols // groups, axis=1)).sum(-1)
        else:
            levels = rng.integers(-127, 128, 2**bits, dtype=np.int8)
            level = levels[code].astype(np.int64)
    spread = cols // groups
    value = level - (0 if zero is None else np.repeat(zero.astype(np.int64), spread, axis=1))
    matrix = _core.Matrix.packed(rows, cols, spread, [(bits, codes, scale, levels, alphas, zero)])
    return matrix, value, scale


def inputs(m, cols, seed=1):
    rng = np.random.default_rng([seed, m, cols])
    x = rng.standard_normal((m, cols), dtype=np.float32) * rng.uniform(0.01, 30, (m, 1)).astype(np.float32)
    x[:1] = 0 if m > 2 else x[:1]  # a row of zeros has scale 0
    return x


def cases():
    for bits, kind, shape in product(range(1, 9), LEVELS, SHAPES):
        if kind != "alphas" or bits <= 4:
            yield pytest.param(bits, kind, shape, id=f"{bits}-{kind}-{'x'.join(map(str, shape))}")


@pytest.mark.parametrize("bits, kind, shape", list(cases()))
@pytest.mark.parametrize("activations", ["int8", "float32"])
def test_products_have_the_same_bits(isa, activations, bits, kind, shape):
    matrix, _, _ = example(*shape, bits, kind)
    bias = np.linspace(-1, 1, shape[0], dtype=np.float32)
    for m in (0, 1, 2, 3, 4, 5, 13):
        x = inputs(m, shape[1])
        expected = _core.linear(matrix, x, bias, isa="reference", activations=activations)
        found = _core.linear(matrix, x, bias, isa=isa, activations=activations)
        np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32), err_msg=f"m = {m}")


@pytest.mark.parametrize("rows, cols, groups", [(300, 1024, 1), (40, 192, 1), (40, 80, 1), (64, 384, 6), (64, 384, 12)])
@pytest.mark.parametrize("bits", [8, 4])
def test_products_with_many_inputs_have_the_same_bits(isa, bits, rows, cols, groups):
    """More inputs than a tile has rows, more rows than are expanded at a time, groups that end inside a tile."""
    matrix, _, _ = example(rows, cols, groups, bits, "zero")
    bias = np.linspace(-1, 1, rows, dtype=np.float32)
    for m in (16, 17, 33):
        x = inputs(m, cols)
        expected = _core.linear(matrix, x, bias, isa="reference")
        found = _core.linear(matrix, x, bias, isa=isa)
        np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32), err_msg=f"m = {m}")


@pytest.mark.parametrize("bits, kind, shape", list(cases()))
def test_reference_products_equal_the_formula(bits, kind, shape):
    matrix, value, scale = example(*shape, bits, kind)
    weights = value * np.repeat(scale.astype(np.float64), shape[1] // shape[2], axis=1)
    np.testing.assert_array_equal(matrix.rows(range(shape[0])), weights.astype(np.float32))
    x = inputs(3, shape[1])
    found = _core.linear(matrix, x, isa="reference", activations="float32")
    np.testing.assert_allclose(found, x @ weights.T, rtol=2e-5, atol=2e-4 * np.abs(x).max() * np.abs(weights).max())

    step = np.abs(x).max(axis=1, keepdims=True) / 127
    levels = np.rint(np.divide(x, step, out=np.zeros_like(x), where=step > 0))
    found = _core.linear(matrix, x, isa="reference", activations="int8")
    expected = (levels.astype(np.float64) @ weights.T) * step
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max() + 1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (16, 16), (37, 50), (100, 128)], ids=str)
def test_float_products_have_the_same_bits(isa, shape):
    rng = np.random.default_rng(0)
    matrix = _core.Matrix.dense(rng.standard_normal(shape, dtype=np.float32))
    bias = rng.standard_normal(shape[0], dtype=np.float32)
    for m in (1, 4, 9):
        x = inputs(m, shape[1])
        expected = _core.linear(matrix, x, bias, isa="reference")
        np.testing.assert_array_equal(_core.linear(matrix, x, bias, isa=isa), expected)
        np.testing.assert_allclose(expected, x @ matrix.rows(range(shape[0])).T + bias, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("value", [-127, 127])
def test_the_largest_sums_do_not_overflow(isa, value, sign):
    cols = 65536
    codes = np.full((16, cols), value, np.int8)
    zero = np.full((16, 1), -value, np.int8)  # levels of 254
    matrix = _core.Matrix.packed(16, cols, cols, [(8, codes, np.ones((16, 1), np.float32), None, None, zero)])
    x = np.full((1, cols), sign * 127, np.float32)
    assert _core.linear(matrix, x, isa=isa)[0, 3] == np.float32(sign * 127 * 2 * value * cols)
    np.testing.assert_array_equal(_core.linear(matrix, x, isa=isa), _core.linear(matrix, x, isa="reference"))


@pytest.mark.parametrize("spacing", [1, 2, 3])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_evenly_spaced_levels_equal_the_reference(isa, bits, symmetric, spacing):
    """Codes meet inputs as they are; of symmetric levels the last code is left over, or used after all."""
    rng = np.random.default_rng(bits)
    levels = (np.arange(2**bits, dtype=np.int8) - 2 ** (bits - 1) + symmetric) * np.int8(spacing)
    if symmetric:
        levels[-1] = levels[-2]
    for most in (2**bits - symmetric, 2**bits):
        code = rng.integers(0, most, (37, 176), dtype=np.uint8)
        planes = np.packbits(np.stack([code >> p & 1 for p in range(bits)]), axis=-1, bitorder="little")
        scale = rng.uniform(0.01, 0.1, (37, 1)).astype(np.float32)
        matrix = _core.Matrix.packed(37, 176, 176, [(bits, planes, scale, levels, None, None)])
        np.testing.assert_array_equal(matrix.rows(range(37)), levels[code] * scale)
        for m in (1, 2, 3, 4, 9):
            x = inputs(m, 176)
            np.testing.assert_array_equal(_core.linear(matrix, x, isa=isa), _core.linear(matrix, x, isa="reference"))


@pytest.mark.parametrize("width", [2, 3, 4])
def test_the_largest_sums_of_evenly_spaced_levels_do_not_overflow(isa, width):
    cols = 65536
    planes = np.full((width, 16, cols // 8), 255, np.uint8)
    levels = np.arange(2**width, dtype=np.int8) - 2 ** (width - 1)
    matrix = _core.Matrix.packed(16, cols, cols, [(width, planes, np.ones((16, 1), np.float32), levels, None, None)])
    for sign in (-1, 1):
        x = np.full((1, cols), sign * 127, np.float32)
        np.testing.assert_array_equal(
            _core.linear(matrix, x, isa=isa)[0], np.float32(sign * 127 * int(levels[-1]) * cols)
        )


@pytest.mark.parametrize("widths", [(4, 2, 1), (4, 2, 4)])
def test_row_clusters_equal_their_rows(isa, widths):
    """Clusters, also those that run as one, give each row what a matrix of that row alone gives."""
    rng = np.random.default_rng(3)
    cluster = rng.integers(0, 3, 53).astype(np.uint8)
    blocks, values = [], np.zeros((53, 64))
    for b, bits in enumerate(widths):
        rows = int((cluster == b).sum())
        code = rng.integers(0, 2**bits, (rows, 64), dtype=np.uint8)
        planes = np.packbits(np.stack([code >> p & 1 for p in range(bits)]), axis=-1, bitorder="little")
        levels = np.arange(2**bits, dtype=np.int8) - 2
        scale = rng.uniform(0.01, 0.1, (rows, 1)).astype(np.float32)
        blocks.append((bits, planes, scale, levels, None, None))
        values[cluster == b] = levels[code] * scale.astype(np.float64)
    matrix = _core.Matrix.packed(53, 64, 64, blocks, cluster)
    np.testing.assert_array_equal(matrix.rows(range(53)), values.astype(np.float32))
    x, bias = inputs(6, 64), rng.standard_normal(53, dtype=np.float32)
    for activations in ("int8", "float32"):
        expected = _core.linear(matrix, x, bias, isa="reference", activations=activations)
        np.testing.assert_array_equal(_core.linear(matrix, x, bias, isa=isa, activations=activations), expected)
    np.testing.assert_allclose(expected, x @ values.T + bias, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("cols, groups, affine", [(144, 1, False), (192, 3, False), (272, 1, True), (128, 2, True)])
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("lowest", [-8, -2])
def test_narrow_rows_of_8_bits_equal_their_rows(isa, cols, groups, affine, clustered, lowest):
    """Rows whose levels nearly all lie in -8..7, or in -2..1, run with 4 or 2 bits, and give what they give with 8."""
    rng = np.random.default_rng([5, cols, groups])
    rows, size = 150, cols // groups
    codes = rng.integers(lowest, -lowest, (rows, cols), dtype=np.int8)
    few = np.arange(rows) % 3 == 1
    codes[few, rng.integers(0, cols, few.sum())] = rng.choice(np.array([-127, -9, 8, 127], np.int8), few.sum())
    wide = np.arange(rows) % 6 == 0
    codes[wide] = rng.choice(np.array([-127, -9, 8, 127], np.int8), (wide.sum(), cols))
    scale = rng.uniform(0.01, 0.1, (rows, groups)).astype(np.float32)
    zero = rng.integers(-127, 128, (rows, groups), dtype=np.int8) if affine else None

    def block(where):
        return (8, codes[where], scale[where], None, None, zero[where] if affine else None)

    cluster = rng.integers(0, 2, rows).astype(np.uint8) if clustered else None
    blocks = [block(cluster == 0), block(cluster == 1)] if clustered else [block(slice(None))]
    matrix = _core.Matrix.packed(rows, cols, size, blocks, cluster)
    assert matrix.bytes < 0.8 * rows * cols + rows * (groups * 5 + 4) + 32 * (cols + groups * 5)
    alone = [
        _core.Matrix.packed(4, cols, size, [block([r, 0, 6, 12])]) for r in range(rows)
    ]  # the others keep it at 8 bits
    assert all(one.bytes >= 16 * cols for one in alone)
    np.testing.assert_array_equal(matrix.rows(range(rows)), np.concatenate([one.rows([0]) for one in alone]))
    bias = rng.standard_normal(rows, dtype=np.float32)
    for m, activations in product((1, 5, 17), ("int8", "float32")):
        x = inputs(m, cols)
        expected = [
            _core.linear(one, x, bias[[r, 0, 6, 12]], isa="reference", activations=activations)[:, :1]
            for r, one in enumerate(alone)
        ]
        found = _core.linear(matrix, x, bias, isa=isa, activations=activations)
        np.testing.assert_array_equal(found.view(np.int32), np.concatenate(expected, axis=1).view(np.int32))


@pytest.mark.parametrize("activations", ["int8", "float32"])
def test_threads_and_batches_do_not_change_a_bit(activations):
    matrix, _, _ = example(700, 512, 4, 4, "alphas")
    x = inputs(40, 512)
    one = _core.linear(matrix, x, activations=activations)
    np.testing.assert_array_equal(_core.linear(matrix, x, activations=activations, threads=3), one)
    for i in (0, 1, 39):
        np.testing.assert_array_equal(_core.linear(matrix, x[i : i + 1], activations=activations)[0], one[i])


@pytest.mark.parametrize("n", [1, 16, 100, 256])
def test_layer_norm(isa, n):
    rng = np.random.default_rng(n)
    x, r = rng.standard_normal((2, 3, n), dtype=np.float32)
    gamma, beta = rng.standard_normal((2, n), dtype=np.float32)
    expected = _core.layer_norm(x, r, gamma, beta, isa="reference")
    np.testing.assert_array_equal(_core.layer_norm(x, r, gamma, beta, isa=isa), expected)
    v = (x + r).astype(np.float64)
    formula = (v - v.mean(1, keepdims=True)) / np.sqrt(v.var(1, keepdims=True) + 1e-5) * gamma + beta
    np.testing.assert_allclose(expected, formula, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads, dim, length", [(1, 16, 1), (4, 32, 7), (3, 5, 16), (2, 64, 33), (8, 24, 50)])
def test_attention(isa, heads, dim, length):
    rng = np.random.default_rng(length)
    q = rng.standard_normal(heads * dim, dtype=np.float32)
    kv = rng.standard_normal((length, 2 * heads * dim), dtype=np.float32)
    expected = _core.attention(q, kv, heads, isa="reference")
    np.testing.assert_array_equal(_core.attention(q, kv, heads, isa=isa), expected)
    keys, values = (a.reshape(length, heads, dim).astype(np.float64) for a in np.split(kv, 2, axis=1))
    scores = np.einsum("hd,thd->ht", q.reshape(heads, dim), keys) / np.sqrt(dim)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    formula = np.einsum("ht,thd->hd", weights / weights.sum(1, keepdims=True), values).ravel()
    np.testing.assert_allclose(expected, formula, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 16, 50])
@pytest.mark.parametrize("first", [True, False])
def test_ssru(isa, n, first):
    forget, x, previous = (np.random.default_rng(n).standard_normal((3, n), dtype=np.float32) * 5)[:]
    given = (forget, x, None if first else previous)
    state, y = _core.ssru(*given, isa="reference")
    for found, expected in zip(_core.ssru(*given, isa=isa), (state, y), strict=True):
        np.testing.assert_array_equal(found, expected)
    f = 1 / (1 + np.exp(-forget.astype(np.float64)))
    np.testing.assert_allclose(state, f * (0 if first else previous) + (1 - f) * x, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(y, np.maximum(state, 0))


def gelu(x):
    from math import erf

    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


@pytest.mark.parametrize(
    "kind, formula",
    [("relu", lambda x: np.maximum(x, 0)), ("swish", lambda x: x / (1 + np.exp(-x))), ("gelu", gelu)],
)
def test_activations(isa, kind, formula):
    x = np.concatenate([np.linspace(-30, 30, 1001), [0.0, -0.0, 1e-30, -85.0, 85.0]]).astype(np.float32)
    expected = _core.activate(kind, x, isa="reference")
    np.testing.assert_array_equal(_core.activate(kind, x, isa=isa).view(np.int32), expected.view(np.int32))
    np.testing.assert_allclose(expected, formula(x.astype(np.float64)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [1, 127, 128, 1000])
def test_log_sum_exp_parts(isa, n):
    rng = np.random.default_rng(n)
    x = (rng.standard_normal(n) * 20).astype(np.float32)
    x[n // 2] = -np.inf if n > 1 else 0
    maxima, total = _core.log_sum_exp_parts(x, isa="reference")
    found, found_total = _core.log_sum_exp_parts(x, isa=isa)
    np.testing.assert_array_equal(found, maxima)
    assert found_total == total
    np.testing.assert_array_equal(maxima, [x[i : i + 128].max() for i in range(0, n, 128)])
    assert total == pytest.approx(np.exp(x.astype(np.float64) - x.max()).sum(), rel=1e-6)


def test_exp_is_within_two_units_in_the_last_place():
    x = np.linspace(-80, 0, 20001, dtype=np.float32)
    found = np.array([_core.log_sum_exp_parts(np.array([0, v], np.float32), isa="reference")[1] for v in x]) - 1.0
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=3e-7, atol=1.2e-7)


def test_an_unknown_instruction_set_says_what_there_is():
    matrix, _, _ = example(1, 16, 1, 1, "shared")
    with pytest.raises(ValueError, match=r"this machine runs: .*reference"):
        _core.linear(matrix, np.ones((1, 16), np.float32), isa="mmx")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": 3}, "add up"),
        ({"group_size": 8}, "multiple of 16"),
        ({"cols": 96}, "codes"),
        ({"cluster": np.zeros(2, np.uint8)}, "cluster"),
        ({"bits": 9}, "bits"),
        ({"scale": np.ones((2, 2), np.float32)}, "scale"),
        ({"levels": np.zeros(3, np.int8)}, "levels"),
        ({"levels": None}, "either levels or alphas"),
        ({"alphas": np.ones((2, 1, 2), np.uint8)}, "either levels or alphas"),
        ({"zero": np.zeros((3, 1), np.int8)}, "zero"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_a_wrong_shape_is_refused_by_name(change, message):
    given = {"rows": 2, "cols": 32, "group_size": 32, "cluster": None, "bits": 2}
    given |= {"codes": np.zeros((2, 2, 4), np.uint8), "scale": np.ones((2, 1), np.float32)}
    given |= {"levels": np.zeros(4, np.int8), "alphas": None, "zero": None} | change
    block = tuple(given[key] for key in ("bits", "codes", "scale", "levels", "alphas", "zero"))
    with pytest.raises(ValueError, match=message):
        _core.Matrix.packed(given["rows"], given["cols"], given["group_size"], [block], given["cluster"])
