"""A float encoder and a recipe in, a compressed encoder out: ranges of activations, and the weights rounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from subbyte.compress.calibration.encoders import Batch, grams, mean_squares, ranges, readable
from subbyte.compress.recipes.recipe import Recipe, resolve, resolve_points, resolved
from subbyte.compress.rounding import quantize_model
from subbyte.errors import UsageError
from subbyte.models.axis_order import permuted
from subbyte.models.model import Model, activations_of
from subbyte.models.operands import equalized, factors, with_grids
from subbyte.numbers.arrays import Array
from subbyte.numbers.output_rounding import Columns
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.progress import Progress, Steps, phase
from subbyte.text.encoder_tokenizer import EncoderTokenizer

ENOUGH_BITS = 8  # weights of so many go to the nearest: there is nothing to gain by more


def compressed(
    model: Model,
    recipe: Recipe,
    tokenizer: EncoderTokenizer,
    texts: Iterable[tuple[str, ...]] | None,
    progress: Progress | None = None,
    sums: Mapping[str, Array | Columns] | None = None,
) -> Model:
    """The encoder under a recipe; every layer is rounded by itself, and activations as the float model has them.

    texts  for calibration: weights are then rounded so that outputs change little on them (compensation.py), and static
           activations get their ranges from them; without any, weights go to the nearest, and static activations are
           refused with a UsageError
    sums   encoder_calibration.grams of these texts for all matrices, or columns_of them, where several recipes are to
           be tried; one with static activations makes its own, because it multiplies other inputs
    """
    schemes = resolve(recipe, model)
    batches = readable(tokenizer, texts) if texts is not None else []
    if recipe.activations == "static" and not batches:
        raise UsageError(
            f"recipe {recipe.name} has static activations: give a calibration text (--calibration FILE), a text a "
            "line, a tab between those of a pair, like what the model will read"
        )
    model = calibrated(model, recipe, batches, progress=phase(progress, "measuring ranges"))
    if sums is None or recipe.activations == "static":
        sums = grams(model, batches, few_bits(schemes), phase(progress, "calibrating")) if batches else {}
    sums = {name: sums[name] for name in few_bits(schemes) if name in sums}
    packed = quantize_model(model, schemes, grams=sums, progress=phase(progress, f"rounding to {recipe.name}"))
    return replace(packed, recipe=resolved(recipe, schemes))


def calibrated(
    model: Model,
    recipe: Recipe,
    batches: Sequence[Batch],
    threads: int | None = None,
    progress: Steps | None = None,
) -> Model:
    """The float32 model with its activations as the recipe wants them.

    It computes the same as before: its axis is in the recipe's order, inputs of products are equalized and turned.
    """
    if recipe.activations != "static":
        return replace(model, activations=activations_of(recipe.activations))
    roundings = resolve_points(recipe, model)
    unequal = [point for point, rounding in roundings.items() if rounding.equalize]
    if unequal:
        squares = mean_squares(model, batches, unequal)
        model = equalized(model, {point: factors(of_columns) for point, of_columns in squares.items()})
    found = ranges(model, batches, roundings, permute=recipe.permute, threads=threads, progress=progress)
    return with_grids(permuted(model, found.permutation) if found.permutation else model, found.grids)


def few_bits(schemes: Mapping[str, Scheme | Clustered]) -> list[str]:
    """The matrices that are worth rounding by their outputs."""
    return [name for name, scheme in schemes.items() if isinstance(scheme, Clustered) or scheme.bits < ENOUGH_BITS]
