"""The forward pass of MarianMT and of Marian's students in torch, as a function of weights by name.

The names are those of `model.Model`, so that a method of training is free to say what the weights of a matrix are: as
they stand, rounded, or rounded with a gradient. Equal to the engine's arithmetic but for the order of float sums.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from subbyte.models import translation
from subbyte.models.translation import BIAS, DECODER, ENCODER, OUTPUT, Settings
from subbyte.training.layers import ACTIVATION, Weights, drop, norm, rounded_per_token


@dataclass(frozen=True)
class Dropout:
    """The share of values that are dropped: of sub-layer outputs, attention weights, and activations."""

    outputs: float = 0.0
    attention: float = 0.0
    activations: float = 0.0


class Layer(NamedTuple):
    """One of a stack: "encoder" or "decoder"."""

    stack: str
    number: int

    @property
    def prefix(self) -> str:
        """Of the names of its tensors."""
        return f"model.{self.stack}.layers.{self.number}."


@dataclass(frozen=True)
class Network:
    """A translation model without weights.

    settings    its shape
    aliases     tied name -> the name that holds the weights
    round_inputs  whether the inputs of matrix products are rounded to int8, a scale a token, as the engine does
    """

    settings: Settings
    aliases: Mapping[str, str]
    round_inputs: bool
    dropout: Dropout = Dropout()

    def logits(self, weights: Weights, source: Tensor, target: Tensor, wanted: Tensor) -> Tensor:
        """Logits [tokens, words] at the positions of the target that are wanted.

        source  int64 [sentences, positions], filled up with -1
        target  int64 [sentences, positions], what the decoder reads: it begins with the start token
        wanted  bool [sentences, positions]
        """
        memory, seen = self._encode(weights, source)
        states = self._decode(weights, target, memory, seen)[wanted]
        return self._linear(weights, self._name(OUTPUT), BIAS, states)

    def layers(self) -> list[Layer]:
        """All of them, in the order in which they are computed."""
        s = self.settings
        counts = (("encoder", s.encoder_layers), ("decoder", s.decoder_layers))
        return [Layer(stack, i) for stack, count in counts for i in range(count)]

    def output(self, weights: Weights, source: Tensor, target: Tensor, wanted: Tensor, layer: Layer) -> Tensor:
        """What a layer puts out, [tokens, width]; there is no gradient of what comes before it. As in `logits` else."""
        before = torch.no_grad()
        if layer.stack == "encoder":
            with before:
                x, seen = self._encode(weights, source, layer.number)
            return self._encoder_layer(weights, layer.number, x, seen)[source >= 0]
        with before:
            memory, seen = self._encode(weights, source)
            x = self._decode(weights, target, memory, seen, layer.number)
        return self._decoder_layer(weights, layer.number, x, memory, seen)[wanted]

    def _encode(self, w: Weights, source: Tensor, layers: int | None = None) -> tuple[Tensor, Tensor]:
        """States [sentences, positions, width] behind the first layers, and which positions are not filling.

        These are bool [sentences, 1, 1, positions].
        """
        seen = (source >= 0)[:, None, None, :]
        x = self._embed(w, ENCODER, source.clamp(min=0))
        for i in range(self.settings.encoder_layers if layers is None else layers):
            x = self._encoder_layer(w, i, x, seen)
        return x, seen

    def _encoder_layer(self, w: Weights, i: int, x: Tensor, seen: Tensor) -> Tensor:
        layer = f"model.encoder.layers.{i}"
        x = self._attend(w, f"{layer}.self_attn", x, x, self.settings.encoder_heads, seen)
        return self._feed_forward(w, layer, x)

    def _decode(self, w: Weights, target: Tensor, memory: Tensor, seen: Tensor, layers: int | None = None) -> Tensor:
        x = self._embed(w, DECODER, target, zero_start=self.settings.zero_start)
        for i in range(self.settings.decoder_layers if layers is None else layers):
            x = self._decoder_layer(w, i, x, memory, seen)
        return x

    def _decoder_layer(self, w: Weights, i: int, x: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        s, layer = self.settings, f"model.decoder.layers.{i}"
        if s.recurrent:
            x = self._recur(w, layer, x)
        else:
            x = self._attend(w, f"{layer}.self_attn", x, x, s.decoder_heads, None)
        x = self._attend(w, f"{layer}.encoder_attn", x, memory, s.decoder_heads, seen)
        return self._feed_forward(w, layer, x)

    def _name(self, name: str) -> str:
        return self.aliases.get(name, name)

    def _embed(self, w: Weights, table: str, ids: Tensor, *, zero_start: bool = False) -> Tensor:
        s = self.settings
        x = F.embedding(ids, w[self._name(table)]) * (math.sqrt(s.d_model) if s.scale_embedding else 1.0)
        if zero_start:
            x = torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:]], dim=1)
        return drop(x + positions(s, ids.shape[1]), self.dropout.outputs)

    def _linear(self, w: Weights, weight: str, bias: str | None, x: Tensor) -> Tensor:
        return F.linear(rounded_per_token(x) if self.round_inputs else x, w[weight], w[bias] if bias else None)

    def _norm(self, w: Weights, name: str, x: Tensor) -> Tensor:
        return norm(w, name, x, self.settings.norm_epsilon)

    def _attend(self, w: Weights, name: str, x: Tensor, read: Tensor, heads: int, seen: Tensor | None) -> Tensor:
        """norm(x + attention of x to `read`), to the positions that are `seen`; without it to those before."""

        def projected(part: str, of: Tensor) -> Tensor:
            y = self._linear(w, f"{name}.{part}.weight", f"{name}.{part}.bias", of)
            return y.float().unflatten(-1, (heads, -1)).transpose(1, 2)

        q, k, v = projected("q_proj", x), projected("k_proj", read), projected("v_proj", read)
        with torch.autocast("cpu", enabled=False):  # torch 2.13 takes ten times as long for its gradient in bf16
            y = F.scaled_dot_product_attention(
                q, k, v, attn_mask=seen, dropout_p=self.dropout.attention, is_causal=seen is None
            )
        y = self._linear(w, f"{name}.out_proj.weight", f"{name}.out_proj.bias", y.transpose(1, 2).flatten(2))
        return self._norm(w, f"{name}_layer_norm", x + drop(y, self.dropout.outputs))

    def _recur(self, w: Weights, layer: str, x: Tensor) -> Tensor:
        """The simpler simple recurrent unit (Kim et al. 2019)."""
        forget = torch.sigmoid(self._linear(w, f"{layer}.ssru.forget.weight", f"{layer}.ssru.forget.bias", x).float())
        new = (1 - forget) * self._linear(w, f"{layer}.ssru.input.weight", None, x)
        state = torch.zeros_like(new[:, 0])
        states = []
        for f, n in zip(forget.unbind(1), new.unbind(1), strict=True):
            state = f * state + n
            states.append(state)
        return self._norm(w, f"{layer}.ssru_layer_norm", x + drop(F.relu(torch.stack(states, 1)), self.dropout.outputs))

    def _feed_forward(self, w: Weights, layer: str, x: Tensor) -> Tensor:
        y = ACTIVATION[self.settings.activation](self._linear(w, f"{layer}.fc1.weight", f"{layer}.fc1.bias", x))
        y = drop(y, self.dropout.activations)
        y = self._linear(w, f"{layer}.fc2.weight", f"{layer}.fc2.bias", y)
        return self._norm(w, f"{layer}.final_layer_norm", x + drop(y, self.dropout.outputs))


def positions(s: Settings, count: int) -> Tensor:
    """The first `count` rows of the position table, float32 [count, width]."""
    if s.positions == "transformers":
        return torch.from_numpy(translation.sinusoidal_positions(count, s.d_model))
    divisors = 10000.0 ** (np.arange(s.d_model // 2) / (s.d_model // 2 - 1))
    angles = np.arange(count)[:, None] / divisors
    return torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32))
