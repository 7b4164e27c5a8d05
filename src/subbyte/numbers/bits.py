"""Codes to bit planes and back, 1 to 8 bits, one layout for every scheme and width. No meaning, only bits."""

import numpy as np

from subbyte.numbers.arrays import Array


def pack(codes: Array, bits: int) -> Array:
    """Bit planes without waste: bit b of the code in column 8 * j + i is bit i of planes[b, row, j].

    codes   uint8 [rows, cols], each < 2**bits
    planes  uint8 [bits, rows, ceil(cols / 8)]; the last byte of a row is filled up with zeros
    """
    if codes.size and int(codes.max()) >> bits:
        raise ValueError(f"code {codes.max()} does not fit {bits} bits")
    planes = np.empty((bits, codes.shape[0], -(-codes.shape[1] // 8)), np.uint8)
    for b in range(bits):
        planes[b] = np.packbits(codes & np.uint8(1 << b), axis=-1, bitorder="little")
    return planes


def unpack(planes: Array, cols: int) -> Array:
    """The codes, uint8 [rows, cols], that were packed into `planes`."""
    codes = np.zeros((planes.shape[1], cols), np.uint8)
    for b, plane in enumerate(planes):
        codes |= np.unpackbits(plane, axis=-1, count=cols, bitorder="little") << np.uint8(b)
    return codes
