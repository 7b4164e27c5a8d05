"""The ranges that activations are rounded in: what an estimator saw, batch after batch, becomes one range a group.

Bondarenko et al. 2021 choose among them per task (bert.md, A2.2). Batches are the values of one point of the encoder,
float32 [rows, width], all from tokens: inputs are not padded. Nothing is random, and every value is looked at.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np

from subbyte.errors import SchemeError
from subbyte.numbers.arrays import Array
from subbyte.numbers.grids import limit, scale_and_zero

MOMENTUM = 0.9  # of the running range
TAIL = 1e-4  # of the values, that the percentile leaves out on either side

CELLS = 1 << 12  # of a histogram, fewer where there are many groups
FEWEST_CELLS = 1 << 9
CELLS_IN_ALL = 1 << 18
LEAST_EXPONENT = -25  # of the largest value that a histogram can hold
COARSE = np.geomspace(1, 1e-3, 80)  # with FINE the paper's hundred thresholds, but as dense below an outlier as at it
FINE = (COARSE[1] / COARSE[0]) ** np.linspace(-1, 1, 21)

Range = tuple[Array, Array]  # the low and the high end of each group, float64 [K]
Loss = Callable[[Array, Array], Array]  # of the grids over ranges (low, high), [K] each -> [K]


class Estimator(ABC):
    """The ranges of one point for a grid of `bits`, one for each of `groups` of consecutive columns."""

    def __init__(self, bits: int, groups: int = 1, symmetric: bool = False) -> None:
        self.bits, self.groups, self.symmetric = bits, groups, symmetric
        self.batches = 0

    def observe(self, x: Array) -> None:
        """Take a batch into account, float32 [rows, width]. SchemeError if it is empty or not finite."""
        x = np.asarray(x, np.float32)
        if x.ndim != 2 or not x.size or x.shape[1] % self.groups:
            raise SchemeError(f"values of shape {list(x.shape)} are not rows in {self.groups} groups of columns")
        if not np.isfinite(x).all():
            raise SchemeError(f"{np.count_nonzero(~np.isfinite(x))} of {x.size} values are not finite")
        self._take(x.reshape(len(x), self.groups, -1))
        self.batches += 1

    def range(self) -> Range:
        """The range of each group. SchemeError if there was no batch."""
        if not self.batches:
            raise SchemeError("no values were seen")
        return self._range()

    @abstractmethod
    def _take(self, x: Array) -> None:
        """x is float32 [rows, groups, size]."""

    @abstractmethod
    def _range(self) -> Range: ...


class _Ends(Estimator):
    """The ends of each batch, put together in one way or another."""

    low: Array
    high: Array

    def _take(self, x: Array) -> None:
        low, high = (end.astype(np.float64) for end in self._ends(x))
        self.low, self.high = self._together(low, high) if self.batches else (low, high)

    def _ends(self, x: Array) -> Range:
        return x.min((0, 2)), x.max((0, 2))

    @abstractmethod
    def _together(self, low: Array, high: Array) -> Range: ...

    def _range(self) -> Range:
        return self.low, self.high


class Current(_Ends):
    """Least and greatest value of the last batch."""

    def _together(self, low: Array, high: Array) -> Range:
        return low, high


class All(_Ends):
    """Least and greatest value of all batches."""

    def _together(self, low: Array, high: Array) -> Range:
        return np.minimum(self.low, low), np.maximum(self.high, high)


class Running(_Ends):
    """Moving averages of the least and the greatest value of a batch; the first one starts them."""

    def _together(self, low: Array, high: Array) -> Range:
        return MOMENTUM * self.low + (1 - MOMENTUM) * low, MOMENTUM * self.high + (1 - MOMENTUM) * high


class Percentile(_Ends):
    """All values of a batch but TAIL of them below and above, on average over the batches.

    On both sides alike; the reference code clips only the low one per tensor (bert.md, trap 5).
    """

    def _ends(self, x: Array) -> Range:
        low, high = np.quantile(x, [TAIL, 1 - TAIL], axis=(0, 2))
        return low, high

    def _together(self, low: Array, high: Array) -> Range:
        share = 1 / (self.batches + 1)
        return self.low + share * (low - self.low), self.high + share * (high - self.high)


class SquaredError(Estimator):
    """The range whose grid has the least squared error over all batches ("mse").

    The batches are kept as histograms: every value counts, the rarest outlier too, candidates are chosen when all are
    known (so that no margin is needed, trap 6), and the order of the batches does not matter. Cells are a power of two
    wide, and double whenever a value does not fit. Inside a cell values count as evenly spread, and the error of a grid
    is integrated over it, however fine its steps are; atoms (the zeros of a ReLU) are spread too, by a cell at most.
    """

    def __init__(self, bits: int, groups: int = 1, symmetric: bool = False) -> None:
        super().__init__(bits, groups, symmetric)
        self.cells = min(CELLS, max(FEWEST_CELLS, CELLS_IN_ALL >> (groups - 1).bit_length()))
        self.counts = np.zeros((groups, self.cells))
        self.exponent = np.full(groups, LEAST_EXPONENT)  # cells reach from -2**exponent to 2**exponent
        self.low, self.high = np.zeros(groups), np.zeros(groups)

    def _take(self, x: Array) -> None:
        low, high = x.min((0, 2)), x.max((0, 2))
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self._reach(np.frexp(np.maximum(-low, high))[1])
        half = self.cells // 2
        factor = np.ldexp(np.float32(half), -self.exponent).astype(np.float32)[:, None]
        cell = np.floor(x * factor).astype(np.int64) + half + self.cells * np.arange(self.groups)[:, None]
        self.counts += np.bincount(cell.ravel(), minlength=self.counts.size).reshape(self.counts.shape)

    def _reach(self, exponent: Array) -> None:
        """Double the cells of each group until 2**exponent is in them."""
        while (short := self.exponent < exponent).any():
            doubled = np.zeros_like(self.counts[short])
            doubled[:, self.cells // 4 : -self.cells // 4] = self.counts[short].reshape(len(doubled), -1, 2).sum(2)
            self.counts[short] = doubled
            self.exponent[short] += 1

    def _range(self) -> Range:
        return search(self._loss, self.low, self.high, self.symmetric)

    def _loss(self, low: Array, high: Array) -> Array:
        """The sum of squared errors of each group.

        With u = x / scale and n its nearest code, the integral of (t - n(t))**2 from 0 to u is n / 12 + (u - n)**3 / 3,
        beyond the last code too.
        """
        scale, zero = (p[:, None] for p in scale_and_zero(low, high, self.bits, self.symmetric))
        top = limit(self.bits)
        width = np.ldexp(2 / self.cells, self.exponent)[:, None]
        u = np.arange(-self.cells // 2, self.cells // 2 + 1) * (width / scale)
        n = np.clip(np.rint(u), -top - zero, top - zero)
        rest = u - n
        integral = n / 12 + rest * rest * rest / 3
        error: Array = np.einsum("kc,kc->k", self.counts, np.diff(integral, axis=1)) * (scale**3 / width)[:, 0]
        return error


class CrossEntropy(Estimator):
    """The range that changes the probabilities of logits least: -sum softmax(x) log softmax(rounded x), all batches.

    Logits are few: the rows are kept. The columns are the labels, in one group.
    """

    def __init__(self, bits: int, groups: int = 1, symmetric: bool = False) -> None:
        if groups != 1:
            raise SchemeError(f"cross_entropy looks at all labels at once; they are one group, not {groups}")
        super().__init__(bits, groups, symmetric)
        self.rows: list[Array] = []

    def _take(self, x: Array) -> None:
        self.rows.append(x[:, 0].astype(np.float64))

    def _range(self) -> Range:
        x = np.concatenate(self.rows)
        wanted = np.exp(_log_softmax(x))
        top = limit(self.bits)

        def loss(low: Array, high: Array) -> Array:
            scale, zero = scale_and_zero(low, high, self.bits, self.symmetric)
            rounded = scale * (np.clip(np.rint(x / scale) + zero, -top, top) - zero)
            return np.array([-(wanted * _log_softmax(rounded)).sum()])

        return search(loss, x.min(keepdims=True)[0].clip(max=0), x.max(keepdims=True)[0].clip(min=0), self.symmetric)


ESTIMATORS: Mapping[str, type[Estimator]] = {
    "current": Current,
    "running": Running,
    "all": All,
    "percentile": Percentile,
    "mse": SquaredError,
    "cross_entropy": CrossEntropy,
}


def _log_softmax(x: Array) -> Array:
    """Of the last axis."""
    x = x - x.max(-1, keepdims=True)
    difference: Array = x - np.log(np.exp(x).sum(-1, keepdims=True))
    return difference


def search(loss: Loss, low: Array, high: Array, symmetric: bool) -> Range:
    """The part of each range low..high (low <= 0 <= high) with the least loss.

    Both ends are moved together, then each by itself, twice: the thresholds of the paper, and its shifts, which move
    one end against the other. A symmetric range has one threshold.
    """
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    both = _line(lambda t: loss(t * low, t * high), np.ones_like(high))
    low_part, high_part = both, both
    if not symmetric and low.any() and high.any():
        for _ in range(2):
            high_part = _line(lambda t, fixed=low_part: loss(fixed * low, t * high), high_part)  # type: ignore[misc]
            low_part = _line(lambda t, fixed=high_part: loss(t * low, fixed * high), low_part)  # type: ignore[misc]
    return low_part * low, high_part * high


def _line(loss: Callable[[Array], Array], best: Array) -> Array:
    """The factor in 0.001..1 of each group with the least loss, where it is less than that of `best`."""
    lowest = loss(best)
    for factors, centre in ((COARSE, 1.0), (FINE, None)):
        around = best if centre is None else centre
        for factor in factors:
            candidate = np.minimum(np.full_like(best, factor) * around, 1)
            error = loss(candidate)
            best, lowest = np.where(error < lowest, candidate, best), np.minimum(error, lowest)
    return best
