"""Random encoders of every kind: floats, packed weights, and grids over what they have at their points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from builders.numpy_bert import DISTILBERT, ROBERTA, forward, random_model
from subbyte.compress.rounding import quantize_model
from subbyte.models.families import encoder_of
from subbyte.models.model import Dynamic, Model, Static
from subbyte.numbers.granularity import PerGroup, PerRow, PerTensor, RowClusters
from subbyte.numbers.grids import Grid, from_range
from subbyte.numbers.schemes import BinaryCoding, Clustered, Logarithmic, Normal, Scheme, Uniform

CONFIGS: Mapping[str, dict[str, Any]] = {
    "bert": {},
    "bare": {"architectures": ["BertModel"]},
    "relu": {"hidden_act": "relu", "layer_norm_eps": 1e-5},
    "silu": {"hidden_act": "silu", "type_vocab_size": 3, "num_labels": 1},
    "odd": {"hidden_size": 15, "num_attention_heads": 3, "intermediate_size": 37, "vocab_size": 53},
    "wide": {"hidden_size": 48, "num_attention_heads": 2, "intermediate_size": 64},
    "one head": {"num_attention_heads": 1, "num_hidden_layers": 1},
    "distilbert": DISTILBERT,
    "distilbert relu": {**DISTILBERT, "activation": "relu", "n_heads": 2},
    "roberta": ROBERTA,
    "roberta bare": {**ROBERTA, "architectures": ["RobertaModel"], "pad_token_id": 4},
}
SCHEMES: Mapping[str, Scheme | Clustered] = {
    "int8": Uniform(8),
    "affine": Uniform(4, mode="affine"),
    "tensor": Uniform(5, PerTensor()),
    "normal": Normal(4),
    "log": Logarithmic(3),
    "binary": BinaryCoding(3),
    "binary2": BinaryCoding(2),
    "clusters": Clustered(Uniform(8), RowClusters(2, 1.5)),
    "groups": Uniform(3, PerGroup(16), mode="affine"),
    "binary groups": BinaryCoding(3, PerGroup(16)),
}
WIDE = CONFIGS["wide"]


def batch(model: Model, lengths: tuple[int, ...] = (5, 1, 11, 3), seed: int = 0) -> tuple[list[list[int]], ...]:
    """Ids and types of texts of these lengths."""
    rng = np.random.default_rng(seed)
    s = encoder_of(model.config)
    ids = [rng.integers(0, s.vocab_size, n).tolist() for n in lengths]
    return ids, [rng.integers(0, max(s.types, 1), n).tolist() for n in lengths]


@cache
def packed(name: str, scheme: str) -> Model:
    """A random model with all matrices under a scheme; what does not divide into groups or clusters has none."""
    model = random_model(**CONFIGS[name])
    one = SCHEMES[scheme]
    plain = one.scheme if isinstance(one, Clustered) else replace(one, granularity=PerRow())
    fits = {
        key: model.tensors[key].shape[0] > 1 if isinstance(one, Clustered) else model.tensors[key].shape[1] % 16 == 0
        for key in model.roles
    }
    schemes = {key: one if fits[key] else plain for key in model.roles}
    return replace(quantize_model(model, schemes), activations=Dynamic())


@cache
def observed(name: str) -> dict[str, np.ndarray]:
    """What a random float model has at every point on some texts, to choose ranges by."""
    model = random_model(**CONFIGS[name])
    seen = [forward(model, *text) for text in zip(*batch(model, seed=7), strict=True)]
    return {point: np.concatenate([one[point] for one in seen]) for point in seen[0]}


def grid(name: str, point: str, bits: int, groups: int = 1, symmetric: bool = False) -> Grid:
    """A grid over what a float model has at a point."""
    x = observed(name)[point]
    columns = x.reshape(len(x), groups, -1)
    return from_range(columns.min((0, 2)), columns.max((0, 2)), bits, symmetric)


def static(name: str, scheme: str | None, **grids: Any) -> Model:
    """A model with a grid at every point, in groups where columns are; `grids` are the arguments of `grid`."""
    model = packed(name, scheme) if scheme else random_model(**CONFIGS[name])
    groups = grids.pop("groups", 1)
    made = {
        point: grid(name, point, groups=groups if of.width > 8 else 1, **grids)
        for point, of in encoder_of(model.config).points().items()
    }
    return replace(model, activations=Static(made))
