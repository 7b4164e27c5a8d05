"""A quantized matrix as data: blocks of codes with their scales, as the file and the engine have them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Block:
    """Rows of one matrix that share a width and a meaning of codes.

    value[row, col] = scale[row, group] * (level[code] - zero[row, group]),  group = col // group_size

    bits     1..8
    codes    1..7 bits: uint8 bit planes [bits, rows, ceil(cols / 8)], bit i of byte j is column 8 * j + i;
             8 bits:    int8 levels [rows, cols], each in -127..127
    scale    float16 [rows, groups], or [1, 1] where the whole tensor shares it; finite and > 0
    levels   the integer in -127..127 that each code stands for, 2**bits of them; None at 8 bits (the codes are the
             levels) and for binary coding
    alphas   binary coding only: uint8 [rows, groups, bits] (or [1, 1, bits]); level = sum over planes of +alpha where
             the plane's bit is set, -alpha where it is clear; each row's sum <= 127
    zero     affine only: int8 [rows, groups] (or [1, 1]), the level that stands for 0.0
    """

    bits: int
    codes: np.ndarray
    scale: np.ndarray
    levels: tuple[int, ...] | None = None
    alphas: np.ndarray | None = None
    zero: np.ndarray | None = None

    @property
    def rows(self) -> int:
        return int(self.codes.shape[-2])


@dataclass(frozen=True)
class PackedMatrix:
    """A quantized weight matrix.

    group_size  consecutive columns that share one scale; equal to the columns when a row (or the tensor) shares one
    blocks      one block, or one per row cluster
    cluster     uint8 [rows], the block each row is in (rows keep their order inside a block); None with one block
    scheme      the resolved scheme as plain data, for people and for `inspect`
    """

    shape: tuple[int, int]
    group_size: int
    blocks: tuple[Block, ...]
    cluster: np.ndarray | None
    scheme: Mapping[str, Any]

    @property
    def entropy_coded(self) -> bool:
        """Whether its codes are made for an entropy coder."""
        return bool(self.scheme.get("family") == "entropy_coded")

    @property
    def groups(self) -> int:
        return self.shape[1] // self.group_size

    @property
    def bits(self) -> float:
        """Of a weight's code, in the mean over the rows."""
        return sum(block.bits * block.rows for block in self.blocks) / self.shape[0]
