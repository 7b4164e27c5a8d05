"""A BERT in a few lines of numpy, to say what an encoder has at every point; and tiny models with random weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from subbyte.model import Model
from subbyte.models import bert

BASE: dict[str, Any] = {
    "architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 768,
    "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522,
    "max_position_embeddings": 512, "type_vocab_size": 2, "num_labels": 2,
}  # fmt: skip
TINY: dict[str, Any] = BASE | {
    "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40, "vocab_size": 50,
    "max_position_embeddings": 16, "num_labels": 3,
}  # fmt: skip


def described(config: dict[str, Any]) -> Model:
    """A model of this configuration that has no tensors: enough for recipes."""
    spec = bert.specification(config)
    return Model(config["architectures"][0], config, {}, {}, spec.roles, spec.aliases, Path())


def random_model(**overrides: Any) -> Model:
    """A tiny float32 encoder with random weights."""
    config = TINY | overrides
    spec = bert.specification(config)
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in spec.shapes.items()}
    return Model(config["architectures"][0], config, {}, tensors, spec.roles, spec.aliases, Path())


def forward(model: Model, ids: list[int], types: list[int]) -> dict[str, np.ndarray]:
    """Every point of one text -> float64 [tokens, width]; scores and probabilities [count, 1]; the heads one row."""
    s = bert.settings(model.config)
    w = {name: np.asarray(tensor, np.float64) for name, tensor in model.tensors.items()}
    found: dict[str, np.ndarray] = {}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + s.norm_epsilon)
        return centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]

    def heads(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(ids), s.heads, -1).swapaxes(0, 1)

    gelu = np.vectorize(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2)
    x = found["embeddings.words"] = w[bert.WORDS][ids] + (w[bert.TYPES][types] if s.types else 0)
    x = found["embeddings.sum"] = x + w[bert.POSITIONS][s.first_position + np.arange(len(ids))]
    x = found["embeddings.output"] = norm("embeddings.LayerNorm", x)
    for i in range(s.layers):
        at, layer = f"layers.{i}", f"encoder.layer.{i}"
        q, k, v = (linear(f"{layer}.attention.self.{name}", x) for name in ("query", "key", "value"))
        scores = heads(q) @ heads(k).swapaxes(1, 2)
        odds = np.exp(scores / math.sqrt(s.hidden // s.heads))
        p = odds / odds.sum(-1, keepdims=True)
        context = (p @ heads(v)).swapaxes(0, 1).reshape(len(ids), -1)
        g = linear(f"{layer}.attention.output.dense", context)
        found |= {f"{at}.query": q, f"{at}.key": k, f"{at}.value": v, f"{at}.scores": scores.reshape(-1, 1)}
        found |= {f"{at}.probabilities": p.reshape(-1, 1), f"{at}.context": context, f"{at}.attention_output": g}
        found[f"{at}.attention_sum"] = x + g
        x = found[f"{at}.ffn_input"] = norm(f"{layer}.attention.output.LayerNorm", x + g)
        hidden = found[f"{at}.hidden"] = gelu(linear(f"{layer}.intermediate.dense", x))
        h = found[f"{at}.ffn_output"] = linear(f"{layer}.output.dense", hidden)
        found[f"{at}.ffn_sum"] = x + h
        x = found[f"{at}.output"] = norm(f"{layer}.output.LayerNorm", x + h)
    if s.labels:
        squash = np.tanh if s.pooler_activation == "tanh" else lambda y: np.maximum(y, 0)
        found["pooler"] = squash(linear("pooler.dense", x[:1]))
        found["classifier"] = linear("classifier", found["pooler"])
    return found
