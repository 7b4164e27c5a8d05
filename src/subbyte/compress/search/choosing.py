"""Which bits each matrix should get, given what they cost: the least loss that fits. Pure: numbers in, a choice out.

A `Cost` says what rounding some rows of a matrix loses, an `Option` is a way of storing a matrix, and `choose` takes
one option of each matrix (a multiple-choice knapsack, solved exactly by dynamic programming).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from subbyte.errors import SchemeError
from subbyte.numbers.arrays import Array
from subbyte.numbers.granularity import RowClusters
from subbyte.numbers.schemes import Clustered, Scheme

UNITS = 1 << 17  # that the size of all matrices at their largest is divided into
RATIOS = (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4)  # of clusters that are offered
MOST_CLUSTERS = 5
LEAST = 1e-9  # nats a token; nothing is for nothing


@dataclass(frozen=True)
class Cost:
    """Rows of one matrix: all of them, or a range of words, the most frequent ones first.

    rows    how many
    losses  scheme -> nats a token that the model loses if these rows alone are rounded so; at least one is measured
    errors  scheme -> squared error of their outputs, in any unit; of those schemes at least
    """

    rows: int
    losses: Mapping[Scheme, float]
    errors: Mapping[Scheme, float]

    def loss(self, scheme: Scheme) -> float:
        """In nats a token, for any scheme: between those measured by the error, beyond them in proportion to it."""
        error = self.error(scheme)
        points = sorted((self.errors[one], nats) for one, nats in self.losses.items() if self.errors[one] > 0)
        if error <= 0 or not points:
            return 0.0
        errors = np.array([error for error, _ in points])
        losses = np.maximum.accumulate([max(nats, LEAST) for _, nats in points])
        if not errors[0] <= error <= errors[-1]:
            nearest = 0 if error < errors[0] else -1
            return float(losses[nearest] * error / errors[nearest])
        return float(np.exp(np.interp(np.log(error), np.log(errors), np.log(losses))))

    def error(self, scheme: Scheme) -> float:
        """Where it was not measured: that of the nearest width of the scheme that was, and four times less a bit."""
        if scheme in self.errors:
            return self.errors[scheme]
        alike = [one for one in self.errors if replace(scheme, bits=one.bits) == one]
        if not alike:
            raise ValueError(f"nothing was measured of {scheme}")
        nearest = min(alike, key=lambda one: abs(one.bits - scheme.bits))
        return float(self.errors[nearest] * 4.0 ** (nearest.bits - scheme.bits))


class Option(NamedTuple):
    """A way of storing a matrix: bytes in the file, and nats a token that it is expected to lose."""

    scheme: Scheme | Clustered
    bytes: int
    loss: float


def widths(scheme: Scheme) -> list[Scheme]:
    """The scheme at every width that it has."""
    found = []
    for bits in range(1, 9):
        try:
            found.append(replace(scheme, bits=bits))
        except SchemeError:
            continue
    return found


def options(
    costs: Sequence[Cost], schemes: Sequence[Scheme], size: Callable[[Scheme | Clustered], int]
) -> list[Option]:
    """What is worth considering for a matrix, smallest first: all that nothing else beats in both size and loss.

    costs    of all its rows; if of several ranges of words, clusters are considered too
    schemes  what it may be stored as
    size     bytes of the matrix in the file
    """
    losses = {scheme: [cost.loss(scheme) for cost in costs] for scheme in schemes}
    found = [Option(scheme, size(scheme), sum(several)) for scheme, several in losses.items()]
    if len(costs) > 1:
        ends = np.cumsum([0, *(cost.rows for cost in costs)])
        for clustered in _clusterings(schemes, int(ends[-1])):
            loss = 0.0
            borders = np.cumsum([0, *clustered.clusters.sizes(int(ends[-1]))])
            for scheme, (first, last) in zip(clustered.schemes, pairwise(borders), strict=True):
                inside = np.minimum(last, ends[1:]) - np.maximum(first, ends[:-1])
                loss += float(np.clip(inside, 0, None) / np.diff(ends) @ losses[scheme])
            found.append(Option(clustered, size(clustered), loss))
    return _undominated(found)


def _clusterings(schemes: Sequence[Scheme], rows: int) -> Iterator[Clustered]:
    """Clusters of which every width is among the schemes."""
    for scheme, count, ratio in product(schemes, range(2, MOST_CLUSTERS + 1), RATIOS):
        if count < scheme.bits + 1 and count <= rows:
            clustered = Clustered(scheme, RowClusters(count, ratio))
            if all(one in schemes for one in clustered.schemes):
                yield clustered


def _undominated(found: Sequence[Option]) -> list[Option]:
    kept: list[Option] = []
    for option in sorted(found, key=lambda option: (option.bytes, option.loss)):
        if not kept or option.loss < kept[-1].loss:
            kept.append(option)
    return kept


def choose(
    found: Mapping[str, Sequence[Option]], room: int, excess: Callable[[Mapping[str, Option]], int] | None = None
) -> dict[str, Option] | None:
    """One option of each matrix, with the least loss of all that fit into `room` bytes together; None if none does.

    excess  by how many bytes a choice is too large after all, where sizes are no plain sums; less room is then tried,
            by half of the excess at least, until there is none

    Sizes are rounded up to units: bytes, or 1/131,072 of what all takes at the most, if that is more. More room never
    gives a choice that loses more.
    """
    most = sum(max(option.bytes for option in several) for several in found.values())
    unit = max(1, -(-most // UNITS))
    room = min(room, most + len(found) * unit)
    if room < 0:
        return None
    sizes = {name: [-(-option.bytes // unit) for option in several] for name, several in found.items()}
    least, picks = _table(found, sizes, -(-room // unit) if excess else room // unit)
    left = len(least) - 1
    while left >= 0 and math.isfinite(least[left]):
        chosen, rest = {}, left
        for name in reversed(picks):
            at = picks[name][rest]
            chosen[name] = found[name][at]
            rest -= sizes[name][at]
        over = excess(chosen) if excess else 0
        if over <= 0:
            return {name: chosen[name] for name in found}
        left -= max(rest + 1, over // 2 // unit)  # with as much room as was taken nothing else is chosen
    return None


def _table(
    found: Mapping[str, Sequence[Option]], sizes: Mapping[str, Sequence[int]], room: int
) -> tuple[Array, dict[str, Array]]:
    """The least loss for every room, in units, and for each matrix the option that it then has if it is the last."""
    least = np.zeros(room + 1)
    picks = {}
    for name, several in found.items():
        best, pick = np.full(room + 1, np.inf), np.zeros(room + 1, np.int16)
        for i, (option, size) in enumerate(zip(several, sizes[name], strict=True)):
            if size <= room:
                losses = least[: room + 1 - size] + option.loss
                better = losses < best[size:]
                best[size:][better] = losses[better]
                pick[size:][better] = i
        least, picks[name] = best, pick
    return least, picks
