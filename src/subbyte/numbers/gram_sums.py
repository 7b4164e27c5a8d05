"""Sums of x x' over the inputs x of many matrices, made once for those that multiply the same."""

from collections.abc import Iterable

import numpy as np

from subbyte.numbers.arrays import Array


class GramSums:
    """Adds up batches: float32 inputs [rows, cols] of every matrix by name."""

    def __init__(self) -> None:
        self._sums: dict[str, Array] = {}
        self._equals: dict[str, list[str]] = {}  # name -> of each batch the first name with the same inputs

    def add(self, inputs: Iterable[tuple[str, Array]]) -> None:
        """A batch; matrices without a row of inputs are left out."""
        made: list[tuple[str, Array, Array]] = []
        for name, x in inputs:
            if not len(x):
                continue
            first, gram = next(((one, sums) for one, y, sums in made if _same(x, y)), (name, None))
            if gram is None:
                gram = x.T @ x
                made.append((name, x, gram))
            self._equals.setdefault(name, []).append(first)
            if name in self._sums:
                self._sums[name] += gram
            else:
                self._sums[name] = gram.astype(np.float64)

    def sums(self) -> dict[str, Array]:
        """Name -> float64 [cols, cols]; one array for matrices whose inputs were the same in all batches."""
        found: dict[str, Array] = {}
        for name, firsts in self._equals.items():
            same = len({*firsts}) == 1 and len(firsts) == len(self._equals[firsts[0]])
            found[name] = self._sums[firsts[0] if same else name]
        return found


def _same(x: Array, y: Array) -> bool:
    return x.shape == y.shape and bool((x[0] == y[0]).all()) and np.array_equal(x, y)
