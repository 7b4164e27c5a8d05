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

PROBE = 0.9  # the step that losses are measured at, about 2.2 bits: where they are clear, and not yet of another kind
NARROW, WIDE = 4, 8  # bits of a code in memory
CLIPPED = 1.1  # times the error of wide codes, up to which narrow ones are taken
KNOTS = 2.0 ** np.arange(-4.5, 2, 0.25)  # steps at which bits and errors are computed, in root mean squares
STEPS = 2.0 ** np.arange(-4.5, 1.5, 1 / 256)  # that may be chosen; between the knots
SAMPLE = 1 << 13  # weights that they are computed with
FAR = 30.0  # times, that a loss may be from what is expected of so many weights, either way
TURNS = 60  # of a bisection


@dataclass(frozen=True)
class Curve:
    """What rounding some weights takes and costs at each of STEPS, without compensation.

    codes   bits of a code in memory, the fewest that do as well as more
    bits    entropy of the codes
    errors  squared, against that at the step PROBE in 4 bits
    """

    codes: Array
    bits: Array
    errors: Array

    @classmethod
    def of(cls, w: Array, scheme: EntropyCoded) -> "Curve":
        """Of a sample of float32 weights [any], for a scheme whose bits and step count for nothing."""
        sample = w.ravel()[:: max(1, w.size // SAMPLE)].reshape(1, 1, -1)
        bits, errors = {}, {}
        for codes in (NARROW, WIDE):
            found = [_rounded(sample, replace(scheme, bits=codes, step=float(step))) for step in (*KNOTS, PROBE)]
            bits[codes] = np.interp(np.log(STEPS), np.log(KNOTS), [entropy for entropy, _ in found[:-1]])
            logs = np.log([max(error, np.finfo(np.float64).tiny) for _, error in found])
            errors[codes] = np.exp(np.interp(np.log(STEPS), np.log(KNOTS), logs[:-1]))
            if codes == NARROW:
                unit = np.exp(logs[-1])
        narrow = errors[NARROW] <= CLIPPED * errors[WIDE]
        of_both = (np.where(narrow, by[NARROW], by[WIDE]) for by in (bits, errors))
        entropy, error = of_both
        return cls(np.where(narrow, NARROW, WIDE), entropy, error / unit)


def _rounded(w: Array, scheme: EntropyCoded) -> tuple[float, float]:
    """Entropy of the codes, in bits, and squared error."""
    params = scheme.fit(w)
    codes = scheme.encode(w, params)
    wrong = np.subtract(w, scheme.decode(codes, params), dtype=np.float64)
    return entropy(np.bincount(codes.ravel())), float(np.square(wrong).sum())


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
        """Of a code at each of STEPS."""
        found: Array = np.maximum(self.curve.bits + self.extra, 0.0)
        return found

    def losses(self) -> Array:
        """At each of STEPS."""
        return self.loss * self.curve.errors


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
    """The place in STEPS of each share's step, with the least loss of all that take `room` bits, or hardly less."""
    bits = np.array([share.weights * share.bits() for share in shares])
    losses = np.array([share.losses() for share in shares])

    def places(price: float) -> Array:
        """With a loss of `price` a bit."""
        return np.argmin(losses + np.exp(price) * bits, axis=1)

    def taken(at: Array) -> float:
        return float(np.take_along_axis(bits, at[:, None], 1).sum())

    least, most = (float(np.log(x)) for x in (losses.min() / bits.max() / 1e6 + 1e-300, 1e6 * losses.max() + 1e-290))
    for _ in range(TURNS):
        price = (least + most) / 2
        least, most = (price, most) if taken(places(price)) > room else (least, price)
    return [int(at) for at in places(most)]


def scheme_at(scheme: EntropyCoded, curve: Curve, at: int) -> EntropyCoded:
    """The scheme with a step, and codes of the width for it."""
    return replace(scheme, bits=int(curve.codes[at]), step=round(float(STEPS[at]), 4))
