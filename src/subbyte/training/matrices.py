"""The matrices of a model that are rounded while it is trained, and when their scales and levels are found."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.training.coded import Price
from subbyte.training.rounding import Rounded, Rounder, Stepped

FOLLOW = 8  # updates between least-squares steps of the scales, where products use rounded weights


class Matrices:
    """The matrices under schemes among the parameters of a model.

    rounded  those whose rounded values products use
    learned  those that are entropy coded, where their steps are learned: these are fitted once
    price    that is paid for bits now
    """

    price: Price | None = None

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        schemes: Mapping[str, Scheme | Clustered],
        refit: int,
        clusters: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """`refit`: updates between fits from scratch. `clusters`: name -> uint8 [rows], for clustered schemes."""
        self.parameters, self.refit = parameters, refit
        self.rounders = {
            name: Rounder((parameters[name].shape[0], parameters[name].shape[1]), scheme, (clusters or {}).get(name))
            for name, scheme in schemes.items()
        }
        self.rounded: dict[str, Tensor] = {}
        self.learned: dict[str, Rounder] = {}
        self._fitted: dict[str, int] = {}  # the update at which each was fitted from scratch

    def learn_steps(self) -> list[nn.Parameter]:
        """From now on the steps of what is entropy coded are parameters, which are returned."""
        self.learned = {name: rounder for name, rounder in self.rounders.items() if rounder.coded}
        return [part.log_step for rounder in self.learned.values() for part in rounder.coded]

    def hold(self, price: Price) -> None:
        """From now on its budget is kept to, by what `add_gradients` adds."""
        self.price = price
        price.start(self.parameters)

    @torch.no_grad()
    def add_gradients(self) -> None:
        """After a backward pass: add what bits cost, if they do."""
        if self.price:
            self.price.add_gradients()

    @torch.no_grad()
    def start(self, names: Iterable[str], packed: Mapping[str, object]) -> None:
        """Fit each, or take what is packed under the same scheme in its place."""
        for name in names:
            if isinstance(matrix := packed.get(name), PackedMatrix):
                values = self.rounders[name].adopt(matrix)
                values = self.rounders[name].near(self.parameters[name], values) if name in self.learned else values
                self.parameters[name].copy_(values)
            else:
                self.rounders[name].fit(self.parameters[name])
            self._fitted[name] = 0

    @torch.no_grad()
    def fit(self, names: Iterable[str], update: int, *, follow: bool = False, rate: float = 0.0) -> None:
        """Fit what is due after this update; the scales of others follow, every FOLLOW updates or with `follow`.

        rate  of weights, in this update
        """
        for name in names:
            if name in self.learned and name in self._fitted:
                self.rounders[name].settle()
            elif update - self._fitted.get(name, -self.refit) >= self.refit:
                self.rounders[name].fit(self.parameters[name])
                self._fitted[name] = update
            elif follow or update % FOLLOW == 0:
                self.rounders[name].rescale(self.parameters[name])
        if self.price and update % FOLLOW == 0:
            self.price.follow(self.parameters, update, FOLLOW, rate)

    @torch.no_grad()
    def overwrite(self, names: Iterable[str]) -> None:
        """Make the weights themselves what they are rounded to."""
        for name in names:
            self.parameters[name].copy_(self.rounders[name].round(self.parameters[name]))

    @torch.no_grad()
    def round(self, names: Iterable[str]) -> None:
        """From now on products use the rounded values of these weights."""
        for name in names:
            self.rounded[name] = self.rounders[name].round(self.parameters[name].detach(), self.rounded.get(name))

    def state_dict(self) -> dict[str, Any]:
        """Scales and levels, for a checkpoint."""
        rounders = {name: self.rounders[name].state_dict() for name in self._fitted}
        price = self.price.state_dict() if self.price else {}
        return {"rounders": rounders, "fitted": dict(self._fitted), "price": price}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take those of a checkpoint."""
        self._fitted = dict(state["fitted"])
        for name, parameters in state["rounders"].items():
            self.rounders[name].load_state_dict(parameters)
        if self.price:
            self.price.load_state_dict(state["price"])


def used(
    parameters: Iterable[tuple[str, Tensor]], rounded: Mapping[str, Tensor], learned: Mapping[str, Rounder]
) -> dict[str, Tensor]:
    """What products use of each parameter: its rounded values, if there are any; gradients are those of the weights.

    learned  those whose steps have gradients, too
    """

    def one(name: str, value: Tensor) -> Tensor:
        if name not in rounded:
            return value
        if name in learned:
            steps = [part.log_step for part in learned[name].coded]
            return torch.as_tensor(Stepped.apply(value, rounded[name], learned[name], *steps))
        return torch.as_tensor(Rounded.apply(value, rounded[name]))

    return {name: one(name, value) for name, value in parameters}
