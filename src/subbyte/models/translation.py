"""The translation model that is run: its settings and the tensors it has."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from subbyte.models.model import Role
from subbyte.models.specification import Specification

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
        d, words = self.d_model, self.decoder_vocab_size
        table = partial(sinusoidal_positions, self.max_positions, d)
        found = Specification(zeros=(BIAS,), computed=dict.fromkeys(POSITIONS, table))
        if self.shared and self.tied:
            found.matrix(SHARED, self.vocab_size, d, Role("embedding", "shared"))
            found.aliases.update(dict.fromkeys((ENCODER, DECODER, OUTPUT), SHARED))
        else:  # transformers 5 unties all of them, also where the vocabulary is shared
            found.matrix(ENCODER, self.vocab_size, d, Role("embedding", "encoder"))
            found.matrix(DECODER, words, d, Role("embedding", "decoder"))
            if self.tied:
                found.aliases[OUTPUT] = DECODER
            else:
                found.matrix(OUTPUT, words, d, Role("output", "decoder"))

        def attention(name: str, role: Role) -> None:
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                found.linear(f"{name}.{projection}", d, d, role)
            found.layer_norm(f"{name}_layer_norm", d)

        def feed_forward(name: str, ffn: int, role: Role) -> None:
            found.linear(f"{name}.fc1", ffn, d, role)
            found.linear(f"{name}.fc2", d, ffn, role)
            found.layer_norm(f"{name}.final_layer_norm", d)

        def ssru(layer: str, role: Role) -> None:
            found.matrix(f"{layer}.ssru.input.weight", d, d, role)
            found.linear(f"{layer}.ssru.forget", d, d, role)
            found.layer_norm(f"{layer}.ssru_layer_norm", d)

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
        found.shapes[BIAS] = (words,)
        return found


def sinusoidal_positions(positions: int, width: int) -> np.ndarray:
    """The position table of transformers' Marian, float32 [positions, width], bit for bit.

    The first half of the columns (the larger one, if they are odd) are sines, the second cosines, of
    position / 10000**(2k / width), k = 0, 1, ...
    """
    divisors = np.array([np.power(10000, 2 * k / width) for k in range((width + 1) // 2)])  # scalars: as there
    angles = np.arange(positions)[:, None] / divisors
    return np.concatenate([np.sin(angles), np.cos(angles[:, : width // 2])], axis=1).astype(np.float32)
