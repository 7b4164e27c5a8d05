"""How much a figure would differ on other texts of the same kind: standard errors over texts. Pure: numbers in and out.

Nothing is drawn: a figure is made anew without each text, or each of GROUPS groups of texts (the jackknife), so the
same texts have the same noise again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from subbyte.numbers.arrays import Array

GROUPS = 100  # of texts, where there are more: one of them is left out at a time
SURE = 3.0  # standard errors that a difference has to have to be told as one: a page has some twenty of them

Statistic = Callable[[Array], float]  # numbers of texts -> a figure of these texts


@dataclass(frozen=True)
class Difference:
    """What one mean has more than another over the same texts, and its standard error."""

    by: float
    noise: float

    @property
    def tie(self) -> bool:
        """Whether other texts could show the contrary."""
        return abs(self.by) <= SURE * self.noise

    def enough(self, texts: int) -> int | None:
        """How many texts would show a difference of that size, where so many do not; None if there is none to show."""
        return None if not self.by else math.ceil(texts * (SURE * self.noise / self.by) ** 2)


def standard_error(statistic: Statistic, texts: int) -> float:
    """Of a figure of so many texts."""
    groups = min(texts, GROUPS)
    of = np.arange(texts) % groups
    found = np.array([statistic(np.flatnonzero(of != group)) for group in range(groups)]) if groups > 1 else np.zeros(1)
    return float(np.sqrt((groups - 1) * found.var()))


def share_noise(share: float, count: int) -> float:
    """The least noise of a share of `count` things: as if one more had come out either way, for none is not never."""
    p = (share * count + 1) / (count + 2)
    return math.sqrt(p * (1 - p) / count)


def difference(one: Sequence[float], other: Sequence[float]) -> Difference:
    """Of the means of two rows of numbers, one of each text: what is the same on each text is no noise."""
    x = np.subtract(one, other, dtype=np.float64)
    noise = float(x.std(ddof=1) / np.sqrt(x.size)) if x.size > 1 else 0.0
    return Difference(float(x.mean()), noise)


def figures(statistics: Mapping[str, Statistic], texts: int) -> tuple[dict[str, float], dict[str, float]]:
    """Each figure of all texts, and the standard error of each."""
    every = np.arange(texts)
    return (
        {name: statistic(every) for name, statistic in statistics.items()},
        {name: standard_error(statistic, texts) for name, statistic in statistics.items()},
    )
