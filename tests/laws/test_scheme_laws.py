"""What holds for every scheme at every width and granularity. A new scheme is tested by being in SCHEMES."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subbyte.errors import SchemeError
from subbyte.numbers.bits import pack, unpack
from subbyte.numbers.granularity import PerGroup, PerRow, PerTensor, grouped
from subbyte.numbers.matrices import dequantize, quantize_matrix
from subbyte.numbers.schemes import SCHEMES, EntropyCoded, Scheme, from_plain, to_plain

GRANULARITIES = (PerTensor(), PerRow(), PerGroup(16))


def every_scheme() -> Iterator[Scheme]:
    """Each family at each width it has, with each value of its options that are words, at each granularity."""
    for kind in SCHEMES.values():
        hints = get_type_hints(kind)
        words = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
        for bits, *values, granularity in product(range(1, 9), *words.values(), GRANULARITIES):
            try:
                yield kind(bits=bits, granularity=granularity, **dict(zip(words, values, strict=True)))
            except SchemeError:
                continue


def label(scheme: Scheme) -> str:
    return "-".join(str(value) for value in to_plain(scheme).values())


SCHEMES_OF_ALL_KINDS = tuple(every_scheme())
over_all_schemes = pytest.mark.parametrize("scheme", SCHEMES_OF_ALL_KINDS, ids=label)
AT_ALL_BITS: dict[str, list[Scheme]] = {}  # the same but for the bits, narrowest first
for one in SCHEMES_OF_ALL_KINDS:
    AT_ALL_BITS.setdefault(str({**to_plain(one), "bits": None}), []).append(one)
over_all_families = pytest.mark.parametrize("same", AT_ALL_BITS.values(), ids=lambda same: label(same[0]))


def gaussian(seed: int, rows: int, cols: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Small matrices of every magnitude: dense, constant, two-valued, one-sided, with an outlier or rows of zeros."""
    rows, cols = draw(st.integers(1, 5)), 16 * draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    w = rng.standard_normal((rows, cols))
    match draw(st.sampled_from(["dense", "constant", "two", "one-sided", "outlier", "zeros"])):
        case "constant":
            w = np.full((rows, cols), w[0, 0])
        case "two":
            w = np.sign(w) * abs(w[0, 0])
        case "one-sided":
            w = abs(w)
        case "outlier":
            w[0, 0] *= 1000
        case "zeros":
            w[rng.random(rows) < 0.7] = 0
    return (w * 10.0 ** draw(st.integers(-12, 1))).astype(np.float32)


