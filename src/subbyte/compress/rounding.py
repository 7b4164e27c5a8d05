"""A model with its matrices packed, by a recipe or as it is told which matrix gets which scheme."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from subbyte.compress.recipes.recipe import Recipe, resolve, resolved
from subbyte.errors import SchemeError
from subbyte.models.model import Model, Tensor, activations_of
from subbyte.numbers.arrays import Array
from subbyte.numbers.granularity import group_size
from subbyte.numbers.matrices import quantize_matrix
from subbyte.numbers.output_rounding import Columns
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.progress import Steps, counting

HALF_LIMIT = 65504.0  # the largest float16


def under(
    recipe: Recipe,
    model: Model,
    frequencies: Mapping[str, Array] | None = None,
    grams: Mapping[str, Array | Columns] | None = None,
    progress: Steps | None = None,
) -> Model:
    """The model under a recipe; the rest is as `quantize_model` has it."""
    schemes = resolve(recipe, model)
    packed = quantize_model(model, schemes, frequencies, grams, progress)
    activations = activations_of(recipe.activations, packed.activations.grids)
    return replace(packed, activations=activations, recipe=resolved(recipe, schemes))


def quantize_model(
    model: Model,
    schemes: Mapping[str, Scheme | Clustered],
    frequencies: Mapping[str, Array] | None = None,
    grams: Mapping[str, Array | Columns] | None = None,
    progress: Steps | None = None,
) -> Model:
    """The model with every matrix that `schemes` names packed; all else passes through.

    frequencies  matrix name -> how often the word of each row occurs, for clustered schemes
    grams        matrix name -> sum of x x' over its inputs, where outputs are to be kept (see `quantize_matrix`), or
                 what `output_rounding.columns_of` made of it, to be used again
    progress     called with the weights done so far and those in all
    """
    matrices = _matrices(model, schemes, frequencies or {})
    rounded = counting(progress, sum(w.size for w in matrices.values()))
    tensors: dict[str, Tensor] = dict(model.tensors)
    last: tuple[Array, Columns] | None = None  # matrices with the same inputs share their sum
    rounded(0)  # the first matrix is often the largest
    for name in _by_gram(matrices, grams or {}):
        w, scheme, cluster = matrices[name], schemes[name], None
        columns = (grams or {}).get(name)
        if isinstance(columns, np.ndarray):
            last = last if last and last[0] is columns else (columns, Columns.of(columns))
            columns = last[1]
        if isinstance(scheme, Clustered) and frequencies and name in frequencies:
            cluster = scheme.clusters.assign(frequencies[name])
        try:
            tensors[name] = quantize_matrix(w, scheme, cluster, columns)
        except SchemeError as error:
            raise SchemeError(f"{name}: {error}") from None
        rounded(w.size)
    return in_few_bytes(replace(model, tensors=tensors))


def in_few_bytes(model: Model) -> Model:
    """The model; if its matrices are entropy coded, with its vectors rounded to float16, where they are in its range.

    Biases and norms are 4 % of a file of 3 bits a weight, and the finer steps that half of that pays for are worth more
    than what the rounding loses.
    """
    if not model.entropy_coded:
        return model
    tensors: dict[str, Tensor] = dict(model.tensors)
    for name, vector in model.tensors.items():
        if isinstance(vector, np.ndarray) and name not in model.roles and (abs(vector) < HALF_LIMIT).all():
            tensors[name] = vector.astype(np.float16).astype(np.float32)
    return replace(model, tensors=tensors)


def _by_gram(matrices: Iterable[str], grams: Mapping[str, Array | Columns]) -> list[str]:
    """The names in their order, but those that share a sum one behind the other."""
    shared: dict[int, list[str]] = {}
    for name in matrices:
        shared.setdefault(id(grams.get(name, name)), []).append(name)
    return [name for names in shared.values() for name in names]


def _matrices(
    model: Model, schemes: Mapping[str, Scheme | Clustered], frequencies: Mapping[str, Array]
) -> dict[str, Array]:
    """The matrices that `schemes` names; one error lists everything that does not fit, before the work starts."""
    matrices: dict[str, Array] = {}
    faults = []
    for name, scheme in schemes.items():
        w = model.tensors.get(name)
        if not isinstance(w, np.ndarray) or w.ndim != 2:
            faults.append(
                f"{name}: expected a float matrix, found {'nothing' if w is None else 'a tensor that is none'}"
            )
            continue
        matrices[name] = w
        plain = scheme.scheme if isinstance(scheme, Clustered) else scheme
        try:
            group_size(plain.granularity, w.shape[1])
            if isinstance(scheme, Clustered):
                scheme.clusters.sizes(w.shape[0])
        except SchemeError as error:
            faults.append(f"{name}: {error}")
        if name in frequencies and frequencies[name].shape != (w.shape[0],):
            faults.append(f"{name}: {frequencies[name].size} frequencies for {w.shape[0]} rows")
    if faults:
        raise SchemeError("\n".join(faults))
    return matrices
