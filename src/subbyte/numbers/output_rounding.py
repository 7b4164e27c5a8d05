"""Rounding that keeps what a matrix multiplies out to, not its weights. Arrays in, arrays out.

Nearest rounding is best for the weights; what counts are the outputs. So columns are rounded one by one, and the
weights of a row that are not rounded yet move so that its outputs stay where they were, in least squares over the
inputs of a calibration text (Frantar et al. 2022, "GPTQ"; the idea is LeCun's and Hassibi's). Then every code is looked
at again, given all the others (coordinate descent). It works for every scheme, because whatever a scheme's `encode`
does, there is a border between two levels; rows are rounded by the core, by these borders (core/kernels.hpp).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from subbyte import _core
from subbyte.numbers.arrays import Array
from subbyte.numbers.cores import available_cores
from subbyte.numbers.granularity import group_size
from subbyte.numbers.schemes import EntropyCoded, Params, Scheme

DAMPING = 0.01  # of the mean of the gram's diagonal, added to it: no direction counts for nothing
SWEEPS = 2  # times that every code is looked at again; a third changes the error by less than one percent
HISTOGRAMS = 2  # times that a matrix is rounded by the bits that its codes had the time before
UNSEEN = 0.5  # times that a code counts that is not among them
SMALL = 64  # columns of a triangle that is inverted as it is
STEPS = 64  # floats that a border may lie from halfway between its levels, because `encode` rounds


@dataclass(frozen=True)
class Columns:
    """The order in which the columns of a matrix are rounded, and what the error of each does to those after it."""

    order: Array  # uint32 [cols]: those with the largest inputs first
    spread: Array  # float32 [cols, cols], upper triangular, in that order: the Cholesky factor of the inverse gram
    gram: Array  # float32 [cols, cols], in that order

    @classmethod
    def of(cls, gram: Array) -> Columns:
        """From float64 [cols, cols], the sum of x x' over the inputs x."""
        cols = len(gram)
        damped = gram + (DAMPING * float(np.trace(gram)) / cols + np.finfo(np.float32).tiny) * np.eye(cols)
        order = np.argsort(-np.diag(damped), kind="stable")
        damped = damped[np.ix_(order, order)]
        # With L L' the gram turned upside down and back to front, its inverse has the factor inv(L), turned likewise.
        spread = _inverse(np.linalg.cholesky(damped[::-1, ::-1]))[::-1, ::-1]
        return cls(
            order.astype(np.uint32), np.ascontiguousarray(spread, np.float32), np.ascontiguousarray(damped, np.float32)
        )

    def encode(self, w: Array, params: Params, scheme: Scheme, threads: int | None = None) -> Array:
        """The codes, uint8 [rows, cols], of float32 w under parameters that were fitted to it; threads: all cores."""
        rows, cols = w.shape
        size = group_size(scheme.granularity, cols)
        rate = scheme.rate if isinstance(scheme, EntropyCoded) else 0.0
        if isinstance(scheme, EntropyCoded) and rate:  # which does what a dead zone is for
            scheme = replace(scheme, dead_zone=0.0)
        codes, values, borders = steps(scheme, params)
        if isinstance(scheme, EntropyCoded):  # whose range may be far too small for a few weights
            w = within(w, values, size)

        def numbered(sweeps: int, shift: Array | None = None) -> Array:
            return _core.compensate(
                np.ascontiguousarray(w, np.float32), self.order, self.spread, self.gram, borders, values, sweeps,
                shift=shift, threads=threads or available_cores(),
            )  # fmt: skip

        numbers = numbered(0 if rate else SWEEPS)
        for _ in range(HISTOGRAMS if rate else 0):
            numbers = numbered(SWEEPS, self._shift(values, numbers, rate))
        if len(codes) == 1:
            one: Array = codes[0, 0][numbers]
            return one
        return np.take_along_axis(codes, numbers.reshape(rows, cols // size, size).astype(np.intp), 2).reshape(w.shape)

    def _shift(self, values: Array, numbers: Array, rate: float) -> Array:
        """How far borders move because their levels differ in bits, as many as they are worth among these `numbers`.

        With D the squared error of outputs for a weight and R its bits, a code is chosen by D + exchange * R. At
        high rate D is a twelfth of the squared step, and four times less for a bit more: the exchange is ln 2 / 6 of a
        squared step, times what an error of a weight is in its outputs. `rate` is its share that counts.
        """
        counts = np.bincount(numbers.ravel(), minlength=values.shape[-1])
        bits = np.log2(counts.sum() / np.maximum(counts, UNSEEN))
        apart = np.diff(values, axis=-1)
        step = np.min(apart, axis=-1, where=apart > 0, initial=np.inf, keepdims=True)
        weight = np.mean(1.0 / np.square(np.diagonal(self.spread), dtype=np.float64))
        exchange = rate * math.log(2) / 6 * np.where(np.isfinite(step), step, 0) ** 2 * weight
        shift = np.divide(exchange * np.diff(bits), 2 * apart, out=np.zeros_like(apart), where=apart > 0)
        return np.ascontiguousarray(shift, np.float32)


def columns_of(grams: Mapping[str, Array]) -> dict[str, Columns]:
    """The columns of each sum, made once for those that are one array: for who rounds a model by several recipes."""
    made: dict[int, Columns] = {}
    for gram in grams.values():
        made[id(gram)] = made.get(id(gram)) or Columns.of(gram)
    return {name: made[id(gram)] for name, gram in grams.items()}


def steps(scheme: Scheme, params: Params) -> tuple[Array, Array, Array]:
    """A scheme's `encode` as steps: its codes by rising value, [rows, groups, 2**bits], their values, and the borders.

    borders  [rows, groups, 2**bits - 1]: a weight has the code whose place is the number of borders not above it. Codes
             that `encode` never gives stand for the value of others; then two borders are one.
    """
    shape = params["scale"].shape
    every = np.broadcast_to(np.arange(2**scheme.bits, dtype=np.uint8), (*shape, 2**scheme.bits))
    values = np.sort(scheme.decode(every, params), axis=-1)
    lower, upper = values[..., :-1], values[..., 1:]
    borders = (lower + upper) / 2
    if isinstance(scheme, EntropyCoded):  # with a dead zone
        away = scheme.dead_zone * np.sign(borders) * params["scale"].astype(np.float32)[..., None]
        borders = borders + away
    for _ in range(STEPS):
        below = -_above(-borders)
        high = scheme.decode(scheme.encode(below, params), params) >= upper
        low = scheme.decode(scheme.encode(borders, params), params) < upper
        if not ((high | low) & (lower < upper)).any():
            break
        borders = np.where(high, below, np.where(low, _above(borders), borders))
    borders = np.maximum.accumulate(np.where(lower < upper, borders, np.float32(-np.inf)), axis=-1)
    return scheme.encode(values, params), values, borders


def within(w: Array, values: Array, size: int) -> Array:
    """The weights, those out of reach as the outermost values, [rows, groups, 2**bits], of groups of so many columns.

    They are lost anyway. Where one is a hundred times as large as the others, which encoders have, all others of its
    row would be moved far away for the sake of its outputs.
    """
    rows, cols = w.shape
    low, high = (np.broadcast_to(values[..., end, None], (rows, cols // size, size)) for end in (0, -1))
    clipped: Array = np.clip(w.reshape(low.shape), low, high).reshape(w.shape)
    return clipped


def _above(x: Array) -> Array:
    """The next larger float32 of each, but none that is denormal: to the core they are zeros."""
    found = np.nextafter(x, np.float32(np.inf))
    least = np.finfo(np.float32).tiny
    above: Array = np.where(abs(found) >= least, found, np.where(x < 0, np.float32(0), least))
    return above


def _inverse(lower: Array) -> Array:
    """The inverse of a lower triangular matrix, a third of the work of one that is not."""
    half = len(lower) // 2
    if len(lower) <= SMALL:
        small: Array = np.tril(np.linalg.inv(lower))
        return small
    first, last = _inverse(lower[:half, :half]), _inverse(lower[half:, half:])
    found = np.zeros_like(lower)
    found[:half, :half], found[half:, half:] = first, last
    found[half:, :half] = -last @ (lower[half:, :half] @ first)
    return found
