"""Vectors of texts from an encoder's states: poolings, and the modules of sentence-transformers behind them."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from subbyte.models.model import SENTENCE, Model, SentenceVectors, Stage
from subbyte.numbers.arrays import Array
from subbyte.run.encoder_engine import EncoderEngine

IN_CORE = ("mean", "cls", "max")
SMALLEST = 1e-12  # length that is divided by, as torch's normalize
NORM_EPSILON = 1e-5  # of torch's LayerNorm

_erf = np.vectorize(math.erf, otypes=[np.float64])
# float64 [width] -> the same
ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0.0),
    "GELU": lambda x: 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))),
    "Sigmoid": lambda x: 0.5 * (1.0 + np.tanh(0.5 * x)),
    "SiLU": lambda x: 0.5 * x * (1.0 + np.tanh(0.5 * x)),
}


def stage_tensors(model: Model) -> dict[str, Array]:
    """The weights of the stages behind the pooling, float64."""
    arrays = {name: array for name, array in model.tensors.items() if isinstance(array, np.ndarray)}
    return {name: array.astype(np.float64) for name, array in arrays.items() if name.startswith(SENTENCE)}


def text_vectors(
    engine: EncoderEngine,
    ids: Sequence[Sequence[int]],
    types: Sequence[Sequence[int]],
    sentence: SentenceVectors,
    tensors: Mapping[str, Array],
    *,
    unpooled: int = 0,
    normalize: bool | None = None,
) -> Array:
    """One vector a text, float32 [texts, width], pooled, sent through the stages, and cut to `truncate_dim` of them.

    tensors    of `stage_tensors`
    unpooled   tokens at the start of each text that are not pooled: those of a prompt
    normalize  to length 1 behind the last stage; default: as `sentence` says. True normalizes what was cut once more

    A text's vector does not depend on the others.
    """
    x = _pooled(engine, ids, types, sentence.pooling, unpooled)
    if sentence.stages:
        x = np.stack([_through(row.astype(np.float64), sentence.stages, tensors) for row in x])
    if sentence.normalize if normalize is None else normalize:
        x = of_length_one(x)
    if sentence.truncate_dim is not None and sentence.truncate_dim < x.shape[1]:
        x = np.ascontiguousarray(x[:, : sentence.truncate_dim])
        x = of_length_one(x) if normalize else x
    return x


def of_length_one(x: Array) -> Array:
    """The rows of x, each divided by its length."""
    found: Array = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), SMALLEST)
    return found.astype(np.float32)


def _pooled(
    engine: EncoderEngine, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]], modes: Sequence[str], out: int
) -> Array:
    """The poolings side by side, float32 [texts, modes * hidden]."""
    if not out and all(mode in IN_CORE for mode in modes):
        return np.concatenate([engine.pooled(ids, types, mode) for mode in modes], axis=1)  # type: ignore[arg-type]
    states = engine.states(ids, types)
    return np.stack([np.concatenate([_pool(state, mode, out) for mode in modes]) for state in states])


def _pool(state: Array, mode: str, out: int) -> Array:
    """One pooling of [tokens, hidden] without the first `out` tokens, float32 [hidden]."""
    rest = state[out:].astype(np.float64)
    found: Array
    if mode == "cls":
        found = state[out] if len(rest) else state[0]
    elif mode == "lasttoken":
        found = rest[-1] if len(rest) else np.zeros(state.shape[1])
    elif mode == "max":
        found = rest.max(0, initial=-np.inf)
    elif mode == "weightedmean":  # by position in the whole text, from 1
        weights = np.arange(out + 1, len(state) + 1, dtype=np.float64)
        found = weights @ rest / max(weights.sum(), 1e-9)
    else:
        count = max(len(rest), 1e-9)
        found = rest.sum(0) / (count if mode == "mean" else math.sqrt(count))
    return found.astype(np.float32)


def _through(x: Array, stages: Sequence[Stage], tensors: Mapping[str, Array]) -> Array:
    """One vector, float64, through all stages; float32 comes out."""
    for k, stage in enumerate(stages):
        named = f"{SENTENCE}{k}."
        if stage.kind == "normalize":
            x = x / max(float(np.linalg.norm(x)), SMALLEST)
            continue
        shift = tensors[f"{named}bias"] if stage.bias else 0.0
        if stage.kind == "layer_norm":
            x = (x - x.mean()) / math.sqrt(float(x.var()) + NORM_EPSILON) * tensors[f"{named}scale"] + shift
            continue
        y = ACTIVATIONS[stage.activation](tensors[f"{named}weight"] @ x + shift)
        if stage.residual:
            turned = tensors.get(f"{named}residual")
            y = y + (x if turned is None else turned @ x)
        x = y
    return x.astype(np.float32)


def similarity(a: Array, b: Array, kind: str) -> Array:
    """How alike each row of a is to each of b, float32 [a, b]; distances count negative, as sentence-transformers."""
    a, b = (np.atleast_2d(np.asarray(x, np.float32)) for x in (a, b))
    if kind == "cosine":
        return np.asarray(of_length_one(a) @ of_length_one(b).T)
    if kind == "dot":
        return np.asarray(a @ b.T)
    rows = (np.abs(row - b).sum(1) if kind == "manhattan" else np.linalg.norm(row - b, axis=1) for row in a)
    return -np.stack([*rows]) if len(a) else np.zeros((0, len(b)), np.float32)
