"""Training of one layer after the other, to put out what the float32 model's does (Nagel et al. 2020; Li et al. 2021).

What a layer reads comes from the rounded layers before it, as they are by then, so it learns to make up for them. A
layer alone costs a part of a pass through the model: nothing behind it, and no gradient of what is before it. With y
its outputs and y' those of the float32 layer, which reads what it reads in the float32 model, the loss is

    sum of (y - y')^2 / sum of y'^2

Whatever is in no layer stays as it was rounded: words above all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from subbyte.training.coded import Price
from subbyte.training.loop import Trained, falling


class LayerByLayer(Trained):
    """What is the same for all models; updates are shared equally, and every layer keeps the bits that it began with.

    prefixes  of the names of each layer's tensors
    """

    prefixes: Sequence[str]
    each: int  # updates of a layer

    @property
    def layer(self) -> int:
        """The number of the layer that the next update trains."""
        return min(self.update // self.each, len(self.prefixes) - 1)

    def restore(self, state: Mapping[str, Any]) -> None:
        self.update = state["update"]
        self._hold()
        super().restore(state)

    def _begin(self, prefixes: Sequence[str]) -> None:
        self.prefixes, self.each = prefixes, -(-self.settings.updates // len(prefixes))
        self._hold()

    def _hold(self) -> None:
        """Keep to the bits that this layer has now."""
        self.matrices.price = None
        learned = self.matrices.learned
        rounders = {name: learned[name] for name in self._names(self.layer) if name in learned}
        if rounders:
            weights = sum(self.matrices.parameters[name].numel() for name in rounders)
            self.matrices.hold(Price(rounders, weights, 0.0, self.each))

    def _falling(self, most: float, warmup: int) -> float:
        """A rate that rises and falls for every layer."""
        return falling(most, self.update % self.each, warmup, self.each)

    def _after_step(self) -> None:
        names = self._names(min((self.update - 1) // self.each, len(self.prefixes) - 1))
        self.matrices.fit(names, self.update, rate=self.optimizer.param_groups[0]["lr"])
        self.matrices.round(names)
        if self.update % self.each == 0:
            self._hold()

    def _names(self, layer: int) -> list[str]:
        return [name for name in self.matrices.rounders if name.startswith(self.prefixes[layer])]


def relative_error(found: Tensor, aim: Tensor) -> Tensor:
    """The squared error by the squares of what is aimed at."""
    return F.mse_loss(found.float(), aim.float()) / aim.float().square().mean()
