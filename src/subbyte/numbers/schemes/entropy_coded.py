"""One step and as many levels as it needs, for codes that an entropy coder will store in what they are worth.

A code of b bits spends b bits on every weight; weights are bell-shaped, and small levels are common. Where a coder
spends what a level is worth, the best levels at a given rate are equally spaced, with no scale of a row
(entropy-constrained scalar quantization; Gish and Pierce 1968: at high rate a quarter of a bit from the best there is).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from subbyte.numbers.arrays import Array, astype, constant, namespace
from subbyte.numbers.granularity import PER_TENSOR, Granularity
from subbyte.numbers.schemes.fitting import Params, choose, half, number


@dataclass(frozen=True)
class EntropyCoded:
    """value = scale * level, code = the place of the level among them.

    bits       of a code where it is not entropy coded, as in memory: 2 to 8. What it takes in a packed file is its
               entropy, about 2.05 - log2(step) bits
    step       between two levels, in root mean squares of the weights that share it; 0: 8 / 2**bits
    dead_zone  added to the border of each level but the outermost, away from zero, in steps: levels nearer to zero are
               worth fewer bits. Where outputs are kept (output_rounding.py) `rate` does that better
    rate       the weight of bits beside the error of outputs there, in units of the exchange at high rate, ln 2 / 6 of
               a squared step for a bit
    """

    bits: int
    granularity: Granularity = PER_TENSOR
    step: float = 0.0
    dead_zone: float = 0.12
    rate: float = 0.7

    def __post_init__(self) -> None:
        choose("bits", self.bits, range(2, 9))
        number("step", self.step, 0, 1e4)
        number("dead_zone", self.dead_zone, 0, 0.45)
        number("rate", self.rate, 0, 10)

    @property
    def levels(self) -> tuple[int, ...]:
        """The level of each code, rising; at 8 bits the last, which is not used, has its neighbour's."""
        half_of_them = 1 << self.bits - 1
        return (*range(-127, 128), 127) if self.bits == 8 else tuple(range(-half_of_them, half_of_them))

    def fit(self, w: Array) -> Params:
        """scale float16 [rows, groups], in units of w for one level."""
        xp = namespace(w)
        squares = xp.mean(w * w, axis=-1, dtype=xp.float64)
        return {"scale": half(xp.sqrt(squares) * (self.step or 8 / 2**self.bits))}

    def encode(self, w: Array, params: Params) -> Array:
        """The codes of the nearest levels, uint8, with the dead zone."""
        level = w / astype(params["scale"], "float32")[..., None]
        codes = namespace(w).searchsorted(constant(self.borders, like=level), level, side="right")
        return astype(codes, "uint8")

    def decode(self, codes: Array, params: Params) -> Array:
        scale = astype(params["scale"], "float32")
        return constant(self.levels, like=scale)[astype(codes, "int64")] * scale[..., None]

    @property
    def borders(self) -> tuple[float, ...]:
        """From where on a weight has the next code, in levels, dead zone included: one for each code but the first."""
        middles = [(low + high) / 2 for low, high in pairwise(self.levels) if low < high]
        return tuple(middle + math.copysign(self.dead_zone, middle) for middle in middles)
