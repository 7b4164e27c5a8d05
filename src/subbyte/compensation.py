"""Rounding that keeps what a matrix multiplies out to, not its weights. Pure: arrays in, arrays out.

Nearest rounding is best for the weights; what counts are the outputs. So columns are rounded one by one, and the
weights of a row that are not rounded yet move so that its outputs stay where they were, in least squares over the
inputs of a calibration text (Frantar et al. 2022, "GPTQ"; the idea is LeCun's and Hassibi's). Then every code is looked
at again, given all the others (coordinate descent). It works for every scheme, because a scheme's `encode` takes single
columns as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subbyte.arrays import Array
from subbyte.granularity import PerTensor, group_size
from subbyte.schemes import Params, Scheme

DAMPING = 0.01  # of the mean of the gram's diagonal, added to it: no direction counts for nothing
SWEEPS = 2  # times that every code is looked at again; a third changes the error by less than one percent
BLOCK = 64  # columns rounded before those further on hear of it: the same numbers, in fewer passes over memory


@dataclass(frozen=True)
class Columns:
    """The order in which the columns of a matrix are rounded, and what the error of each does to those after it.

    order   int [cols]: those with the largest inputs first
    spread  float32 [cols, cols], upper triangular, in that order: the Cholesky factor of the inverse gram
    gram    float32 [cols, cols]
    """

    order: Array
    spread: Array
    gram: Array

    @classmethod
    def of(cls, gram: Array) -> Columns:
        """From float64 [cols, cols], the sum of x x' over the inputs x."""
        cols = len(gram)
        damped = gram + (DAMPING * float(np.trace(gram)) / cols + np.finfo(np.float32).tiny) * np.eye(cols)
        order = np.argsort(-np.diag(damped), kind="stable")
        spread = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
        return cls(order, np.ascontiguousarray(spread, np.float32), damped.astype(np.float32))

    def encode(self, w: Array, params: Params, scheme: Scheme) -> Array:
        """The codes, uint8 [rows, cols], of float32 w under parameters that were fitted to it."""
        rows, cols = w.shape
        size = group_size(scheme.granularity, cols)
        shape = (1, 1, rows) if scheme.granularity == PerTensor() else (rows, 1, 1)
        codes = np.empty((rows, cols), np.uint8)
        rounded = np.empty((rows, cols), np.float32)

        def round_column(at: int, values: Array) -> None:
            group = at // size
            of_group = {key: p if p.shape[1] == 1 else p[:, group : group + 1] for key, p in params.items()}
            code = scheme.encode(values.reshape(shape), of_group)
            codes[:, at] = code.ravel()
            rounded[:, at] = scheme.decode(code, of_group).ravel()

        rest = w[:, self.order]
        for start in range(0, cols, BLOCK):
            stop = min(start + BLOCK, cols)
            errors = np.empty((rows, stop - start), np.float32)
            for j in range(start, stop):
                at = self.order[j]
                round_column(at, rest[:, j])
                error = (rest[:, j] - rounded[:, at]) / self.spread[j, j]
                rest[:, j + 1 : stop] -= np.outer(error, self.spread[j, j + 1 : stop])
                errors[:, j - start] = error
            rest[:, stop:] -= errors @ self.spread[start:stop, stop:]

        slope = ((w - rounded) @ self.gram)[:, self.order]  # of half the squared error of the outputs, per weight
        gram = self.gram[np.ix_(self.order, self.order)]
        for start in [*range(0, cols, BLOCK)] * SWEEPS:
            stop = min(start + BLOCK, cols)
            moved = np.empty((rows, stop - start), np.float32)
            for j in range(start, stop):
                at = self.order[j]
                before = rounded[:, at].copy()
                round_column(at, before + slope[:, j] / gram[j, j])
                moved[:, j - start] = rounded[:, at] - before
                slope[:, j:stop] -= np.outer(moved[:, j - start], gram[j, j:stop])
            slope[:, :start] -= moved @ gram[start:stop, :start]
            slope[:, stop:] -= moved @ gram[start:stop, stop:]
            slope[:, start:stop] -= moved @ np.tril(gram[start:stop, start:stop], -1)
        return codes
