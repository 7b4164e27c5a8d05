"""Whether two models are one."""

from __future__ import annotations

import numpy as np

from subbyte.models.model import Model
from subbyte.numbers.packed import PackedMatrix


def assert_same(a: Model, b: Model) -> None:
    assert a.tensors.keys() == b.tensors.keys()
    for name, tensor in a.tensors.items():
        other = b.tensors[name]
        if not isinstance(tensor, PackedMatrix):
            assert isinstance(other, np.ndarray) and other.dtype == np.float32 and np.array_equal(tensor, other)
            continue
        assert isinstance(other, PackedMatrix)
        assert (tensor.shape, tensor.group_size, tensor.scheme) == (other.shape, other.group_size, other.scheme)
        same_array(tensor.cluster, other.cluster)
        for block, again in zip(tensor.blocks, other.blocks, strict=True):
            assert (block.bits, block.levels) == (again.bits, again.levels)
            for field in ("codes", "scale", "alphas", "zero"):
                same_array(getattr(block, field), getattr(again, field))
    assert (a.roles, a.aliases, a.activations, a.recipe) == (b.roles, b.aliases, b.activations, b.recipe)


def same_array(a: np.ndarray | None, b: np.ndarray | None) -> None:
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        assert a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
