"""Which weights share a scale, and which rows share a width. Pure shapes: no scheme, no file."""

from dataclasses import dataclass

import numpy as np

from subbyte.errors import SchemeError
from subbyte.numbers.arrays import Array

COLUMN_BLOCK = 16  # the engine's blocks are 16 columns wide, and a block has one scale a row


@dataclass(frozen=True)
class PerTensor:
    """One scale for the whole matrix."""


@dataclass(frozen=True)
class PerRow:
    """One scale for each row: for each output neuron, or each word of an embedding."""


@dataclass(frozen=True)
class PerGroup:
    """One scale for each `size` consecutive columns of a row; `size` is a multiple of 16 that divides the columns."""

    size: int

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size <= 0 or self.size % COLUMN_BLOCK:
            raise SchemeError(f"group size: expected a multiple of {COLUMN_BLOCK}, got {self.size!r}")


Granularity = PerTensor | PerRow | PerGroup
PER_ROW = PerRow()
PER_TENSOR = PerTensor()


def group_size(granularity: Granularity, cols: int) -> int:
    """How many consecutive columns of a matrix share a scale (all of them for a row or the tensor)."""
    match granularity:
        case PerTensor() | PerRow():
            return cols
        case PerGroup(size) if cols % size == 0:
            return size
        case PerGroup(size):
            fitting = [str(n) for n in range(COLUMN_BLOCK, cols + 1, COLUMN_BLOCK) if cols % n == 0]
            instead = f"sizes that do: {' '.join(fitting)}" if fitting else 'no size does; use granularity "row"'
            raise SchemeError(f"{cols} columns do not divide into groups of {size}; {instead}")


def grouped(w: Array, granularity: Granularity) -> Array:
    """[rows, cols] -> [rows, groups, size]; [1, 1, rows * cols] for the whole tensor. A group shares a scale."""
    rows, cols = w.shape
    size = group_size(granularity, cols)
    return w.reshape(1, 1, rows * cols) if granularity == PerTensor() else w.reshape(rows, cols // size, size)


def granularity_to_plain(granularity: Granularity) -> str | dict[str, int]:
    """The word or table a recipe writes: "tensor", "row" or {"group": size}."""
    match granularity:
        case PerTensor():
            return "tensor"
        case PerRow():
            return "row"
        case PerGroup(size):
            return {"group": size}


def granularity_from_plain(plain: object) -> Granularity:
    """The inverse of `granularity_to_plain`."""
    match plain:
        case "tensor":
            return PerTensor()
        case "row":
            return PerRow()
        case {"group": size, **rest} if not rest:
            return PerGroup(size)
    raise SchemeError(f'granularity: expected "tensor", "row" or {{ group = SIZE }}, got {plain!r}')


@dataclass(frozen=True)
class RowClusters:
    """Rows of an embedding in `count` clusters by word frequency, each `ratio` times as large as the one before.

    Cluster 0 has the most frequent words and the most bits; cluster i has i bits less. (Chung et al. 2020, Algorithm 1)
    """

    count: int
    ratio: float

    def __post_init__(self) -> None:
        if type(self.count) is not int or not 1 <= self.count <= 8:
            raise SchemeError(f"clusters.count: expected 1..8, got {self.count!r}")
        if type(self.ratio) not in (int, float) or not 1 <= self.ratio <= 256:
            raise SchemeError(f"clusters.ratio: expected a number in 1..256, got {self.ratio!r}")

    def sizes(self, rows: int) -> tuple[int, ...]:
        """Rows of each cluster: rows * ratio**i / sum of ratio**k, rounded down, at least 1; the last gets the rest."""
        if rows < self.count:
            raise SchemeError(f"{rows} rows do not fill {self.count} clusters")
        shares = [float(self.ratio) ** i for i in range(self.count)]
        first = [max(1, int(rows * share / sum(shares))) for share in shares[:-1]]
        return (*first, rows - sum(first))

    def assign(self, frequencies: Array) -> Array:
        """uint8 [rows]: the cluster of each row, from the counts of the words; of equals the earlier row first."""
        by_frequency = np.argsort(-np.asarray(frequencies, np.float64), kind="stable")
        cluster = np.empty(len(by_frequency), np.uint8)
        cluster[by_frequency] = np.repeat(np.arange(self.count, dtype=np.uint8), self.sizes(len(by_frequency)))
        return cluster


def clusters_from_plain(plain: object) -> RowClusters:
    """{"count": n, "ratio": r} -> RowClusters."""
    match plain:
        case {"count": count, "ratio": ratio, **rest} if not rest:
            return RowClusters(count, ratio)
    raise SchemeError(f"clusters: expected {{ count = N, ratio = R }}, got {plain!r}")
