"""The one place that tells numpy from torch, so that a scheme is written once; torch is never imported from here.

Schemes take their functions from their arrays: ``xp = namespace(w)`` is numpy or torch itself, used for the functions
that both spell alike (``abs amax clip floor mean round sum where zeros_like ...``, with ``axis=``). What they spell
differently stands below. Nothing is written in place, so a tensor keeps its device, and a caller its gradients.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]  # or a torch.Tensor, where a function says "array"


def namespace(x: Array) -> Any:
    """The module whose functions work on `x`: numpy, or torch if its caller brought a tensor."""
    if isinstance(x, np.ndarray):
        return np
    if type(x).__module__.partition(".")[0] == "torch":
        return sys.modules["torch"]
    raise TypeError(f"expected a numpy array or a torch tensor, got {type(x).__name__}")


def astype(x: Array, dtype: str) -> Array:
    """`x` as the type of this name ("float32", "uint8", ...)."""
    xp = namespace(x)
    converted: Array = xp.asarray(x, dtype=getattr(xp, dtype))
    return converted


def constant(values: Sequence[Any] | Array, like: Array) -> Array:
    """`values` as an array of the type (and on the device) of `like`."""
    xp = namespace(like)
    made: Array = xp.asarray(values, dtype=like.dtype, **({} if xp is np else {"device": like.device}))
    return made


def arange(n: int, like: Array) -> Array:
    """0..n-1 as int64, on the device of `like`."""
    return np.arange(n) if isinstance(like, np.ndarray) else namespace(like).arange(n, device=like.device)


def sort(x: Array) -> Array:
    """The values of the last axis in rising order."""
    return np.sort(x, axis=-1) if isinstance(x, np.ndarray) else namespace(x).sort(x).values


def argsort(x: Array) -> Array:
    """The positions on the last axis in rising order of their values, equal ones in their own order."""
    return np.argsort(x, axis=-1, kind="stable") if isinstance(x, np.ndarray) else namespace(x).argsort(x, stable=True)


def take(x: Array, index: Array) -> Array:
    """x[..., index[..., i]]: the elements of the last axis at `index`, for each of the leading ones by itself."""
    *groups, size = x.shape
    first = arange(math.prod(groups), like=x).reshape(*groups, 1) * size
    taken: Array = namespace(x).take(x, index + first)
    return taken
