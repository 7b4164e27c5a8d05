"""The forward pass of BERT, DistilBERT and RoBERTa in torch, as a function of weights by name.

The names of weights and of activation points are those of models/encoder.py. Only attention sees sentences: everything
else works on tokens that stand one behind the other, without filling, as in the engine. So what is counted at a point
(ranges, errors, gradients of scales) is counted over tokens that are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from subbyte.models.encoder import POSITIONS, TYPES, WORDS, Settings, equalizer
from subbyte.models.operands import hadamard
from subbyte.training.layers import ACTIVATION, Weights, drop, norm

At = Callable[[str, Tensor], Tensor]  # name of a point, its values -> what is used in their place


@dataclass(frozen=True)
class Dropout:
    """The share of values that are dropped: of the embeddings and sub-layer outputs, attention weights, pooler."""

    outputs: float = 0.0
    attention: float = 0.0
    classifier: float = 0.0


class Tokens(NamedTuple):
    """Sentences. Filling may stand anywhere: its values are not read."""

    ids: Tensor  # int64 [sentences, positions]
    types: Tensor  # int64 [sentences, positions]
    seen: Tensor  # bool [sentences, positions], False for filling


class Heads(NamedTuple):
    """Query, key and value of a layer, float32 [sentences, heads, positions, width of a head]; filling is 0."""

    query: Tensor
    key: Tensor
    value: Tensor


class Result(NamedTuple):
    """What comes of a forward pass."""

    states: Tensor  # float32 [tokens, width], sentence behind sentence
    logits: Tensor | None  # float32 [sentences, labels]; None for a bare encoder
    heads: tuple[Heads, ...]  # of every layer
    outputs: tuple[Tensor, ...]  # of every layer, float32 [tokens, width]


def unchanged(_: str, x: Tensor) -> Tensor:
    """For `at`: the values as they are."""
    return x


@dataclass(frozen=True)
class EncoderNetwork:
    """An encoder without weights. `rotations`: of operands, point -> columns of a block."""

    settings: Settings
    dropout: Dropout = Dropout()
    rotations: Mapping[str, int] = field(default_factory=dict)

    def run(self, weights: Weights, tokens: Tokens, at: At = unchanged, read: At = unchanged) -> Result:
        """The forward pass.

        at    called at every point of the model, in their order, with float32 [tokens, width]; scores and
              probabilities are [sentences, heads, positions, positions], and 0 where one of both positions is filling;
              the pooler's and the classifier's are [sentences, width]
        read  called once where matrices read a point (product_inputs), with what `at` gave there, made an operand
        """
        s, w = self.settings, weights
        seen = _Seen(tokens.seen)
        x = self._embed(w, tokens, at)
        point, heads, outputs = "embeddings.output", [], []
        for i in range(s.layers):
            x, of_layer = self._layer(w, i, x, point, seen, at, read)
            point = f"layers.{i}.output"
            heads.append(of_layer)
            outputs.append(x)
        logits = None
        if s.labels:
            y = self._linear(w, "pooler.dense", self._operand(w, point, x[seen.first], read))
            y = at("pooler", torch.relu(y) if s.pooler_activation == "relu" else torch.tanh(y))
            y = self._operand(w, "pooler", drop(y, self.dropout.classifier), read)
            logits = at("classifier", self._linear(w, "classifier", y))
        return Result(x, logits, tuple(heads), tuple(outputs))

    def output(self, weights: Weights, tokens: Tokens, layer: int, at: At = unchanged, read: At = unchanged) -> Tensor:
        """What a layer puts out, [tokens, width]; there is no gradient of what comes before it. As in `run` else."""
        seen = _Seen(tokens.seen)
        with torch.no_grad():
            x, point = self._embed(weights, tokens, at), "embeddings.output"
            for i in range(layer):
                x, _ = self._layer(weights, i, x, point, seen, at, read)
                point = f"layers.{i}.output"
        return self._layer(weights, layer, x, point, seen, at, read)[0]

    def _embed(self, w: Weights, tokens: Tokens, at: At) -> Tensor:
        s = self.settings
        x = F.embedding(tokens.ids[tokens.seen], w[WORDS])
        if s.types:
            x = x + F.embedding(tokens.types[tokens.seen], w[TYPES])
        x = at("embeddings.words", x)
        positions = (tokens.seen.cumsum(1) - 1)[tokens.seen] + s.first_position
        x = at("embeddings.sum", x + F.embedding(positions, w[POSITIONS]))
        x = at("embeddings.output", self._norm(w, "embeddings.LayerNorm", x))
        return drop(x, self.dropout.outputs)

    def _layer(self, w: Weights, i: int, x: Tensor, point: str, seen: _Seen, at: At, read: At) -> tuple[Tensor, Heads]:
        """The layer's output and its heads, for `x`, which is the values of `point`."""
        layer, here = f"encoder.layer.{i}", f"layers.{i}"
        operand = self._operand(w, point, x, read)
        q, k, v = (
            at(f"{here}.{name}", self._linear(w, f"{layer}.attention.self.{name}", operand))
            for name in ("query", "key", "value")
        )
        heads = Heads(*(seen.apart(y, self.settings.heads) for y in (q, k, v)))
        y = at(f"{here}.context", self._attend(heads, here, seen, at))
        y = self._operand(w, f"{here}.context", y, read)
        y = at(f"{here}.attention_output", self._linear(w, f"{layer}.attention.output.dense", y))
        y = at(f"{here}.attention_sum", x + drop(y, self.dropout.outputs))
        x = at(f"{here}.ffn_input", self._norm(w, f"{layer}.attention.output.LayerNorm", y))
        y = self._linear(w, f"{layer}.intermediate.dense", self._operand(w, f"{here}.ffn_input", x, read))
        y = at(f"{here}.hidden", ACTIVATION[self.settings.activation](y))
        y = self._operand(w, f"{here}.hidden", y, read)
        y = at(f"{here}.ffn_output", self._linear(w, f"{layer}.output.dense", y))
        y = at(f"{here}.ffn_sum", x + drop(y, self.dropout.outputs))
        return at(f"{here}.output", self._norm(w, f"{layer}.output.LayerNorm", y)), heads

    def _attend(self, heads: Heads, here: str, seen: _Seen, at: At) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # the products are small
            scores = at(f"{here}.scores", heads.query @ heads.key.transpose(-1, -2))
            scores = scores / math.sqrt(heads.query.shape[-1])
            if seen.filled:
                scores = scores.masked_fill(~seen.keys, -math.inf)
            probabilities = scores.softmax(-1)
            if seen.filled:
                probabilities = probabilities.masked_fill(~seen.queries, 0)
            probabilities = at(f"{here}.probabilities", probabilities)
            return seen.together(drop(probabilities, self.dropout.attention) @ heads.value)

    def _operand(self, w: Weights, point: str, x: Tensor, read: At) -> Tensor:
        """What matrices read of the values of a point (operands.py)."""
        factors, rotation = w.get(equalizer(point)), self.rotations.get(point, 1)
        x = x if factors is None else x * factors
        if rotation > 1:
            with torch.autocast("cpu", enabled=False):
                x = (x.view(-1, rotation) @ torch.from_numpy(hadamard(rotation))).view(x.shape)
        return read(point, x)

    def _linear(self, w: Weights, name: str, x: Tensor) -> Tensor:
        """x times the matrix, float32."""
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"]).float()

    def _norm(self, w: Weights, name: str, x: Tensor) -> Tensor:
        return norm(w, name, x, self.settings.norm_epsilon)


def product_inputs(s: Settings) -> list[str]:
    """The points that matrices multiply, in their order."""
    return [point.name for point in s.points().values() if point.readers]


class _Seen:
    """Between tokens one behind the other and [sentences, heads, positions, width]."""

    def __init__(self, seen: Tensor) -> None:
        self.shape = seen.shape
        self.filled = not bool(seen.all())
        self.keys, self.queries = seen[:, None, None, :], seen[:, None, :, None]
        self.places = seen.flatten().nonzero()[:, 0]
        counts = seen.sum(1)
        self.first = counts.cumsum(0) - counts  # the row of each sentence's first token

    def apart(self, x: Tensor, heads: int) -> Tensor:
        """[tokens, width] -> [sentences, heads, positions, width / heads], 0 at filling."""
        if self.filled:
            x = x.new_zeros(self.shape.numel(), x.shape[1]).index_copy(0, self.places, x)
        return x.view(*self.shape, heads, -1).transpose(1, 2)

    def together(self, x: Tensor) -> Tensor:
        """The inverse of `apart`."""
        x = x.transpose(1, 2).reshape(self.shape.numel(), -1)
        return x[self.places] if self.filled else x
