"""An encoder, layer by layer. What is behind the last one, a pooler and a classifier, stays as it was rounded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from subbyte.training.blockwise import LayerByLayer, relative_error
from subbyte.training.encoders.batches import Batch
from subbyte.training.encoders.network import Dropout
from subbyte.training.encoders.trainer import EncoderTrainer
from subbyte.training.matrices import used


class EncoderBlockwise(LayerByLayer, EncoderTrainer):
    """From the first layer to the last; the grids of a layer's points are trained with it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.network = replace(self.network, dropout=Dropout())
        self._begin([f"encoder.layer.{i}." for i in range(self.shape.layers)])

    def _share(self) -> float:
        return self._falling(1.0, round(self.settings.warmup * self.each))

    def _loss(self, batch: Batch) -> Tensor:
        weights = used(self.parameters.items(), self.matrices.rounded, self.matrices.learned)
        assert self.teacher
        with torch.no_grad():
            aim = self.teacher.output(self.original, batch.tokens, self.layer)
        return relative_error(self.network.output(weights, batch.tokens, self.layer, self._at, self._read), aim)
