"""A tiny encoder with outliers planted where BERT has them: two dimensions of the sum after the feed-forward layer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from builders.tiny_bench_bert import WORDS, tiny_bert_folder
from subbyte.folders.opening import open_model
from subbyte.models.model import Model

WIDTH = 96  # two values of 96 may be 6.9 standard deviations from the mean, two of 48 only 4.8
OUTLIERS = {17: 300.0, 90: -300.0}
LAYERS = (1, 2)


def texts(count: int = 24) -> list[str]:
    """Random words, some to a text."""
    rng = np.random.default_rng(1)
    return [" ".join(rng.choice(WORDS[5:17], size=rng.integers(3, 9))) for _ in range(count)]


def planted(folder: Path, architecture: str = "BertModel", outliers: bool = True) -> Model:
    """A model of three layers whose y has OUTLIERS in LAYERS, all of them the same for all tokens.

    The LayerNorm behind takes them away again, as BERT's does, and the rest of h is small beside x: so it is y alone
    that 8 bits are too few for.
    """
    model = open_model(tiny_bert_folder(folder, architecture, hidden_size=WIDTH, num_hidden_layers=3))
    tensors = dict(model.tensors)
    for name in model.roles:
        tensors[name] = model.tensors[name] / np.float32(0.3 * np.sqrt(model.tensors[name].shape[1]))
    dimensions = [*OUTLIERS]
    for layer in LAYERS if outliers else ():
        out = f"encoder.layer.{layer}.output"
        tensors[f"{out}.dense.weight"] = tensors[f"{out}.dense.weight"] * np.float32(0.05)
        bias = np.zeros(WIDTH, np.float32)
        bias[dimensions] = [*OUTLIERS.values()]
        gamma = np.full(WIDTH, 300 * np.sqrt(len(OUTLIERS) / WIDTH), np.float32)  # the deviation of y
        gamma[dimensions] = 0.1
        tensors |= {f"{out}.dense.bias": bias, f"{out}.LayerNorm.weight": gamma}
    return replace(model, tensors={name: np.ascontiguousarray(w, np.float32) for name, w in tensors.items()})
