"""Codes of a block in as many bits as they are worth, and back. The core codes; docs/format.md has the bytes.

A code of b bits takes b bits, whatever it is; weights are bell-shaped, so that some codes come often. An entropy coder
(rANS, Duda 2013) spends on each what it is worth: 3.6 bits for `uniform4`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from subbyte import _core
from subbyte.numbers.arrays import Array
from subbyte.numbers.cores import available_cores


class Coded(NamedTuple):
    """Coded bytes, uint8 [n], and where their codes go: a `Block.codes` [.., rows, ..] of so many columns."""

    data: Array
    codes: Array
    cols: int


def encode(codes: Array, cols: int) -> Array | None:
    """A `Block.codes` of so many columns as coded bytes, uint8 [n]; None where that takes no fewer bytes."""
    flat = np.ascontiguousarray(codes).view(np.uint8).reshape(-1)
    return _core.encode_codes(*_outline(codes), cols, flat, threads=available_cores())


def fault_of(data: Array, bits: int, rows: int, cols: int) -> str | None:
    """What is wrong with coded bytes, as far as can be seen before they are decoded: then nothing is allocated."""
    return _core.coded_fault(bits, rows, cols, data) or None


def blank(bits: int, rows: int, cols: int) -> Array:
    """Codes of a block, to be decoded into."""
    if bits == 8:
        return np.empty((rows, cols), np.int8)
    return np.empty((bits, rows, -(-cols // 8)), np.uint8)


def decode(coded: Sequence[Coded]) -> list[str]:
    """Fill the codes of blocks, side by side; what is wrong with each, empty where nothing is."""
    blocks = [(*_outline(one.codes), one.cols, one.data, one.codes.view(np.uint8).reshape(-1)) for one in coded]
    return list(_core.decode_codes(blocks, threads=available_cores()))


def _outline(codes: Array) -> tuple[int, int]:
    """Bits and rows of a `Block.codes`."""
    return (8, len(codes)) if codes.dtype == np.int8 else codes.shape[:2]
