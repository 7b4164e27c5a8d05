"""Sums of +-alpha, one bit a plane, 1 to 4 planes. (Chung et al. 2020, "Extremely Low Bit Transformer Quantization")"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from subbyte.arrays import Array, argsort, astype, constant, namespace, solve, sort, take
from subbyte.granularity import PER_ROW, Granularity
from subbyte.schemes.fitting import Params, Sorted, choose, half, squared_error

LARGEST_SUM = 127  # of the alphas of a group: the largest level
SCALES_TRIED = 16  # the alphas of a group are rounded with their sum at 127, 126, ..; the best is kept


@dataclass(frozen=True)
class BinaryCoding:
    """value = scale * sum over planes i of +alpha[i] where bit i of the code is set, else -alpha[i].

    The alphas are integers >= 0 with a sum of at most 127, falling, for each group of weights. How they are found:

    solver "greedy"       each plane takes the mean of what the planes before it left over (the paper)
    solver "refit"        greedy, with all alphas so far refitted by least squares after each plane
    solver "alternating"  greedy, then `rounds` of: nearest codes, all alphas by least squares (Xu et al. 2018)

    Then they are rounded to integers. Codes are the nearest level whatever the solver: the greedy code often is not,
    and coding what was decoded must change nothing.
    """

    bits: int
    granularity: Granularity = PER_ROW
    solver: Literal["greedy", "refit", "alternating"] = "alternating"
    rounds: int = 15

    def __post_init__(self) -> None:
        choose("bits", self.bits, range(1, 5))
        choose("solver", self.solver, ("greedy", "refit", "alternating"))
        choose("rounds", self.rounds, range(0, 10001))

    @property
    def levels(self) -> None:
        """None: each group has its own."""
        return None

    def fit(self, w: Array) -> Params:
        """scale float16 [rows, groups], in units of w; alphas uint8 [rows, groups, bits], in units of the scale."""
        groups = Sorted.of(w)
        return to_integers(groups, self.solve(groups))

    def solve(self, groups: Sorted) -> Array:
        """The alphas before rounding, in units of the weights: float64 [rows, groups, bits], falling, >= 0."""
        match self.solver:
            case "greedy":
                alphas = greedy(groups.values, self.bits)
            case "refit":
                alphas = refit(groups.values, self.bits)
            case "alternating":
                alphas = greedy(groups.values, self.bits)
                for _ in range(self.rounds):
                    alphas = alternate(groups, alphas)
        return _falling(alphas)

    def encode(self, w: Array, params: Params) -> Array:
        """The codes of the nearest levels, uint8; halfway between two levels the upper one."""
        xp = namespace(w)
        scale = astype(params["scale"], "float32")[..., None]
        order, rising = _ordered(astype(params["alphas"], "float32"))
        borders = (rising[..., 1:] + rising[..., :-1]) / 2 * scale
        order = astype(order, "uint8")
        flips = order[..., 1:] ^ order[..., :-1]  # the bits that change at each border
        codes: Array = xp.zeros_like(w, dtype=xp.uint8) ^ order[..., :1]
        for i in range(flips.shape[-1]):
            codes = codes ^ (w >= borders[..., i : i + 1]) * flips[..., i : i + 1]
        return codes

    def decode(self, codes: Array, params: Params) -> Array:
        """The values of `codes`, float32."""
        levels = _levels(astype(params["alphas"], "float32")) * astype(params["scale"], "float32")[..., None]
        return take(levels, astype(codes, "int64"))


def greedy(w: Array, bits: int) -> Array:
    """Alphas, each the mean of what the ones before left over. w [rows, groups, size] -> [rows, groups, bits]"""
    xp = namespace(w)
    alphas: list[Array] = []
    for _ in range(bits):
        alphas.append(xp.mean(abs(w), axis=-1, dtype=xp.float64))
        alpha = astype(alphas[-1], "float32")[..., None]
        w = w - xp.where(w >= 0, alpha, -alpha)
    stacked: Array = xp.stack(alphas, -1)
    return stacked


def refit(w: Array, bits: int) -> Array:
    """Alphas, all of them refitted to w after each plane. w [rows, groups, size] -> [rows, groups, bits]"""
    xp = namespace(w)
    planes: list[Array] = []
    rest = w
    for _ in range(bits):
        planes.append(xp.where(rest >= 0, xp.ones_like(w), -1))
        b = xp.stack(planes, -2)  # [rows, groups, planes, size]
        alphas = _least_squares(b @ b.swapaxes(-1, -2), (b @ w[..., None])[..., 0])
        rest = w - (astype(alphas, "float32")[..., None, :] @ b)[..., 0, :]
    return alphas


def alternate(groups: Sorted, alphas: Array) -> Array:
    """The least-squares alphas, [rows, groups, bits], for the nearest codes under the alphas given."""
    order, rising = _ordered(alphas)
    counts, sums = groups.bins((rising[..., 1:] + rising[..., :-1]) / 2)
    planes = _signs(alphas)[order]  # [rows, groups, levels, planes]
    across = planes.swapaxes(-1, -2)
    return _falling(_least_squares(across @ (planes * counts[..., None]), (across @ sums[..., None])[..., 0]))


def to_integers(groups: Sorted, alphas: Array) -> Params:
    """The scale and integer alphas next to real `alphas` with the least squared error among a few scales."""
    xp = namespace(alphas)
    best: tuple[Array, Array, Array] | None = None
    for total in range(LARGEST_SUM, LARGEST_SUM - SCALES_TRIED, -1):
        scale = half(xp.sum(alphas, axis=-1) / total)
        unit = astype(scale, "float64")[..., None]
        whole = xp.round(alphas / unit)
        excess = xp.clip(xp.sum(whole, axis=-1) - LARGEST_SUM, 0, None)
        whole = xp.concatenate([whole[..., :1] - excess[..., None], whole[..., 1:]], axis=-1)
        _, rising = _ordered(whole * unit)
        error = squared_error(rising, *groups.bins((rising[..., 1:] + rising[..., :-1]) / 2))
        if best is None:
            best = error, scale, whole
        else:
            better = error < best[0]
            best = (
                xp.where(better, error, best[0]),
                xp.where(better, scale, best[1]),
                xp.where(better[..., None], whole, best[2]),
            )
    assert best is not None
    return {"scale": best[1], "alphas": astype(best[2], "uint8")}


def _signs(like: Array) -> Array:
    """[2**bits, bits]: +1 where the bit of a code is set, else -1; bits and type are those of `like`."""
    bits = like.shape[-1]
    return constant([[1 if code >> i & 1 else -1 for i in range(bits)] for code in range(2**bits)], like=like)


def _levels(alphas: Array) -> Array:
    """The level of each code, [rows, groups, 2**bits]."""
    return alphas @ _signs(alphas).swapaxes(0, 1)


def _ordered(alphas: Array) -> tuple[Array, Array]:
    """The codes by rising level, and the levels: [rows, groups, 2**bits] each."""
    levels = _levels(alphas)
    order = argsort(levels)
    return order, take(levels, order)


def _falling(alphas: Array) -> Array:
    """The same levels from alphas >= 0 in falling order."""
    return -sort(-abs(alphas))


def _least_squares(squares: Array, products: Array) -> Array:
    """x of squares @ x = products, in float64; where planes are equal or opposite, the share of each is alike."""
    xp = namespace(squares)
    squares, products = astype(squares, "float64"), astype(products, "float64")
    ridge = xp.eye(squares.shape[-1], dtype=xp.float64) * 1e-9
    return solve(squares + squares[..., :1, :1] * constant(ridge, like=squares), products)
