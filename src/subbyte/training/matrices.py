"""The matrices of a model that are rounded while it is trained, and when their scales and levels are found."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.training.rounding import Rounded, Rounder

FOLLOW = 8  # updates between least-squares steps of the scales, where products use rounded weights


class Matrices:
    """The matrices under schemes among the parameters of a model.

    rounded  those whose rounded values products use
    """

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
        self._fitted: dict[str, int] = {}  # the update at which each was fitted from scratch

    @torch.no_grad()
    def start(self, names: Iterable[str], packed: Mapping[str, object]) -> None:
        """Fit each, or take what is packed under the same scheme in its place."""
        for name in names:
            if isinstance(matrix := packed.get(name), PackedMatrix):
                self.parameters[name].copy_(self.rounders[name].adopt(matrix))
            else:
                self.rounders[name].fit(self.parameters[name])
            self._fitted[name] = 0

    @torch.no_grad()
    def fit(self, names: Iterable[str], update: int, *, follow: bool = False) -> None:
        """Fit what is due after this update; the scales of others follow, every FOLLOW updates or with `follow`."""
        for name in names:
            if update - self._fitted.get(name, -self.refit) >= self.refit:
                self.rounders[name].fit(self.parameters[name])
                self._fitted[name] = update
            elif follow or update % FOLLOW == 0:
                self.rounders[name].rescale(self.parameters[name])

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
        return {"rounders": rounders, "fitted": dict(self._fitted)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take those of a checkpoint."""
        self._fitted = dict(state["fitted"])
        for name, parameters in state["rounders"].items():
            self.rounders[name].load_state_dict(parameters)


def used(parameters: Iterable[tuple[str, Tensor]], rounded: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What products use of each parameter: its rounded values, if there are any; gradients are those of the weights."""
    return {name: Rounded.apply(value, rounded[name]) if name in rounded else value for name, value in parameters}
