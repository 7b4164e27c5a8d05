"""Which step each matrix should have, where codes are entropy coded: the least loss at a total of bits. Pure.

A loss grows with the squared error of the weights, and that with the squared step, until nothing but zeros is left. The
best choice has the same loss for one bit more everywhere (Shoham and Gersho 1988); at high rate, where a bit more
always takes the same share of the error, that is the same loss for every weight.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from subbyte.numbers.arrays import Array
from subbyte.numbers.schemes import EntropyCoded

PROBE = 0.6  # the step of wide codes that losses are told for: about 2.7 bits, where they grow with its square
WIDTHS = (4, 8)  # bits of a code in memory
NARROW, WIDE = WIDTHS
FITTING = 7.5  # steps from zero up to which a row of wide codes takes no more memory than narrow ones
CLIPPED = 1.1  # times the error of wide codes, up to which narrow ones are as good
KNOTS = 2.0 ** np.arange(-4.5, 2, 0.25)  # steps at which bits and errors are computed, in root mean squares
STEPS = 2.0 ** np.arange(-4.5, 1.5, 1 / 128)  # that may be chosen; between the knots
OUTLIERS = 4.0  # root mean squares, from which on none is left out
SMOOTHED = 16  # steps on either side, half of the way between two knots
SAMPLE = 1 << 13  # weights that they are computed with
FAR = 30.0  # times, that a loss may be from what is expected of so many weights, either way
TURNS = 40  # of a bisection
TINY = 1e-38


@dataclass(frozen=True)
class Curve:
    """What rounding some weights takes and costs at each of STEPS, uncompensated.

    bits     [widths, steps], entropy of the codes
    errors   [steps], squared, of wide codes, against that at the step PROBE
    clipped  [steps], the error of narrow codes against that of wide ones; at least 1
    memory   [widths, steps], bits of a code in memory: rows of small levels are held narrow (core/weights/weights.hpp)
    """

    bits: Array
    errors: Array
    clipped: Array
    memory: Array

    @classmethod
    def of(cls, w: Array, scheme: EntropyCoded) -> "Curve":
        """Of float32 weights [rows, cols], for a scheme whose bits and step count for nothing."""
        rms = root_mean_square(w)
        values, counts = _sample(w.ravel() / np.float32(rms))
        bits, logs = [], []
        for codes in WIDTHS:
            at = (replace(scheme, bits=codes, step=float(step)) for step in (*KNOTS, PROBE))
            entropies, squares = np.array([_rounded(values, counts, one) for one in at]).T
            bits.append(_between(entropies[:-1]))
            logs.append(np.log(np.maximum(squares, np.finfo(np.float64).tiny)))
        narrow, wide = (_between(one[:-1]) for one in logs)
        beyond = np.sort(abs(w).max(axis=1)) / rms
        held = 1 - np.searchsorted(beyond, FITTING * STEPS) / len(beyond)
        memory = np.array([np.full_like(STEPS, NARROW), NARROW + (WIDE - NARROW) * held])
        return cls(np.array(bits), np.exp(wide - logs[1][-1]), np.exp(np.maximum(narrow - wide, 0)), memory)

    def against_probe(self, step: float) -> float:
        """The error at a step against that at the step PROBE."""
        return float(np.exp(np.interp(np.log(step), np.log(STEPS), np.log(self.errors))))


def _between(at_knots: Array) -> Array:
    """At STEPS, smoothed: where a curve has a bend, many shares would choose one step."""
    found = np.interp(np.log(STEPS), np.log(KNOTS), at_knots)
    padded = np.pad(found, SMOOTHED, mode="reflect", reflect_type="odd")
    smooth: Array = np.convolve(padded, np.full(2 * SMOOTHED + 1, 1 / (2 * SMOOTHED + 1)), mode="valid")
    return smooth


def _sample(w: Array) -> tuple[Array, Array]:
    """Some of many weights in root mean squares, and how many each stands for; all of those far out."""
    out = abs(w) > OUTLIERS
    near = w[~out]
    chosen = near if near.size <= SAMPLE else np.random.default_rng(0).choice(near, SAMPLE)
    counts = np.repeat([1.0, near.size / max(chosen.size, 1)], [int(out.sum()), chosen.size])
    return np.concatenate([w[out], chosen]).astype(np.float32), counts


def _rounded(values: Array, counts: Array, scheme: EntropyCoded) -> tuple[float, float]:
    """Entropy of the codes, in bits, and squared error; of values in root mean squares."""
    params = {"scale": np.full((1, 1), scheme.step, np.float32)}
    codes = scheme.encode(values[None, None], params)
    wrong = np.subtract(values, scheme.decode(codes, params).ravel(), dtype=np.float64)
    return entropy(np.bincount(codes.ravel(), counts)), float(counts @ np.square(wrong))


def root_mean_square(w: Array) -> float:
    """Of weights; never 0."""
    return max(float(np.sqrt(np.mean(np.square(w, dtype=np.float64)))), TINY)


def entropy(counts: Array) -> float:
    """Bits of one of so many codes, by how often each occurs."""
    some = counts[counts > 0]
    return float(some @ np.log2(some.sum() / some) / some.sum()) if some.size else 0.0


@dataclass(frozen=True)
class Share:
    """Weights of a matrix that share a step.

    weights  how many
    curve    of them
    loss     expected of the model at the step PROBE in wide codes, in any unit that adds up
    extra    bits that a code was found to take more than the curve says
    clipped  as the curve's, of the error of outputs, where they are kept: a weight out of reach may be all that matters
    """

    weights: int
    curve: Curve
    loss: float
    extra: float = 0.0
    clipped: Array | None = None

    def bits(self) -> Array:
        """Of a code, [widths, steps]."""
        found: Array = np.maximum(self.curve.bits + self.extra, 0.0)
        return found

    def losses(self) -> Array:
        """Likewise; infinite for wide codes that are no better than narrow ones."""
        wide = self.loss * self.curve.errors
        clipped = self.curve.clipped if self.clipped is None else np.maximum(self.clipped, self.curve.clipped)
        return np.array([wide * clipped, np.where(clipped > CLIPPED, wide, np.inf)])


def expected(losses: Sequence[float], noise: Sequence[float], weights: Sequence[int]) -> list[float]:
    """What shares lose at the step PROBE, from what was measured with a standard error; never nothing.

    Before anything is measured a share is expected to lose in proportion to its weights, give or take as much; so what
    is lost in the noise stays near to that, and what is clear as it was measured.
    """
    found, error, sizes = np.array(losses, float), np.array(noise, float), np.array(weights, float)
    total = max(found.sum(), float(np.sqrt(np.square(error).sum())), np.finfo(np.float32).tiny)
    prior = total * sizes / sizes.sum()
    shrunk = (found * prior**2 + prior * error**2) / (prior**2 + error**2)
    return [float(one) for one in np.clip(shrunk, prior / FAR, prior * FAR)]


Place = tuple[int, int]  # of a width in WIDTHS and of a step in STEPS


def allot(shares: Sequence[Share], room: float, memory: float = WIDE) -> list[Place]:
    """Where each share's width and step are, with the least loss of all that take `room` bits, or hardly less.

    memory  bits of a code in memory that they may take in the mean; narrow codes are always possible
    """
    weights = np.array([share.weights for share in shares], float)
    bits = np.array([share.weights * share.bits() for share in shares])
    losses = np.array([share.losses() for share in shares])
    wide = np.array([share.weights * share.curve.memory for share in shares])
    least = float(np.log(losses.min() / weights.sum() / 1e6 + np.finfo(np.float64).tiny))
    most = float(np.log(1e6 * losses.min(axis=(1, 2)).max() + 1e6 * losses[:, 0].max()))

    def at_price(price_of_memory: float) -> Array:
        """The places of all, one number each, that take the room where a bit in memory has a price."""
        cost = losses + np.exp(price_of_memory) * wide
        return _bisected(lambda price: (cost + np.exp(price) * bits).reshape(len(shares), -1), bits, room, least, most)

    found = at_price(least)
    if _taken(wide, found) > memory * weights.sum():
        low, high = least, most
        for _ in range(TURNS):
            price = (low + high) / 2
            now = at_price(price)
            fits = _taken(wide, now) <= memory * weights.sum()
            low, high = (low, price) if fits else (price, high)
        found = at_price(high)
    # Widths come in jumps, which may leave room: for these widths steps are chosen again.
    chosen = np.arange(len(WIDTHS)) == (found // len(STEPS))[:, None]
    cost = np.where(chosen[..., None], losses, np.inf)
    found = _bisected(lambda price: (cost + np.exp(price) * bits).reshape(len(shares), -1), bits, room, least, most)
    return [divmod(int(at), len(STEPS)) for at in found]


def _bisected(costs: Callable[[float], Array], sizes: Array, room: float, least: float, most: float) -> Array:
    """The cheapest places at the least price at which they take no more than the room."""
    for _ in range(TURNS):
        price = (least + most) / 2
        fits = _taken(sizes, np.argmin(costs(price), axis=1)) <= room
        least, most = (least, price) if fits else (price, most)
    found: Array = np.argmin(costs(most), axis=1)
    return found


def _taken(sizes: Array, at: Array) -> float:
    return float(np.take_along_axis(sizes.reshape(len(at), -1), at[:, None], 1).sum())


def scheme_at(scheme: EntropyCoded, place: Place) -> EntropyCoded:
    """The scheme with this step and codes of this width."""
    return replace(scheme, bits=WIDTHS[place[0]], step=round(float(STEPS[place[1]]), 4))
