"""An order of the embedding axis in which dimensions of like range are neighbours, folded into the weights.

Bondarenko et al. 2021 sort the dimensions of x, h and y (the input, the output and the sum of the feed-forward layer)
by their range before groups are formed, so that outliers share the last group. They have an order for each layer, and
gather between layers; here one order holds for the whole network, and nothing is moved at run time.

Here outliers stand first, so that they share a group with the narrowest dimensions, not with the widest: what shares
an outlier's scale is lost, and the widest tell most (docs/bondarenko2021.md has both).

With the order pi, a vector v of the axis is stored as v[pi].
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from subbyte.errors import UsageError
from subbyte.models.model import Model, Tensor
from subbyte.numbers.arrays import Array
from subbyte.numbers.packed import PackedMatrix

OUTLYING = 6  # standard deviations, as for values in the paper

# Which axis of a tensor is the embedding axis, by the end of its name. What is not listed has none:
# pooler.dense.bias, the classifier, the biases of queries, keys, values and of the first feed-forward matrix.
AXES: Mapping[str, int] = {
    "_embeddings.weight": 1,
    "LayerNorm.weight": 0,
    "LayerNorm.bias": 0,
    "query.weight": 1,
    "key.weight": 1,
    "value.weight": 1,
    "output.dense.weight": 0,
    "output.dense.bias": 0,
    "intermediate.dense.weight": 1,
    "pooler.dense.weight": 1,
    "output.equalizer": 0,
    "ffn_input.equalizer": 0,
}


def order(ranges: Mapping[str, Array]) -> Array:
    """The order of the embedding axis, int64 [d]: outliers, then the others from narrow to wide.

    ranges  point -> [d], max - min of each dimension. Points of different scale count alike: the range of a dimension
            is the largest over the points of its share of the point's widest. An outlier is more than six standard
            deviations wider than the mean dimension of a point.
    """
    shares = [r / max(float(r.max()), np.finfo(np.float64).tiny) for r in ranges.values()]
    outlying = [r > r.mean() + OUTLYING * r.std() for r in ranges.values()]
    found: Array = np.argsort(np.where(np.any(outlying, axis=0), -1, np.max(shares, axis=0)), kind="stable")
    return found


def inverse(pi: Array | Sequence[int]) -> Array:
    """The order that undoes `pi`: v[pi][inverse(pi)] is v."""
    return np.argsort(pi)


def permuted(model: Model, pi: Array | Sequence[int]) -> Model:
    """The float32 encoder with its embedding axis in this order, which computes the same logits.

    Its vectors on the embedding axis, hidden states and sentence vectors, are those of `model` at `pi`; the pooler's
    output has no order to be put into. UsageError if a matrix is quantized, or `pi` is no order of the axis.
    """
    width = int(model.tensors["embeddings.LayerNorm.weight"].shape[0])
    indices = np.asarray(pi)
    if not np.array_equal(np.sort(indices), np.arange(width)):
        raise UsageError(f"a permutation should have the numbers 0..{width - 1}, each once")
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.tensors.items():
        if isinstance(tensor, PackedMatrix):
            raise UsageError(f"{name} is quantized; permute the float32 model")
        axes = [axis for end, axis in AXES.items() if name.endswith(end)]
        tensors[name] = np.ascontiguousarray(np.take(tensor, indices, axes[0])) if axes else tensor
    before = range(width) if model.permutation is None else model.permutation
    return replace(model, tensors=tensors, permutation=tuple(before[i] for i in indices.tolist()))
