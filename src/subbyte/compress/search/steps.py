"""Which step each matrix should have, where codes are entropy coded: the least loss at a total of bits. Pure.

A loss grows with the squared error of the weights, and that with the squared step, until nothing but zeros is left. The
best choice has the same loss for one bit more everywhere (Shoham and Gersho 1988); at high rate, where a bit more
always takes the same share of the error, that is the same loss for every weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from subbyte.numbers.arrays import Array
from subbyte.numbers.schemes import EntropyCoded

PROBE = 0.6  # the step that losses are told for: about 2.7 bits, where they grow with its square
BITS = 8  # of a code before it is coded: no weight is out of reach
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
    """What rounding some weights takes and costs at each of STEPS, uncompensated; all [steps].

    bits    entropy of the codes
    errors  squared, against that at the step PROBE
    """

    bits: Array
    errors: Array

    @classmethod
    def of(cls, w: Array, scheme: EntropyCoded) -> "Curve":
        """Of float32 weights [rows, cols], for a scheme whose bits and step count for nothing."""
        rms = root_mean_square(w)
        values, counts = _sample(w.ravel() / np.float32(rms))
        at = (replace(scheme, bits=BITS, step=float(step)) for step in (*KNOTS, PROBE))
        entropies, squares = np.array([_rounded(values, counts, one) for one in at]).T
        errors = np.log(np.maximum(squares, np.finfo(np.float64).tiny))
        return cls(_between(entropies[:-1]), np.exp(_between(errors[:-1]) - errors[-1]))

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
    loss     expected of the model at the step PROBE, in any unit that adds up
    extra    bits that a code was found to take more than the curve says
    """

    weights: int
    curve: Curve
    loss: float
    extra: float = 0.0

    def bits(self) -> Array:
        """Of a code, [steps]."""
        found: Array = np.maximum(self.curve.bits + self.extra, 0.0)
        return found

    def losses(self) -> Array:
        """Of the model, [steps]."""
        found: Array = self.loss * self.curve.errors
        return found


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


def allot(shares: Sequence[Share], room: float) -> list[int]:
    """Where in STEPS each share's step is, with the least loss of all that take `room` bits, or hardly less."""
    bits = np.array([share.weights * share.bits() for share in shares])
    losses = np.array([share.losses() for share in shares])
    weights = sum(share.weights for share in shares)
    least = float(np.log(losses.min() / weights / 1e6 + np.finfo(np.float64).tiny))
    most = float(np.log(1e6 * losses.max()))
    every = np.arange(len(shares))

    def at(price: float) -> Array:
        """The places with the least of loss and price of bits."""
        found: Array = np.argmin(losses + np.exp(price) * bits, axis=1)
        return found

    for _ in range(TURNS):
        price = (least + most) / 2
        fits = bits[every, at(price)].sum() <= room
        least, most = (least, price) if fits else (price, most)
    return [int(place) for place in at(most)]


def scheme_at(scheme: EntropyCoded, place: int) -> EntropyCoded:
    """The scheme with this step."""
    return replace(scheme, bits=BITS, step=round(float(STEPS[place]), 4))
