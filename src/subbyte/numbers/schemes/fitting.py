"""What the schemes share: the rounding of scales, the sums of sorted weights that a fit needs, checks of options."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from subbyte.errors import SchemeError
from subbyte.numbers.arrays import Array, arange, astype, constant, namespace, sort

Params = Mapping[str, Array]  # scale float16 [rows, groups] and, by scheme, zero or alphas: the fields of model.Block

SMALLEST_SCALE = 2.0**-24  # the smallest positive float16
LARGEST_SCALE = 65504.0  # the largest
TINY = 1e-30  # keeps a division by a group of zeros finite


def half(scale: Array) -> Array:
    """`scale` as stored: float16, at least 2**-24, so that a group of zeros has one too."""
    xp = namespace(scale)
    if float(scale.max()) > LARGEST_SCALE:
        raise SchemeError(f"a scale of {float(scale.max()):.3g} does not fit float16 (at most {LARGEST_SCALE:g})")
    return astype(xp.clip(scale, SMALLEST_SCALE, None), "float16")


@dataclass(frozen=True)
class Sorted:
    """The weights of each group in rising order with their running sums: all that a fit of levels needs to know."""

    values: Array  # float32 [rows, groups, size]
    sums: Array  # float64 [rows, groups, size + 1], sums[..., i] is the sum of the i smallest

    @classmethod
    def of(cls, w: Array) -> Sorted:
        """w [rows, groups, size], in any order."""
        xp = namespace(w)
        values = sort(w)
        running = xp.cumsum(values, axis=-1, dtype=xp.float64)
        return cls(values, xp.concatenate([xp.zeros_like(running[..., :1]), running], axis=-1))

    def bins(self, thresholds: Array) -> tuple[Array, Array]:
        """How many weights are nearest to each level, and their sum: float64 [rows, groups, levels], twice.

        thresholds  [rows, groups, levels - 1], rising, the borders between levels; a weight on a border belongs above
        """
        xp = namespace(thresholds)
        groups, size = thresholds.shape[:-1], self.values.shape[-1]
        thresholds = astype(thresholds, "float32")
        group = arange(groups[0] * groups[1], like=thresholds).reshape(*groups, 1)
        first = group * size
        at = first + xp.zeros_like(thresholds, dtype=xp.int64)
        while size:  # binary search for the first weight not below the threshold; `size` of them are left to look at
            step = (size + 1) // 2
            at = at + step * (xp.take(self.values, at + (step - 1)) < thresholds)
            size -= step
        edges = xp.concatenate([first, at, first + self.values.shape[-1]], axis=-1)
        sums = xp.take(self.sums, edges + group)
        return astype(edges[..., 1:] - edges[..., :-1], "float64"), sums[..., 1:] - sums[..., :-1]


def squared_error(levels: Array, counts: Array, sums: Array) -> Array:
    """[rows, groups]: squared error of `levels` for these bins, less the sum of squared weights (the same for all)."""
    error: Array = (levels * (levels * counts - 2 * sums)).sum(-1)
    return error


def fit_scale(groups: Sorted, magnitudes: Sequence[float], scale: Array, steps: int) -> Array:
    """The scale, [rows, groups], after `steps` rounds of: nearest magnitude for each |w|, then least squares.

    groups      the sorted |w|
    magnitudes  falling; scale * magnitudes are the positive levels
    """
    xp = namespace(scale)
    for _ in range(steps):
        levels, (counts, sums) = nearest_bins(groups, magnitudes, scale)
        refitted = scale * xp.sum(levels * sums, axis=-1) / xp.clip(xp.sum(levels**2 * counts, axis=-1), TINY, None)
        if bool((refitted == scale).all()):
            break
        scale = refitted
    return scale


def nearest_bins(groups: Sorted, magnitudes: Sequence[float], scale: Array) -> tuple[Array, tuple[Array, Array]]:
    """The positive levels in rising order, [rows, groups, levels], and the |w| that are nearest to each."""
    levels = constant(magnitudes[::-1], like=scale) * scale[..., None]
    return levels, groups.bins((levels[..., 1:] + levels[..., :-1]) / 2)


def choose(option: str, value: object, allowed: Collection[object]) -> None:
    """Raise unless `value` is one of `allowed`."""
    if any(type(value) is type(one) and value == one for one in allowed):
        return
    if isinstance(allowed, range):
        raise SchemeError(f"{option}: expected {allowed[0]}..{allowed[-1]}, got {value!r}")
    raise SchemeError(unknown(option, value, [str(one) for one in allowed]))


def unknown(what: str, name: object, known: Collection[str]) -> str:
    """The message for a word that is not one of `known`, with the nearest one if there is any."""
    near = get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{what}: {name!r} is none of {', '.join(known)}{hint}"


def number(option: str, value: object, least: float, most: float) -> None:
    """Raise unless `value` is a number from `least` to `most`."""
    if type(value) not in (int, float) or not least <= value <= most:  # type: ignore[operator]
        raise SchemeError(f"{option}: expected a number from {least:g} to {most:g}, got {value!r}")
