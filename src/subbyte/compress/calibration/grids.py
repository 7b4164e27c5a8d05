"""Static grids for the activations of an encoder, from what it has on the way when it reads calibration texts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np

from subbyte.compress.recipes.point_rules import Rounding
from subbyte.errors import SchemeError, UsageError
from subbyte.models.axis_order import order
from subbyte.numbers.arrays import Array
from subbyte.numbers.grids import Grid, from_range
from subbyte.numbers.ranges import ESTIMATORS

ORDERING_BATCHES = 10  # that the order of the embedding axis is made from, as in the paper

Batch = TypeVar("Batch")
Observe = Callable[[Batch, list[str]], Mapping[str, Array]]  # point -> float32 [rows, width] of the tokens of a batch


class Calibrated(NamedTuple):
    """A grid for every point that was asked for; and the order of the embedding axis that they are for, if one was."""

    grids: dict[str, Grid]
    permutation: tuple[int, ...] | None


def calibrate(
    observe: Observe[Batch],
    batches: Sequence[Batch],
    roundings: Mapping[str, Rounding],
    axis: Collection[str] | None = None,
) -> Calibrated:
    """Grids for all of `roundings`, in their order (recipe.resolve_points).

    observe  what the float32 encoder, in its own order, has at these points; without padding. Scores and probabilities
             come as [count, 1]. All points of a batch are in memory at once
    batches  in the order in which running ranges are to see them
    axis     the points whose columns are the embedding axis, if that is to be ordered first: the grids are then those
             of axis_order.permuted(model, pi)

    Raises UsageError without batches, and SchemeError with the points whose values are missing or not finite.
    """
    if not batches:
        raise UsageError("there is nothing to calibrate activations on; give a text")
    points = list(roundings)
    pi = None if axis is None else embedding_order(observe, batches, roundings, axis)
    estimators = {point: ESTIMATORS[r.range](r.bits, r.groups, r.symmetric) for point, r in roundings.items()}
    grids = {}
    for batch in batches:
        values = _observed(observe, batch, points)
        for point, estimator in estimators.items():
            x = values[point]
            if pi is not None and axis is not None and estimator.groups > 1 and point in axis:
                x = x[:, pi]
            try:
                estimator.observe(x)
            except SchemeError as error:
                raise SchemeError(f"{point}: {error}") from None
    for point, estimator in estimators.items():
        low, high = estimator.range()
        grid = from_range(low, high, estimator.bits, estimator.symmetric)
        grids[point] = replace(grid, operand=roundings[point].operand)
    return Calibrated(grids, None if pi is None else tuple(pi.tolist()))


def embedding_order(
    observe: Observe[Batch], batches: Sequence[Batch], roundings: Mapping[str, Rounding], axis: Collection[str]
) -> Array:
    """The order of the embedding axis, int64 [d], by the points on it that have groups.

    The range of a dimension is its largest in any of the first batches (in the reference code the last one decides); it
    has 0 in it, as grids have: what is always far from 0 is as bad for its group as what comes and goes.
    """
    points = [point for point, rounding in roundings.items() if rounding.groups > 1 and point in axis]
    if not points:
        raise UsageError("permute = true orders the embedding axis for groups; no point on that axis has any")
    ranges: dict[str, Array] = {}
    for batch in batches[:ORDERING_BATCHES]:
        for point, x in _observed(observe, batch, points).items():
            found = np.maximum(x.max(0), 0) - np.minimum(x.min(0), 0)
            ranges[point] = np.maximum(ranges[point], found) if point in ranges else found
    return order(ranges)


def _observed(observe: Observe[Batch], batch: Batch, points: list[str]) -> dict[str, Array]:
    """The values of exactly these points."""
    values = observe(batch, points)
    if missing := [point for point in points if point not in values]:
        raise SchemeError(f"these points were not observed: {' '.join(missing)}")
    return {point: values[point] for point in points}
