"""What the families share whose levels are fixed numbers with a sign, times a scale."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from subbyte.numbers.arrays import Array, astype, constant, namespace
from subbyte.numbers.granularity import PER_ROW, Granularity
from subbyte.numbers.schemes.fitting import Params, Sorted, choose, fit_scale, half, nearest_bins, squared_error


@dataclass(frozen=True)
class SignedLevels(ABC):
    """value = scale * level, level = +-magnitude.

    The top bit of a code is the sign (set: negative), the others are the place of the magnitude. There is no zero: 0.0
    becomes the smallest positive level. The scale starts at the largest weight and takes `scale_steps` steps of least
    squares, each for the codes of the step before. That is a local search, so it is done from `scale_starts` starts,
    lower by equal shares of 1.5 octaves, and the best is kept.
    """

    bits: int
    granularity: Granularity = PER_ROW
    scale_steps: int = 15
    scale_starts: int = 4

    MOST_BITS: ClassVar[int]

    def __post_init__(self) -> None:
        choose("bits", self.bits, range(1, self.MOST_BITS + 1))
        choose("scale_steps", self.scale_steps, range(0, 10001))
        choose("scale_starts", self.scale_starts, range(1, 101))

    @property
    @abstractmethod
    def magnitudes(self) -> tuple[int, ...]:
        """The positive levels, falling from 127; 2**(bits-1) of them."""

    @property
    def levels(self) -> tuple[int, ...]:
        """The level of each code."""
        return (*self.magnitudes, *(-m for m in self.magnitudes))

    def fit(self, w: Array) -> Params:
        """scale float16 [rows, groups], in units of w for one level."""
        groups = Sorted.of(abs(w))
        largest = astype(groups.values[..., -1], "float64") / self.magnitudes[0]
        best = fit_scale(groups, self.magnitudes, largest, self.scale_steps)
        for start in range(1, self.scale_starts):
            lower = largest * 2 ** (-1.5 * start / self.scale_starts)
            best = _better(groups, self.magnitudes, fit_scale(groups, self.magnitudes, lower, self.scale_steps), best)
        return {"scale": half(best)}

    def encode(self, w: Array, params: Params) -> Array:
        """The nearest codes, uint8; halfway between two levels the larger magnitude."""
        magnitude, scale = abs(w), astype(params["scale"], "float32")[..., None]
        codes = astype(w < 0, "uint8") << (self.bits - 1)
        for larger, smaller in zip(self.magnitudes, self.magnitudes[1:], strict=False):
            codes = codes + astype(magnitude < (larger + smaller) / 2 * scale, "uint8")
        return codes

    def decode(self, codes: Array, params: Params) -> Array:
        scale = astype(params["scale"], "float32")
        return constant(self.levels, like=scale)[astype(codes, "int64")] * scale[..., None]


def _better(groups: Sorted, magnitudes: Sequence[float], first: Array, second: Array) -> Array:
    """For each group, the scale with the smaller error."""
    xp = namespace(first)
    errors = [
        squared_error(levels, *bins) for levels, bins in (nearest_bins(groups, magnitudes, s) for s in (first, second))
    ]
    better: Array = xp.where(errors[0] < errors[1], first, second)
    return better
