"""Operands that are easier to round: columns made alike, or blocks of columns turned, and matrices that make up for it.

    x W' = (x e) (W / e)' = (x H) (W H)'

`e` is a factor of each column that gives it the root mean square of all, on a calibration text: gamma migration (Wei et
al. 2022, "Outlier Suppression") and SmoothQuant (Xiao et al. 2023) do that, here for the operand alone: residual sums
keep their values. All of the difference goes into the weights, whose rounding is calibrated (output_rounding.py).
Factors are vectors of the model, POINT.equalizer.

`H` is a Hadamard matrix of n columns, divided by sqrt(n), for every block of n: an outlier is spread over its block
(Ashkboos et al. 2024, "QuaRot"). n is the `rotation` of the point's grid. Both are run by the core before inputs become
codes.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from subbyte.errors import UsageError
from subbyte.models import encoder
from subbyte.models.families import encoder_of
from subbyte.models.model import Model, Static, Tensor
from subbyte.numbers.arrays import Array
from subbyte.numbers.grids import ROTATIONS, Grid
from subbyte.numbers.packed import PackedMatrix

LARGEST_BLOCK = 128  # of columns that are turned
SMALLEST = 1 / 32  # of all columns' root mean square: what is hardly ever there is not made larger than that


def block(width: int) -> int:
    """How many columns are turned together: 128, or fewer where those do not divide the width; 1: none are."""
    return max(n for n in ROTATIONS if n <= LARGEST_BLOCK and width % n == 0)


def factors(mean_squares: Array) -> Array:
    """The factor of each column, float32 [width], from the means of their squares."""
    of_all = max(float(np.sqrt(mean_squares.mean())), float(np.finfo(np.float32).tiny))
    found: Array = (of_all / np.maximum(np.sqrt(mean_squares), SMALLEST * of_all)).astype(np.float32)
    return found


def equalized(model: Model, factors: Mapping[str, Array]) -> Model:
    """The float32 encoder with these factors, point -> [width], which computes the same.

    UsageError if a matrix that has to make up for them is quantized.
    """
    tensors = dict(model.tensors)
    for point, of_columns in factors.items():
        _change_readers(model, tensors, point, lambda w, e=of_columns: w / e)  # type: ignore[misc]
        tensors[encoder.equalizer(point)] = of_columns
    return replace(model, tensors=tensors)


def with_grids(model: Model, grids: Mapping[str, Grid]) -> Model:
    """The float32 encoder with these grids, its matrices turned as those say; unrounded it computes the same.

    UsageError if a matrix that has to make up for a rotation is quantized.
    """
    tensors = dict(model.tensors)
    for point, grid in grids.items():
        if grid.rotation > 1:
            _change_readers(model, tensors, point, lambda w, n=grid.rotation: turned(w, n))  # type: ignore[misc]
    return replace(model, tensors=tensors, activations=Static(grids))


def turned(x: Array, rotation: int) -> Array:
    """float32 [..., width], every block of `rotation` columns times the Hadamard matrix."""
    found: Array = (x.reshape(-1, rotation) @ hadamard(rotation)).reshape(x.shape)
    return found


def hadamard(n: int) -> Array:
    """The symmetric Hadamard matrix (Sylvester's) that keeps lengths, float32 [n, n]; n is a power of two."""
    matrix: Array = np.ones((1, 1), np.float32)
    while len(matrix) < n:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.float32(np.sqrt(n))


def _change_readers(
    model: Model, tensors: dict[str, Tensor], point: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    for name in encoder_of(model.config).points()[point].readers:
        w = tensors[name]
        if isinstance(w, PackedMatrix):
            raise UsageError(f"{name} is quantized; take the float32 model")
        tensors[name] = change(w)
