"""Sums of +-alpha, one bit a plane, 1 to 4 planes. (Chung et al. 2020, "Extremely Low Bit Transformer Quantization")"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from subbyte.numbers.arrays import Array, argsort, astype, constant, namespace, sort, take
from subbyte.numbers.granularity import PER_ROW, Granularity
from subbyte.numbers.schemes.fitting import Params, Sorted, choose, half, squared_error

LARGEST_SUM = 127  # of the alphas of a group: the largest level
SCALES_TRIED = 8  # the alphas of a group are rounded with their sum at 127, 126, ..; the best is kept


@dataclass(frozen=True)
class BinaryCoding:
    """value = scale * sum over planes i of +alpha[i] where bit i of the code is set, else -alpha[i].

    The alphas are integers >= 0 with a sum of at most 127, falling, for each group of weights. How they are found:

    solver "greedy"       each plane takes the mean of what the planes before it left over (the paper)
    solver "refit"        greedy, with all alphas so far refitted by least squares after each plane
    solver "alternating"  `rounds` of: nearest codes, then all alphas by least squares (Xu et al. 2018); once from the
                          greedy alphas and once from equally spaced levels, as each start has its own dead ends

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
        alphas = refit(groups.values, self.bits) if self.solver == "refit" else greedy(groups.values, self.bits)
        if self.solver != "alternating":
            return _falling(alphas)
        other = evenly(groups, self.bits)
        for _ in range(self.rounds):
            alphas, other = alternate(groups, alphas), alternate(groups, other)
        return _better(groups, other, alphas)

    def encode(self, w: Array, params: Params) -> Array:
        """The codes of the nearest levels, uint8; halfway between two levels the upper one."""
        xp = namespace(w)
        scale = astype(params["scale"], "float32")[..., None]
        order, rising = _ordered(astype(params["alphas"], "float32"))
        borders = _borders(rising) * scale
        order = astype(order, "uint8")
        flips = order[..., 1:] ^ order[..., :-1]  # the bits that change at each border
        codes: Array = xp.zeros_like(w, dtype=xp.uint8) ^ order[..., :1]
        for i in range(flips.shape[-1]):
            codes = codes ^ (w >= borders[..., i : i + 1]) * flips[..., i : i + 1]
        return codes

    def decode(self, codes: Array, params: Params) -> Array:
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
    rest = alphas = w
    for _ in range(bits):
        planes.append(xp.where(rest >= 0, xp.ones_like(w), -1))
        squares = [[xp.sum(a * b, axis=-1, dtype=xp.float64) for b in planes] for a in planes]
        alphas = _least_squares(squares, [xp.sum(a * w, axis=-1, dtype=xp.float64) for a in planes])
        rest = w - sum(astype(alphas[..., i : i + 1], "float32") * plane for i, plane in enumerate(planes))
    return alphas


def evenly(groups: Sorted, bits: int) -> Array:
    """Alphas of equally spaced levels, [rows, groups, bits]: the best of a few for these weights."""
    xp = namespace(groups.values)
    mean = xp.mean(abs(groups.values), axis=-1, dtype=xp.float64)[..., None]
    steps = constant([2**i / (2**bits - 1) for i in reversed(range(bits))], like=mean)
    best: Array = mean * steps
    for top in (1.4, 1.8, 2.3, 3, 4, 5.3):  # the highest level over the mean of |w|; it is 1 at 1 bit
        best = _better(groups, top * mean * steps, best)
    return best


def alternate(groups: Sorted, alphas: Array) -> Array:
    """The least-squares alphas, [rows, groups, bits], for the nearest codes under the alphas given."""
    order, rising = _ordered(alphas)
    counts, sums = groups.bins(_borders(rising))
    by_code = argsort(order)
    counts, sums = take(counts, by_code), take(sums, by_code)
    signs = list(_signs(alphas).swapaxes(0, 1))  # of each plane, [2**bits]
    return _falling(_least_squares([[counts @ (a * b) for b in signs] for a in signs], [sums @ a for a in signs]))


def to_integers(groups: Sorted, alphas: Array) -> Params:
    """The scale and integer alphas next to real `alphas` with the least squared error among a few scales."""
    xp = namespace(alphas)
    best_scale, best = _rounded(alphas, LARGEST_SUM)
    for total in range(LARGEST_SUM - 1, LARGEST_SUM - SCALES_TRIED, -1):
        scale, whole = _rounded(alphas, total)
        better = _error(groups, whole * scale) < _error(groups, best * best_scale)
        best_scale, best = xp.where(better, scale, best_scale), xp.where(better, whole, best)
    return {"scale": astype(best_scale[..., 0], "float16"), "alphas": astype(best, "uint8")}


def _rounded(alphas: Array, total: int) -> tuple[Array, Array]:
    """The stored scale, [rows, groups, 1], that makes the sum of the integer alphas about `total`, and those alphas."""
    xp = namespace(alphas)
    scale = astype(half(xp.sum(alphas, axis=-1) / total), "float64")[..., None]
    whole = xp.round(alphas / scale)
    excess = xp.clip(xp.sum(whole, axis=-1) - LARGEST_SUM, 0, None)[..., None]  # from rounding up: a few at most
    return scale, xp.concatenate([whole[..., :1] - excess, whole[..., 1:]], axis=-1)


def _better(groups: Sorted, first: Array, second: Array) -> Array:
    """For each group, the alphas with the smaller error."""
    better: Array = namespace(first).where(_error(groups, first) < _error(groups, second), first, second)
    return better


def _error(groups: Sorted, alphas: Array) -> Array:
    """The squared error of the nearest levels, [rows, groups, 1], less a constant of the group."""
    rising = _ordered(alphas)[1]
    return squared_error(rising, *groups.bins(_borders(rising)))[..., None]


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


def _borders(rising: Array) -> Array:
    """Halfway between neighbouring levels."""
    return (rising[..., 1:] + rising[..., :-1]) / 2


def _falling(alphas: Array) -> Array:
    """The same levels from alphas >= 0 in falling order."""
    return -sort(-abs(alphas))


def _least_squares(squares: Sequence[Sequence[Array]], products: Sequence[Array]) -> Array:
    """alphas of squares @ alphas = products, by elimination in float64 for all groups at once.

    squares   [planes][planes] of [rows, groups]: the product of two planes (their length for a plane with itself)
    products  [planes] of [rows, groups]: the product of a plane with the weights
    """
    n = len(products)
    ridge = 1 + 1e-8  # keeps planes apart that are equal or opposite
    rows = [[squares[i][j] * (ridge if i == j else 1) for j in range(n)] + [products[i]] for i in range(n)]
    for i in range(n):
        for k in range(n):
            if k != i:
                factor = rows[k][i] / rows[i][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    alphas: Array = namespace(products[0]).stack([rows[i][n] / rows[i][i] for i in range(n)], -1)
    return alphas
