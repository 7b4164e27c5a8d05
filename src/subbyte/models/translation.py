"""The translation model that is run: its settings and the tensors it has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from subbyte.models.model import Role
from subbyte.models.specification import Shape, Specification

SHARED = "model.shared.weight"
ENCODER = "model.encoder.embed_tokens.weight"
DECODER = "model.decoder.embed_tokens.weight"
OUTPUT = "lm_head.weight"
BIAS = "final_logits_bias"
POSITIONS = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")


@dataclass(frozen=True)
class Settings:
    """The numbers of a MarianMT config.json, checked. Vocabulary sizes are in words, widths in values."""

    d_model: int
    encoder_layers: int
    decoder_layers: int
    encoder_heads: int
    decoder_heads: int
    encoder_ffn: int
    decoder_ffn: int
    vocab_size: int  # of the encoder
    decoder_vocab_size: int  # of the decoder and the output; equal to vocab_size where embeddings are shared
    max_positions: int
    activation: str  # relu, gelu (exact, by erf) or silu
    scale_embedding: bool  # embeddings are multiplied by sqrt(d_model)
    shared: bool  # encoder and decoder share one vocabulary and embedding
    tied: bool  # the output matrix is the decoder's embedding
    pad: int
    decoder_start: int
    recurrent: bool = False  # decoder cells are SSRU, not self-attention
    zero_start: bool = False  # the decoder's first input is a zero vector
    positions: str = "transformers"  # how fast positions turn: transformers or marian
    norm_epsilon: float = 1e-5

    @property
    def longest(self) -> int:
        """Tokens of the longest source, and of the longest translation."""
        return self.max_positions

    def specification(self) -> Specification:
        """The tensors of the model, encoder first, in the order in which they are used."""
        shapes: dict[str, Shape] = {}
        roles: dict[str, Role] = {}
        aliases: dict[str, str] = {}

        def matrix(name: str, shape: Shape, role: Role) -> None:
            shapes[name] = shape
            roles[name] = role

        def linear(name: str, outputs: int, inputs: int, role: Role) -> None:
            matrix(f"{name}.weight", (outputs, inputs), role)
            shapes[f"{name}.bias"] = (outputs,)

        def layer_norm(name: str) -> None:
            shapes[f"{name}.weight"] = (self.d_model,)
            shapes[f"{name}.bias"] = (self.d_model,)

        def attention(name: str, role: Role) -> None:
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                linear(f"{name}.{projection}", self.d_model, self.d_model, role)
            layer_norm(f"{name}_layer_norm")

        if self.shared and self.tied:
            matrix(SHARED, (self.vocab_size, self.d_model), Role("embedding", "shared"))
            aliases = {ENCODER: SHARED, DECODER: SHARED, OUTPUT: SHARED}
        else:  # transformers 5 unties all of them, also where the vocabulary is shared
            matrix(ENCODER, (self.vocab_size, self.d_model), Role("embedding", "encoder"))
            matrix(DECODER, (self.decoder_vocab_size, self.d_model), Role("embedding", "decoder"))
            if self.tied:
                aliases = {OUTPUT: DECODER}
            else:
                matrix(OUTPUT, (self.decoder_vocab_size, self.d_model), Role("output", "decoder"))

        def feed_forward(name: str, ffn: int, role: Role) -> None:
            linear(f"{name}.fc1", ffn, self.d_model, role)
            linear(f"{name}.fc2", self.d_model, ffn, role)
            layer_norm(f"{name}.final_layer_norm")

        def ssru(layer: str, role: Role) -> None:
            matrix(f"{layer}.ssru.input.weight", (self.d_model, self.d_model), role)
            linear(f"{layer}.ssru.forget", self.d_model, self.d_model, role)
            layer_norm(f"{layer}.ssru_layer_norm")

        for i in range(self.encoder_layers):
            attention(f"model.encoder.layers.{i}.self_attn", Role("self_attention", "encoder", i))
            feed_forward(f"model.encoder.layers.{i}", self.encoder_ffn, Role("feed_forward", "encoder", i))
        for i in range(self.decoder_layers):
            if self.recurrent:
                ssru(f"model.decoder.layers.{i}", Role("recurrence", "decoder", i))
            else:
                attention(f"model.decoder.layers.{i}.self_attn", Role("self_attention", "decoder", i))
            attention(f"model.decoder.layers.{i}.encoder_attn", Role("cross_attention", "decoder", i))
            feed_forward(f"model.decoder.layers.{i}", self.decoder_ffn, Role("feed_forward", "decoder", i))
        shapes[BIAS] = (self.decoder_vocab_size,)
        table = partial(sinusoidal_positions, self.max_positions, self.d_model)
        return Specification(shapes, roles, aliases, zeros=(BIAS,), computed=dict.fromkeys(POSITIONS, table))


def sinusoidal_positions(positions: int, width: int) -> np.ndarray:
    """The position table of transformers' Marian, float32 [positions, width], bit for bit.

    The first half of the columns (the larger one, if they are odd) are sines, the second cosines, of
    position / 10000**(2k / width), k = 0, 1, ...
    """
    divisors = np.array([np.power(10000, 2 * k / width) for k in range((width + 1) // 2)])  # scalars: as there
    angles = np.arange(positions)[:, None] / divisors
    return np.concatenate([np.sin(angles), np.cos(angles[:, : width // 2])], axis=1).astype(np.float32)
