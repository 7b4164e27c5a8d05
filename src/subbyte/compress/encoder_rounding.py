"""A float encoder and a recipe in, a compressed encoder out: ranges of activations, and the weights rounded."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from subbyte.compress.calibration.encoders import Batch, grams, mean_squares, ranges
from subbyte.compress.recipes.recipe import Recipe, resolve, resolve_points
from subbyte.compress.rounding import under
from subbyte.models.axis_order import permuted
from subbyte.models.model import Model, activations_of
from subbyte.models.operands import equalized, factors, with_grids
from subbyte.numbers.output_rounding import Columns, columns_of
from subbyte.numbers.schemes import Clustered, EntropyCoded, Scheme
from subbyte.progress import Progress, Steps, phase

ENOUGH_BITS = 8  # weights of so many go to the nearest: there is nothing to gain by more


class Calibrated:
    """A float32 encoder and a text; what recipes need of the two is computed once, when it is asked for first."""

    def __init__(self, model: Model, batches: Sequence[Batch], threads: int | None = None) -> None:
        self.model, self.batches, self.threads = model, batches, threads
        self._prepared: dict[str, Model] = {}
        self._sums: Mapping[str, Columns] | None = None

    def under(self, recipe: Recipe, progress: Progress | None = None, rounding: Steps | None = None) -> Model:
        """The encoder under a recipe: static activations get their ranges, weights are rounded by their outputs.

        `progress` is told of the text, `rounding` of the weights.
        """
        model = self.prepared(recipe, phase(progress, "measuring ranges"))
        return under(recipe, model, grams=self.sums(recipe, model, phase(progress, "calibrating")), progress=rounding)

    def sums(self, recipe: Recipe, model: Model, progress: Steps | None = None) -> Mapping[str, Columns]:
        """Of a model that was prepared for the recipe, for the matrices that are worth it."""
        names = few_bits(resolve(recipe, self.model))
        return self._sums_of(model, names, progress) if names else {}

    def prepared(self, recipe: Recipe, progress: Steps | None = None) -> Model:
        """As `calibrated` makes it. Raises RecipeError where the recipe does not fit its widths."""
        if recipe.name not in self._prepared:
            self._prepared[recipe.name] = calibrated(self.model, recipe, self.batches, self.threads, progress)
        return self._prepared[recipe.name]

    def _sums_of(self, model: Model, names: Sequence[str], progress: Steps | None) -> Mapping[str, Columns]:
        """Those of `grams` for these matrices of a prepared model."""
        if model.tensors is not self.model.tensors:  # its axis is in another order, or its inputs are turned
            return columns_of(grams(model, self.batches, names, progress))
        if self._sums is None:
            self._sums = columns_of(grams(model, self.batches, [*model.roles], progress))
        return {name: self._sums[name] for name in names if name in self._sums}


def calibrated(
    model: Model, recipe: Recipe, batches: Sequence[Batch], threads: int | None = None, progress: Steps | None = None
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
    coarse = (Clustered, EntropyCoded)  # with as few levels as they need
    return [name for name, scheme in schemes.items() if isinstance(scheme, coarse) or scheme.bits < ENOUGH_BITS]
