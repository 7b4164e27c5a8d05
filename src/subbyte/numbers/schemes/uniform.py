"""Equally spaced levels, 1 to 8 bits: symmetric, midrise (no zero, no wasted code) or affine (zero anywhere)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from subbyte.numbers.arrays import Array, astype, namespace
from subbyte.numbers.granularity import PER_ROW, Granularity
from subbyte.numbers.schemes.fitting import TINY, Params, Sorted, choose, fit_scale, half

RANGE_STEPS = 5
Loss = Callable[[Array], Array]  # candidate [rows, groups] -> squared error [rows, groups]


@dataclass(frozen=True)
class Uniform:
    """value = scale * (level - zero), with equally spaced integer levels.

    mode "symmetric"  levels -n..n, n = 2**(bits-1) - 1; code = level + n, the last is not used (1 bit: as midrise)
    mode "midrise"    levels -m, -m+2, .. m, m = 2**bits - 1; code = (level + m) / 2; 1 to 7 bits; 0.0 becomes +scale
    mode "affine"     levels -2**(bits-1)..2**(bits-1)-1 (-127..127 at 8 bits); code = level - lowest; `zero` is the
                      level of 0.0, which is always in the range
    range "mse"       the range with the least squared error, by search
    range "minmax"    the range of the weights
    range "steps"     from there 5 steps of least squares, each for the codes of the step before; not for affine. What
                      Aji & Heafield 2020 gave their fixed-point baseline; it stops far from the best
    """

    bits: int
    granularity: Granularity = PER_ROW
    mode: Literal["symmetric", "midrise", "affine"] = "symmetric"
    range: Literal["mse", "minmax", "steps"] = "mse"

    def __post_init__(self) -> None:
        choose("mode", self.mode, ("symmetric", "midrise", "affine"))
        choose("range", self.range, ("mse", "minmax") if self.mode == "affine" else ("mse", "minmax", "steps"))
        choose("bits", self.bits, range(1, 8) if self.mode == "midrise" else range(1, 9))

    @property
    def levels(self) -> tuple[int, ...]:
        """The level of each of the 2**bits codes; a code that is not used has its neighbour's."""
        return tuple(min(self._lowest + self._step * code, self._highest) for code in range(2**self.bits))

    @property
    def _step(self) -> int:
        return 2 if self.mode == "midrise" or (self.mode == "symmetric" and self.bits == 1) else 1

    @property
    def _highest(self) -> int:
        return (1 << self.bits) - 1 if self._step == 2 else (1 << self.bits - 1) - 1

    @property
    def _lowest(self) -> int:
        return -self._highest - (1 if self.mode == "affine" and self.bits < 8 else 0)

    def fit(self, w: Array) -> Params:
        """scale float16 [rows, groups], in units of w for one level; affine: zero int8 [rows, groups], in levels."""
        return self._fit_affine(w) if self.mode == "affine" else self._fit_symmetric(w)

    def encode(self, w: Array, params: Params) -> Array:
        """The nearest codes, uint8; halfway between two levels the even one (midrise: the upper one)."""
        return astype((self._nearest(w, params) - self._lowest) / self._step, "uint8")

    def decode(self, codes: Array, params: Params) -> Array:
        """The values of `codes`, float32; a code that is not used counts as the highest level."""
        level = namespace(codes).clip(astype(codes, "float32") * self._step + self._lowest, None, self._highest)
        return self._value(level, params)

    def rounded(self, w: Array, params: Params) -> Array:
        """What `decode` makes of the codes that `encode` gives, without them."""
        return self._value(self._nearest(w, params), params)

    def _nearest(self, w: Array, params: Params) -> Array:
        """The nearest level, still a float."""
        xp = namespace(w)
        level = w / astype(params["scale"], "float32")[..., None]
        level = xp.floor(level / 2) * 2 + 1 if self._step == 2 else xp.round(level)
        if "zero" in params:
            level = level + _zero(params)
        nearest: Array = xp.clip(level, self._lowest, self._highest)
        return nearest

    def _value(self, level: Array, params: Params) -> Array:
        if "zero" in params:
            level = level - _zero(params)
        return level * astype(params["scale"], "float32")[..., None]

    def _error(self, w: Array, params: Params) -> Array:
        """Squared error of each group, [rows, groups]."""
        xp = namespace(w)
        difference = self._value(self._nearest(w, params), params) - w
        error: Array = xp.sum(difference * difference, axis=-1, dtype=xp.float64)
        return error

    def _fit_symmetric(self, w: Array) -> Params:
        xp = namespace(w)
        magnitude = abs(w)
        top = xp.amax(magnitude, axis=-1)
        if self.range == "mse":  # the best top level is at least the mean, which it is at 1 bit
            least = xp.mean(magnitude, axis=-1)
            top = _search(lambda x: self._error(w, {"scale": half(x / self._highest)}), least, top)
        if self.range == "steps":
            magnitudes = range(self._highest, -1, -self._step)
            return {"scale": half(fit_scale(Sorted.of(magnitude), magnitudes, top / self._highest, RANGE_STEPS))}
        return {"scale": half(top / self._highest)}

    def _fit_affine(self, w: Array) -> Params:
        xp = namespace(w)
        below, above = xp.clip(-xp.amin(w, axis=-1), 0, None), xp.clip(xp.amax(w, axis=-1), 0, None)
        if self.range == "mse":  # both ends together, then one after the other
            least = xp.mean(abs(w), axis=-1) / 2
            most = xp.clip(xp.maximum(below, above), TINY, None)
            left, right = below / most, above / most
            both = _search(lambda end: self._affine_error(w, left * end, right * end), least, most)
            below, above = left * both, right * both
            for _ in range(2):
                above = _search(partial(self._affine_error, w, below), least, above, points=16)
                below = _search(partial(self._affine_error, w, above=above), least, below, points=16)
        return self._affine(below, above)

    def _affine_error(self, w: Array, below: Array, above: Array) -> Array:
        return self._error(w, self._affine(below, above))

    def _affine(self, below: Array, above: Array) -> Params:
        """The parameters that put -below on the lowest level and +above on the highest; both [rows, groups], >= 0."""
        xp = namespace(below)
        scale = half((below + above) / (self._highest - self._lowest))
        zero = xp.round(self._lowest + below / astype(scale, "float32"))
        return {"scale": scale, "zero": astype(xp.clip(zero, self._lowest, self._highest), "int8")}


def _zero(params: Params) -> Array:
    zero: Array = astype(params["zero"], "float32")[..., None]
    return zero


def _search(loss: Loss, least: Array, most: Array, points: int = 40) -> Array:
    """The value in least..most, [rows, groups], with the smallest loss: a geometric grid, then two finer ones there."""
    xp = namespace(most)
    ratio = xp.clip(least / xp.clip(most, TINY, None), None, 1)
    at, lowest = xp.zeros_like(most), loss(most)
    step = 1 / (points - 1)
    grids = [range(1, points), range(-3, 4), range(-3, 4)]
    for refinement, grid in enumerate(grids):
        centre = at
        for i in grid:
            candidate = xp.clip(centre + i * step / 4**refinement, 0, None)
            error = loss(most * ratio**candidate)
            at, lowest = xp.where(error < lowest, candidate, at), xp.minimum(error, lowest)
    found: Array = most * ratio**at
    return found
