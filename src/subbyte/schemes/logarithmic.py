"""Powers of two with a sign, 1 to 4 bits. (Aji & Heafield 2020, "Compressing NMT models with 4-bit precision")"""

from __future__ import annotations

from dataclasses import dataclass

from subbyte.arrays import Array, astype, constant, namespace
from subbyte.granularity import PER_ROW, Granularity
from subbyte.schemes.fitting import Params, Sorted, choose, half


@dataclass(frozen=True)
class Logarithmic:
    """value = scale * level, level = +-round(127 * 2**-k): 127 64 32 16 8 4 2 1, the first 2**(bits-1) of them.

    The top bit of a code is the sign (set: negative), the others are k. There is no zero: 0.0 becomes the smallest
    positive level. The scale starts at the largest weight and takes at most `scale_steps` steps of least squares, each
    for the codes of the step before (a local search, as in the paper, which took 5 steps; 0 keeps the largest weight).
    """

    bits: int
    granularity: Granularity = PER_ROW
    scale_steps: int = 50

    def __post_init__(self) -> None:
        choose("bits", self.bits, range(1, 5))
        choose("scale_steps", self.scale_steps, range(0, 10001))

    @property
    def levels(self) -> tuple[int, ...]:
        """The level of each code."""
        return (*self.magnitudes, *(-m for m in self.magnitudes))

    @property
    def magnitudes(self) -> tuple[int, ...]:
        """The positive levels, falling."""
        return tuple(round(127 * 2**-k) for k in range(2 ** (self.bits - 1)))

    def fit(self, w: Array) -> Params:
        """scale float16 [rows, groups], in units of w for one level."""
        largest = namespace(w).amax(abs(w), axis=-1) / self.magnitudes[0]
        groups = Sorted.of(abs(w)) if self.scale_steps else None
        return {"scale": half(fit_scale(groups, self.magnitudes, largest, self.scale_steps) if groups else largest)}

    def encode(self, w: Array, params: Params) -> Array:
        """The nearest codes, uint8; halfway between two levels the larger magnitude."""
        magnitude, scale = abs(w), astype(params["scale"], "float32")[..., None]
        codes = astype(w < 0, "uint8") << (self.bits - 1)
        for larger, smaller in zip(self.magnitudes, self.magnitudes[1:], strict=False):
            codes = codes + astype(magnitude < (larger + smaller) / 2 * scale, "uint8")
        return codes

    def decode(self, codes: Array, params: Params) -> Array:
        """The values of `codes`, float32."""
        scale = astype(params["scale"], "float32")
        return constant(self.levels, like=scale)[astype(codes, "int64")] * scale[..., None]


def fit_scale(groups: Sorted, magnitudes: tuple[float, ...], scale: Array, steps: int) -> Array:
    """The scale, [rows, groups], after `steps` rounds of: nearest magnitude for each |w|, then least squares.

    groups      the sorted |w|
    magnitudes  falling; scale * magnitudes are the positive levels
    """
    xp = namespace(scale)
    levels = constant(magnitudes[::-1], like=groups.sums)
    borders = (levels[1:] + levels[:-1]) / 2
    scale = astype(scale, "float64")
    for _ in range(steps):
        counts, sums = groups.bins(borders * scale[..., None])
        refitted = xp.sum(levels * sums, axis=-1) / xp.sum(levels * levels * counts, axis=-1)
        if bool((refitted == scale).all()):
            break
        scale = refitted
    return scale
