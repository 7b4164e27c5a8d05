"""Training of one layer after the other, to put out what the float32 model's does (Nagel et al. 2020; Li et al. 2021).

What a layer reads comes from the rounded layers before it, as they are by then, so it learns to make up for them. A
layer alone costs a part of a pass through the model: no softmax over words, and no gradient of what is before it. With
y its outputs and y' those of the float32 layer, which reads what it reads in the float32 model, the loss is

    sum of (y - y')^2 / sum of y'^2

Words stay as they were rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from subbyte.training.coded import Price
from subbyte.training.layers import relative_error
from subbyte.training.loop import falling
from subbyte.training.matrices import used
from subbyte.training.translation.batches import FILL, Batch
from subbyte.training.translation.network import Dropout, Layer
from subbyte.training.translation.trainer import Trainer


class Blockwise(Trainer):
    """A translation model while it is trained layer by layer.

    Updates are shared equally, and every layer keeps the bits that it began with.
    """

    layers: list[Layer]
    each: int  # updates of a layer

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.network = replace(self.weights.network, dropout=Dropout())
        self.layers = self.network.layers()
        self.each = -(-self.settings.updates // len(self.layers))
        self._hold()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.update = state["update"]
        self._hold()
        super().restore(state)

    @property
    def layer(self) -> Layer:
        """That of the next update."""
        return self.layers[min(self.update // self.each, len(self.layers) - 1)]

    def _rate(self, most: float) -> float:
        return falling(most, self.update % self.each, self.settings.warmup, self.each)

    def _loss_of(self, batch: Batch) -> Tensor:
        weights = used(self.weights.named(), self.matrices.rounded, self.matrices.learned)
        wanted = batch.labels != FILL
        assert self.weights.teacher
        with torch.no_grad():
            aim = self.weights.teacher.output(self.weights.original, batch.source, batch.inputs, wanted, self.layer)
        found = self.network.output(weights, batch.source, batch.inputs, wanted, self.layer)
        return relative_error(found, aim)

    def _after_step(self) -> None:
        names = self._names(self.layers[(self.update - 1) // self.each])
        self.matrices.fit(names, self.update)
        self.matrices.round(names)
        if self.update % self.each == 0:
            self._hold()

    def _hold(self) -> None:
        """Keep to the bits that this layer has."""
        rounders = {
            name: self.matrices.learned[name] for name in self._names(self.layer) if name in self.matrices.learned
        }
        self.matrices.price = None
        if rounders:
            weights = sum(self.parameters[name].numel() for name in rounders)
            self.matrices.hold(Price(rounders, weights, 0.0, self.each))

    def _names(self, layer: Layer) -> list[str]:
        return [name for name in self.matrices.rounders if layer.has(name)]
