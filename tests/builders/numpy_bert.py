"""A BERT in a few lines of numpy, to say what an encoder has at every point; and tiny models with random weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from subbyte.models import encoder
from subbyte.models.families import encoder_of
from subbyte.models.model import Model
from subbyte.numbers.grids import fake_quantize
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import PackedMatrix

BASE: dict[str, Any] = {
    "architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 768,
    "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522,
    "max_position_embeddings": 512, "type_vocab_size": 2, "num_labels": 2,
}  # fmt: skip
TINY: dict[str, Any] = BASE | {
    "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40, "vocab_size": 50,
    "max_position_embeddings": 16, "num_labels": 3,
}  # fmt: skip
# The other families; what they call otherwise stands beside the names of BERT, which they do not read.
ROBERTA: dict[str, Any] = {
    "architectures": ["RobertaForSequenceClassification"], "model_type": "roberta", "pad_token_id": 1,
    "type_vocab_size": 1,
}  # fmt: skip
DISTILBERT: dict[str, Any] = {
    "architectures": ["DistilBertForSequenceClassification"], "model_type": "distilbert", "dim": 24, "n_layers": 3,
    "n_heads": 4, "hidden_dim": 40,
}  # fmt: skip
ACTIVATIONS = {
    "gelu": np.vectorize(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2, otypes=[float]),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def described(config: dict[str, Any]) -> Model:
    """A model of this configuration that has no tensors: enough for recipes."""
    spec = encoder_of(config).specification()
    return Model(config["architectures"][0], "encode", config, {}, {}, spec.roles, spec.aliases, Path())


def random_model(**overrides: Any) -> Model:
    """A tiny float32 encoder with random weights."""
    config = TINY | overrides
    spec = encoder_of(config).specification()
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in spec.shapes.items()}
    return Model(config["architectures"][0], "encode", config, {}, tensors, spec.roles, spec.aliases, Path())


def per_token(x: np.ndarray) -> np.ndarray:
    """Rows rounded to int8 by their own largest values, in float32 as the engine does it."""
    x = x.astype(np.float32)
    most = np.abs(x).max(-1, keepdims=True)
    inverse = np.divide(np.float32(127), most, out=np.zeros_like(most), where=most > 0)
    return np.rint(x * inverse).astype(np.float64) * (most / np.float32(127))


def forward(
    model: Model,
    ids: list[int],
    types: list[int],
    activations: str = "float32",
    seen: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Every point of one text -> float64 [tokens, width]; scores and probabilities [count, 1]; the heads one row.

    Points have what they have before they are rounded there.

    activations  how inputs of products are rounded where weights are packed, and with "static" the points with grids
    seen         what another has seen at points: the points behind each are computed from that, so that a value that
                 fell on the other side of a rounding is not held against all that follow
    """
    s = encoder_of(model.config)
    packed = {name for name, tensor in model.tensors.items() if isinstance(tensor, PackedMatrix)}
    w = {
        name: np.asarray(dequantize(tensor) if isinstance(tensor, PackedMatrix) else tensor, np.float64)
        for name, tensor in model.tensors.items()
    }
    grids = model.activations.grids if activations == "static" else {}
    found: dict[str, np.ndarray] = {}

    def past(point: str, x: np.ndarray) -> np.ndarray:
        """What leaves a point that x enters."""
        found[point] = x
        x = seen[point] if seen and point in seen else x
        return x if point not in grids or grids[point].operand else fake_quantize(x, grids[point]).astype(np.float64)

    def linear(name: str, x: np.ndarray, point: str) -> np.ndarray:
        x = x * w.get(f"{point}.equalizer", 1.0)
        if point in model.activations.grids and (n := model.activations.grids[point].rotation) > 1:
            signs = [[(-1.0) ** (i & j).bit_count() for j in range(n)] for i in range(n)]
            x = (x.reshape(-1, n) @ np.array(signs) / math.sqrt(n)).reshape(x.shape)
        if point in grids and grids[point].operand:
            x = fake_quantize(x, grids[point]).astype(np.float64)
        if f"{name}.weight" in packed and activations != "float32" and point not in grids:
            x = per_token(x)
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + s.norm_epsilon)
        return centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]

    def heads(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(ids), s.heads, -1).swapaxes(0, 1)

    x = past("embeddings.words", w[encoder.WORDS][ids] + (w[encoder.TYPES][types] if s.types else 0))
    x = past("embeddings.sum", x + w[encoder.POSITIONS][s.first_position + np.arange(len(ids))])
    point = "embeddings.output"
    x = past(point, norm("embeddings.LayerNorm", x))
    for i in range(s.layers):
        at, layer = f"layers.{i}", f"encoder.layer.{i}"
        q, k, v = (
            past(f"{at}.{name}", linear(f"{layer}.attention.self.{name}", x, point))
            for name in ("query", "key", "value")
        )
        scores = heads(q) @ heads(k).swapaxes(1, 2)
        shape = scores.shape
        scores = past(f"{at}.scores", scores.reshape(-1, 1)).reshape(shape) / math.sqrt(s.hidden // s.heads)
        odds = np.exp(scores - scores.max(-1, keepdims=True))
        p = past(f"{at}.probabilities", (odds / odds.sum(-1, keepdims=True)).reshape(-1, 1)).reshape(shape)
        context = past(f"{at}.context", (p @ heads(v)).swapaxes(0, 1).reshape(len(ids), -1))
        g = past(f"{at}.attention_output", linear(f"{layer}.attention.output.dense", context, f"{at}.context"))
        u = past(f"{at}.attention_sum", x + g)
        x = past(f"{at}.ffn_input", norm(f"{layer}.attention.output.LayerNorm", u))
        hidden = ACTIVATIONS[s.activation](linear(f"{layer}.intermediate.dense", x, f"{at}.ffn_input"))
        hidden = past(f"{at}.hidden", hidden)
        h = past(f"{at}.ffn_output", linear(f"{layer}.output.dense", hidden, f"{at}.hidden"))
        y = past(f"{at}.ffn_sum", x + h)
        point = f"{at}.output"
        x = past(point, norm(f"{layer}.output.LayerNorm", y))
    if s.labels:
        pooled = past("pooler", ACTIVATIONS[s.pooler_activation](linear("pooler.dense", x[:1], point)))
        past("classifier", linear("classifier", pooled, "pooler"))
    return found
