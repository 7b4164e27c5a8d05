"""Codes come back from their coded bytes, in about as many bits as they are worth; bytes that cannot be are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from subbyte.numbers import entropy
from subbyte.numbers.bits import pack


def bell(bits: int, rows: int, cols: int, seed: int = 0) -> np.ndarray:
    """Codes as weights have them."""
    drawn = np.random.default_rng(seed).normal(2 ** (bits - 1) - 0.5, 2**bits / 8, (rows, cols))
    return np.clip(np.round(drawn), bits == 8, 2**bits - 1).astype(np.uint8)


def stored(symbols: np.ndarray, bits: int) -> np.ndarray:
    """The same as a block has them."""
    return (symbols.astype(np.int16) - 128).astype(np.int8) if bits == 8 else pack(symbols, bits)


def worth(symbols: np.ndarray) -> float:
    """Bits of a symbol."""
    share = np.bincount(symbols.reshape(-1)) / symbols.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def again(data: np.ndarray, bits: int, rows: int, cols: int) -> np.ndarray | str:
    """What is decoded, or what is wrong."""
    if fault := entropy.fault_of(data, bits, rows, cols):
        return fault
    codes = entropy.blank(bits, rows, cols)
    codes.view(np.uint8).fill(0xAA)
    (fault,) = entropy.decode([entropy.Coded(data, codes, cols)])
    return fault or codes


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize(("rows", "cols"), [(300, 256), (77, 1003), (2, 70000), (20000, 7)])
def test_codes_come_back_in_the_bits_they_are_worth(bits: int, rows: int, cols: int) -> None:
    symbols = bell(bits, rows, cols)
    codes = stored(symbols, bits)
    data = entropy.encode(codes, cols)
    assert data is not None and data.size < codes.nbytes
    chunks = -(-rows // max(1, 65536 // cols))
    assert 8 * data.size < symbols.size * worth(symbols) * 1.001 + 8 * (512 + 36 * chunks)
    found = again(data, bits, rows, cols)
    assert isinstance(found, np.ndarray) and found.dtype == codes.dtype and np.array_equal(found, codes)


def test_codes_of_one_bit() -> None:
    symbols = (np.random.default_rng(0).random((128, 512)) < 0.2).astype(np.uint8)
    data = entropy.encode(pack(symbols, 1), 512)
    assert data is not None and np.array_equal(again(data, 1, 128, 512), pack(symbols, 1))


@pytest.mark.parametrize(
    "symbols",
    [
        np.random.default_rng(0).integers(0, 16, (64, 256), np.uint8),  # each as often as the others
        np.full((64, 256), 7, np.uint8),  # one only
        np.arange(64 * 256).reshape(64, 256).clip(6, 7).astype(np.uint8),  # a second one now and then
        bell(4, 3, 5),
    ],
)
def test_codes_that_take_no_fewer_bytes_or_next_to_none_stay(symbols: np.ndarray) -> None:
    assert entropy.encode(pack(symbols, 4), symbols.shape[1]) is None


def test_many_blocks_are_decoded_side_by_side() -> None:
    blocks = [(bits, bell(bits, 200 + bits, 300, bits)) for bits in range(2, 9)]
    coded = []
    for bits, symbols in blocks:
        data = entropy.encode(stored(symbols, bits), 300)
        assert data is not None
        coded.append(entropy.Coded(data, entropy.blank(bits, len(symbols), 300), 300))
    spoiled = coded[3].data.copy()
    spoiled[-1] ^= 1
    coded[3] = coded[3]._replace(data=spoiled)
    faults = entropy.decode(coded)
    assert [bool(fault) for fault in faults] == [i == 3 for i in range(7)]
    for i, ((bits, symbols), one) in enumerate(zip(blocks, coded, strict=True)):
        assert i == 3 or np.array_equal(one.codes, stored(symbols, bits))


def test_every_truncation_is_refused() -> None:
    data = entropy.encode(pack(bell(3, 40, 64), 3), 64)
    assert data is not None
    for size in range(data.size):
        assert isinstance(again(data[:size], 3, 40, 64), str)
    assert isinstance(again(np.append(data, np.uint8(0)), 3, 40, 64), str)


@dataclass
class Parts:
    """Coded bytes of 600 x 256 codes of 3 bits in three chunks, taken apart to be spoiled."""

    low: int
    high: int
    table: list[int]
    lengths: list[int]
    chunks: list[bytearray]

    def together(self) -> np.ndarray:
        table = b"".join(bytes([f]) if f < 128 else bytes([128 | f >> 8, f & 255]) for f in self.table)
        lengths = b"".join(length.to_bytes(4, "little") for length in self.lengths)
        return np.frombuffer(bytes([self.low, self.high]) + table + lengths + b"".join(self.chunks), np.uint8)


def parts() -> Parts:
    coded = entropy.encode(pack(bell(3, 600, 256), 3), 256)
    assert coded is not None
    data = coded.tobytes()
    table, at = [], 2
    for _ in range(data[0], data[1] + 1):
        wide = data[at] >= 128
        table.append((data[at] & 127) << 8 | data[at + 1] if wide else data[at])
        at += 2 if wide else 1
    lengths = [int.from_bytes(data[at + 4 * i : at + 4 * i + 4], "little") for i in range(3)]
    starts = np.cumsum([at + 12, *lengths]).tolist()
    chunks = [bytearray(data[start:stop]) for start, stop in pairwise(starts)]
    return Parts(data[0], data[1], table, lengths, chunks)


def move(p: Parts, count: int) -> None:
    """From one chunk to the next, so that all lengths add up."""
    p.lengths[0] -= count
    p.lengths[1] += count


def cut(p: Parts, count: int) -> None:
    """The last bytes of a chunk."""
    p.lengths[2] -= count
    del p.chunks[2][-count:]


def add(p: Parts, more: bytes) -> None:
    p.lengths[1] += len(more)
    p.chunks[1] += more


def short(p: Parts) -> None:
    """A chunk for which its bytes are too few, whatever they are."""
    p.lengths[0] = 510
    del p.chunks[0][510:]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: setattr(p, "low", p.high), "two or more of 0 to 7"),
        (lambda p: setattr(p, "high", 8), "two or more of 0 to 7"),
        (lambda p: setattr(p, "high", 255), "two or more of 0 to 7"),
        (lambda p: p.table.__setitem__(0, p.table[0] + 1), "sum to 16385"),
        (lambda p: p.table.__setitem__(3, 0), "frequencies sum to"),
        (lambda p: p.table.__setitem__(3, 16384), "has a frequency of 16384"),
        (lambda p: p.table.__setitem__(3, 32767), "has a frequency of 32767"),
        (lambda p: p.lengths.__setitem__(0, 0), "chunk 0 has 0 bytes"),
        (lambda p: p.lengths.__setitem__(1, 2**32 - 1), "chunk 1 ends behind the array"),
        (lambda p: p.lengths.__setitem__(2, p.lengths[2] - 2), "2 bytes are left behind the last chunk"),
        (lambda p: p.lengths.__setitem__(2, p.lengths[2] + 2), "chunk 2 ends behind the array"),
        (lambda p: move(p, 1), "too few or an odd number"),
        (lambda p: move(p, 2), "chunk 0|chunk 1"),
        (lambda p: move(p, p.lengths[0] - 30), "chunk 0 has 30 bytes"),
        (short, "chunk 0 has 510 bytes, too few or an odd number for 65536 codes"),
        (lambda p: p.chunks[1].__setitem__(slice(4, 8), bytes(4)), "chunk 1 begins in a state that cannot be"),
        (lambda p: p.chunks[1].__setitem__(slice(28, 32), b"\xff\xff\0\0"), "chunk 1 begins in a state"),
        (lambda p: p.chunks[0].__setitem__(0, p.chunks[0][0] ^ 1), "chunk 0"),
        (lambda p: cut(p, 2), "chunk 2 ends before its last code"),
        (lambda p: add(p, b"\0\0"), "chunk 1 goes on behind its last code"),
        (lambda p: p.chunks[2].__setitem__(-1, p.chunks[2][-1] ^ 128), "chunk 2 does not end in the state"),
        (lambda p: p.chunks.reverse(), "chunk"),
    ],
)
def test_whatever_cannot_be_is_refused(spoil: Callable[[Parts], object], message: str) -> None:
    p = parts()
    assert isinstance(again(p.together(), 3, 600, 256), np.ndarray)
    spoil(p)
    found = again(p.together(), 3, 600, 256)
    assert isinstance(found, str) and re.search(message, found), found


def test_a_level_of_minus_128_is_refused() -> None:
    symbols = bell(8, 64, 256)
    symbols[0, 0] = 0
    data = entropy.encode(stored(symbols, 8), 256)
    assert data is not None and "two or more of 1 to 255" in str(again(data, 8, 64, 256))


@pytest.mark.parametrize(
    ("bits", "rows", "cols"),
    [(3, 601, 256), (3, 599, 256), (3, 600, 257), (2, 600, 256), (9, 600, 256), (0, 600, 256), (3, 0, 256), (3, 600, 0),
     (3, 2**62, 256), (3, 2**62, 2**62), (3, 1, 2**63)],
)  # fmt: skip
def test_other_shapes_are_refused(bits: int, rows: int, cols: int) -> None:
    assert isinstance(again(parts().together(), bits, rows, cols), str)


def test_nothing_that_is_promised_is_allocated_before_it_is_possible() -> None:
    """The bytes stand for at most 128 codes each."""
    data = parts().together()
    assert "a byte holds at most 128" in str(entropy.fault_of(data, 3, data.size * 128 // 256 + 1, 256))
