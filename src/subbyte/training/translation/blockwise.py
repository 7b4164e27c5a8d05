"""A translation model, layer by layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from subbyte.training.blockwise import LayerByLayer, relative_error
from subbyte.training.matrices import used
from subbyte.training.translation.batches import FILL, Batch
from subbyte.training.translation.network import Dropout
from subbyte.training.translation.trainer import Trainer


class Blockwise(LayerByLayer, Trainer):
    """First the encoder's layers, then the decoder's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.network = replace(self.weights.network, dropout=Dropout())
        self.layers = self.network.layers()
        self._begin([layer.prefix for layer in self.layers])

    def _rate(self, most: float) -> float:
        return self._falling(most, self.settings.warmup)

    def _loss_of(self, batch: Batch) -> Tensor:
        layer, wanted = self.layers[self.layer], batch.labels != FILL
        weights = used(self.weights.named(), self.matrices.rounded, self.matrices.learned)
        assert self.weights.teacher
        with torch.no_grad():
            aim = self.weights.teacher.output(self.weights.original, batch.source, batch.inputs, wanted, layer)
        return relative_error(self.network.output(weights, batch.source, batch.inputs, wanted, layer), aim)