@given(st.integers(1, 8), st.integers(0, 5), st.integers(1, 70), st.integers(0, 2**32 - 1))
@settings(derandomize=True, deadline=None)
def test_unpacking_undoes_packing_and_packing_wastes_nothing(bits: int, rows: int, cols: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 2**bits, (rows, cols), dtype=np.uint8)
    planes = pack(codes, bits)
    assert planes.shape == (bits, rows, -(-cols // 8))
    np.testing.assert_array_equal(unpack(planes, cols), codes)


def test_the_first_bit_of_a_byte_is_its_first_column() -> None:
    codes = np.array([[1, 0, 2, 0, 0, 0, 0, 3, 3]], np.uint8)
    np.testing.assert_array_equal(pack(codes, 2), [[[0b10000001, 1]], [[0b10000100, 1]]])


def test_a_code_that_is_too_large_is_not_cut() -> None:
    with pytest.raises(ValueError, match="code 4 does not fit 2 bits"):
        pack(np.array([[4]], np.uint8), 2)


@over_all_schemes
@given(matrices())
@settings(derandomize=True, deadline=None, max_examples=4)
def test_what_is_stored_keeps_the_contract_and_says_what_the_scheme_says(scheme: Scheme, w: np.ndarray) -> None:
    packed = quantize_matrix(w, scheme)
    (block,) = packed.blocks
    rows, cols = w.shape
    groups = packed.groups
    shared = (1, 1) if scheme.granularity == PerTensor() else (rows, groups)

    assert block.scale.dtype == np.float16 and block.scale.shape == shared
    assert np.isfinite(block.scale).all() and (block.scale > 0).all()
    if scheme.bits == 8:
        assert block.codes.dtype == np.int8 and block.codes.shape == (rows, cols) and block.codes.min() >= -127
        assert block.levels is None
    else:
        assert block.codes.dtype == np.uint8 and block.codes.shape == (scheme.bits, rows, -(-cols // 8))
    if block.alphas is not None:
        assert block.levels is None and block.alphas.shape == (*shared, scheme.bits)
        assert block.alphas.dtype == np.uint8 and block.alphas.sum(-1).max() <= 127
    elif scheme.bits < 8:
        assert block.levels is not None and len(block.levels) == 2**scheme.bits
        assert all(-127 <= level <= 127 for level in block.levels)
    if block.zero is not None:
        assert block.zero.dtype == np.int8 and block.zero.shape == shared

    together = grouped(w, scheme.granularity)
    stored = {"scale": block.scale, "alphas": block.alphas, "zero": block.zero}
    params = {name: array for name, array in stored.items() if array is not None}
    codes = scheme.encode(together, params)
    values = scheme.decode(codes, params)
    assert codes.dtype == np.uint8 and codes.max() < 2**scheme.bits
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, scheme.decode(scheme.encode(values, params), params))  # nothing changes
    back = dequantize(packed)
    np.testing.assert_array_equal(back, values.reshape(w.shape))
    assert max(len(np.unique(group)) for group in grouped(back, scheme.granularity)[:, 0]) <= 2**scheme.bits


@over_all_schemes
def test_no_other_code_is_nearer(scheme: Scheme) -> None:
    if isinstance(scheme, EntropyCoded):
        scheme = replace(scheme, dead_zone=0.0)  # which makes codes cheaper, not nearer
    w = grouped(gaussian(1, 4, 48), scheme.granularity)
    params = scheme.fit(w)
    chosen = abs(w - scheme.decode(scheme.encode(w, params), params))
    for code in range(2**scheme.bits):
        other = abs(w - scheme.decode(np.full(w.shape, code, np.uint8), params))
        assert (chosen <= other + 1e-6 * abs(w)).all()


@over_all_families
@pytest.mark.parametrize("distribution", ["standard_normal", "laplace"])
def test_the_error_does_not_rise_with_bits(same: list[Scheme], distribution: str) -> None:
    w = getattr(np.random.default_rng(2), distribution)(size=(16, 256)).astype(np.float32)
    errors = [np.square(dequantize(quantize_matrix(w, one)) - w).sum() for one in same]
    assert len(same) > 1 and [one.bits for one in same] == list(range(same[0].bits, same[-1].bits + 1))
    assert errors == sorted(errors, reverse=True)


@over_all_schemes
def test_twice_the_weights_give_twice_the_values(scheme: Scheme) -> None:
    w = gaussian(3, 6, 64)
    np.testing.assert_array_equal(
        dequantize(quantize_matrix(2 * w, scheme)), 2 * dequantize(quantize_matrix(w, scheme))
    )


@pytest.mark.parametrize("scheme", [s for s in SCHEMES_OF_ALL_KINDS if s.granularity != PerTensor()], ids=label)
def test_rows_do_not_know_of_each_other(scheme: Scheme) -> None:
    w = gaussian(4, 6, 64)
    np.testing.assert_array_equal(
        dequantize(quantize_matrix(w, scheme))[2:3], dequantize(quantize_matrix(w[2:3], scheme))
    )


@over_all_schemes
def test_numpy_and_torch_agree(scheme: Scheme) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    w = grouped(gaussian(5, 16, 64), scheme.granularity)
    theirs = scheme.fit(torch.from_numpy(w))
    ours = scheme.fit(w)
    assert theirs.keys() == ours.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name].numpy(), err_msg=name)
        assert str(ours[name].dtype) == str(theirs[name].dtype).removeprefix("torch.")
    codes = scheme.encode(torch.from_numpy(w), theirs)
    np.testing.assert_array_equal(scheme.encode(w, ours), codes.numpy())
    np.testing.assert_array_equal(scheme.decode(codes.numpy(), ours), scheme.decode(codes, theirs).numpy())


@over_all_schemes
def test_plain_data_says_all_of_a_scheme(scheme: Scheme) -> None:
    assert from_plain(to_plain(scheme)) == scheme
