"""What an entropy coder will spend on matrices, as a part of the loss: a price on bits, raised until a budget is met.

    loss + price * bits,   bits = mean over all weights of -log2 p(code)

p is how often a code occurs now among those of its block. Between two levels bits go in a straight line, and away from
the most frequent level they never fall: so few codes far out do not lead anywhere. With x = w / s

    d bits / dx = slope between the levels around x,   d bits / d log s = - mean of x * slope

(entropy-constrained quantization, Chou, Lookabaugh & Gray 1989; as a loss, Agustsson et al. 2017). Counting all codes
takes as long as rounding them, so it is done every few updates, and steps are led by the slopes of the last count.

Weights are pulled after each count, not by their gradients: Adam divides by the size of these, so that words that no
batch has would lose all their bits at once, and others none. The pull is a share of the learning rate, the same for all
blocks, whose steps say already what an error costs there (as weight decay is in AdamW, Loshchilov & Hutter 2019).

The price is found by a proportional-integral rule on its logarithm: an error of half a percent of the budget is a
factor of e at once, and one more after fifty updates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from subbyte.training.rounding import Rounder

BELOW = 0.002  # of the budget: so much less is aimed at
BEYOND = 0.005  # of the budget: so much more still meets it
ARRIVAL = 0.4  # share of the updates after which bits are those of the budget
PROPORTIONAL, INTEGRAL = 200.0, 4.0  # logarithms of the price for an error of the whole budget; at once, an update
LARGEST = 6.0  # logarithm of a factor of the first price: beyond it all steps grow as fast as they can
PULL = 0.1  # share of the learning rate by which weights move to fewer bits, in the mean, at the first price
LEAST = 0.1  # of the price at which both gradients are as long: the first one is no less
UNSEEN = 0.5  # times that a code counts that does not occur
TINY = 1e-30


class Price:
    """The bits of matrices that are entropy coded, and what a bit costs.

    budget  bits of a weight
    """

    def __init__(
        self, rounders: Mapping[str, Rounder], weights: int, budget: float, updates: int, size: int = 0
    ) -> None:
        """What the budget is for.

        rounders  of the matrices whose steps follow it
        weights   how many there are, in matrices that do not follow it too
        budget    bits of a weight; 0: as many as at first
        size      bytes of the weights file, as at first; 0: only the codes count
        """
        self._parts = {name: parts for name, one in rounders.items() if (parts := one.coded)}
        self._weights, self.budget, self._updates, self._size = weights, budget, updates, size
        self._other_bits = 0.0  # of the file, that are not codes of these matrices
        self._bits = self._first_bits = 0.0
        self._first_price = self._integral = self._price = 0.0
        self._of_steps: dict[str, list[float]] = {}  # d bits / d log s

    def start(self, parameters: Mapping[str, Tensor]) -> None:
        """Count the codes that training starts from."""
        if self._size:
            self._other_bits = 8 * self._size - self.bits(parameters) * self._weights
        self._count(parameters)
        self._first_bits, self.budget = self._bits, self.budget or self._bits

    def met(self, bits: float) -> bool:
        """Whether so many are within the budget."""
        return bits <= self.budget * (1 + BEYOND)

    @torch.no_grad()
    def bits(self, parameters: Mapping[str, Tensor]) -> float:
        """Of a weight, with these weights."""
        bits = self._other_bits
        for name, parts in self._parts.items():
            for part in parts:
                counts = part.counts(parameters[name][part.rows])
                bits += float(counts.sum()) * entropy_of(counts, part.levels)[0]
        return bits / self._weights

    @torch.no_grad()
    def follow(self, parameters: Mapping[str, Tensor], update: int, since: int, rate: float) -> None:
        """Count the codes after this update, `since` updates after the last time; set the price anew; pull weights.

        rate  of their learning
        """
        slopes = self._count(parameters)
        aim = self.budget * (1 - BELOW)
        aim += (self._first_bits - aim) * max(0.0, 1 - update / (ARRIVAL * self._updates))
        error = (self._bits - aim) / self.budget
        self._integral = min(max(self._integral + since * INTEGRAL * error, -LARGEST), LARGEST)
        exponent = min(max(self._integral + PROPORTIONAL * error, -LARGEST), LARGEST)
        self._price = self._first_price * math.exp(exponent)
        pace = since * rate * min(1.0, PULL * math.exp(exponent))
        for name, parts in self._parts.items():
            for part, of_part in zip(parts, slopes[name], strict=True):
                part.pull(parameters[name], of_part, pace)

    def add_gradients(self) -> None:
        """After a backward pass: the gradient of price * bits, added to that of every step.

        The first price is the one at which the loss neither gains nor loses by larger steps all around, but as the
        gradients of one batch are noisy, it is at least a part of that at which both are as long.
        """
        pairs = [
            (part.log_step, slope)
            for name, parts in self._parts.items()
            for part, slope in zip(parts, self._of_steps[name], strict=True)
        ]
        if not self._first_price:
            of_loss = [0.0 if step.grad is None else float(step.grad.sum()) for step, _ in pairs]
            of_bits = [slope for _, slope in pairs]
            length = max(math.hypot(*of_bits), TINY)
            across = -sum(a * b for a, b in zip(of_loss, of_bits, strict=True)) / length**2
            self._first_price = self._price = max(across, LEAST * math.hypot(*of_loss) / length, TINY)
        for step, slope in pairs:
            if step.grad is not None:
                step.grad += self._price * slope / step.numel()

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        kept = {name: getattr(self, name) for name in KEPT}
        return {**kept, "_of_steps": {name: [*slopes] for name, slopes in self._of_steps.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the state of a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value)

    def _count(self, parameters: Mapping[str, Tensor]) -> dict[str, list[Tensor]]:
        """Bits, and how they change with steps; returns the slopes between levels."""
        bits, slopes = self._other_bits, {}
        for name, parts in self._parts.items():
            counts = [part.counts(parameters[name][part.rows]) for part in parts]
            sizes = [float(one.sum()) for one in counts]
            found = [entropy_of(one, part.levels) for one, part in zip(counts, parts, strict=True)]
            bits += sum(size * entropy for size, (entropy, _) in zip(sizes, found, strict=True))
            self._of_steps[name] = [
                size * of_step / self._weights for size, (_, of_step) in zip(sizes, found, strict=True)
            ]
            slopes[name] = [slopes_of(one, part.levels) for one, part in zip(counts, parts, strict=True)]
        self._bits = bits / self._weights
        return slopes


KEPT = ("_bits", "budget", "_first_bits", "_first_price", "_integral", "_price")


def entropy_of(counts: Tensor, levels: Tensor) -> tuple[float, float]:
    """Bits of a code, and how they change with the logarithm of the step; counts [levels], levels rising."""
    p = counts.double() / counts.sum()
    entropy = -float((p * p.clamp(min=TINY).log2()).sum())
    slopes = slopes_of(counts, levels).double()
    around = torch.cat([slopes[:1], (slopes[:-1] + slopes[1:]) / 2, slopes[-1:]])  # at each level
    return entropy, -float((p * levels * around).sum())


def slopes_of(counts: Tensor, levels: Tensor) -> Tensor:
    """Bits of a level more than those of its left neighbour, by the distance: float64 [levels - 1]."""
    bits = torch.log2(counts.sum() / counts.double().clamp(min=UNSEEN))
    most = int(counts.argmax())
    right = bits[most:].cummax(0).values
    left = bits[: most + 1].flip(0).cummax(0).values.flip(0)
    return torch.cat([left[:-1], right]).diff() / levels.double().diff()
