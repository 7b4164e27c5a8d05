"""The presets that an analysis measures, and a float32 model under each of them; what they share is computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from subbyte.compress.calibration.encoders import Batch, grams
from subbyte.compress.candidates import candidates
from subbyte.compress.encoder_rounding import calibrated, few_bits
from subbyte.compress.recipes.recipe import Recipe, load_recipe, resolve, resolved
from subbyte.compress.rounding import quantize_model
from subbyte.errors import RecipeError, SchemeError
from subbyte.folders.converted.saving import weights_size
from subbyte.measure.analysis.document import LeftOut, Quality, Size, short
from subbyte.measure.analysis.keeping import LIMITS
from subbyte.models.kinds import Kind, kind
from subbyte.models.model import Model, activations_of
from subbyte.numbers.arrays import Array
from subbyte.progress import Steps

# What is measured beside the candidates, to show what they are better than.
OTHERS: Mapping[Kind, tuple[str, ...]] = {
    "translation": (
        "int8", "normal4", "uniform4", "binary4", "log4", "normal3", "uniform3", "binary3", "log3", "uniform2",
        "binary2",
    ),
    "student": ("int8", "normal4", "uniform4", "binary4"),
    "encoder": (
        "w4a8", "w8a8-turned", "w8a8", "w8a8-mixed", "w8a8-peg", "normal4", "uniform4", "normal3", "uniform3",
        "uniform2",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Way:
    """A preset, and whether the calibration text is used: as quantize does it with --calibration, or without."""

    recipe: Recipe
    calibrated: bool


def ways(model: Model) -> list[Way]:
    """All that are measured. Weights in few bits are rounded with the text, those of candidates without it, too.

    Other presets of encoders are rounded without it: it takes ten times as long.
    """
    found = []
    chosen = candidates(model)
    of = kind(model)
    for name in dict.fromkeys([*chosen, *OTHERS[of]]):
        recipe = load_recipe(name)
        static = recipe.activations == "static"
        few = bool(few_bits(resolve(recipe, model)))
        if static or (few and (name in chosen or of != "encoder")):
            found.append(Way(recipe, calibrated=True))
        if not static and (not few or name in chosen or of == "encoder"):
            found.append(Way(recipe, calibrated=False))
    return found


class EncoderCalibration:
    """What presets of an encoder need of a calibration text, each of it computed once, when it is asked for first."""

    def __init__(self, model: Model, batches: Sequence[Batch], threads: int) -> None:
        self.model, self.batches, self.threads = model, batches, threads
        self._models: dict[str, Model] = {}
        self._sums: dict[str, Array] | None = None

    def prepared(self, recipe: Recipe) -> Model:
        """The float32 model with the grids of a preset. Raises RecipeError where they do not fit its widths."""
        if recipe.name not in self._models:
            self._models[recipe.name] = calibrated(self.model, recipe, self.batches, self.threads)
        return self._models[recipe.name]

    def sums(self, of: Model, names: Sequence[str], progress: Steps | None = None) -> Mapping[str, Array]:
        """What `encoder_calibration.grams` has for these matrices of a prepared model."""
        if of.tensors is not self.model.tensors:  # its axis is in another order, or its inputs are turned
            return grams(of, self.batches, names)
        if self._sums is None:
            self._sums = grams(self.model, self.batches, [*self.model.roles], progress)
        return {name: self._sums[name] for name in names if name in self._sums}


def measured(
    model: Model,
    make: Callable[[Way, Steps], Model],
    judge: Callable[[Model], Quality],
    task: str,
    progress: Steps | None = None,
) -> tuple[list[Size], list[LeftOut]]:
    """Every preset that fits; `make` is one of `of_encoder` and `of_translation`; and those that do not."""
    every = ways(model)
    whole = sum(int(np.prod(model.tensors[name].shape)) for name in model.roles)
    sizes: list[Size] = []
    left_out: list[LeftOut] = []
    for at, way in enumerate(every):

        def step(done: int, total: int | None, at: int = at) -> None:
            if progress and total:
                progress(at * whole + whole * done // total, len(every) * whole)

        try:
            packed = make(way, step)
        except (RecipeError, SchemeError) as error:  # its groups do not divide the width of this model
            left_out.append({"recipe": way.recipe.name, "why": str(error)})
        else:
            quality = judge(packed)
            sizes.append(
                size(way.recipe.name, model, weights_size(packed))
                | {"calibrated": way.calibrated, "measured": quality, "keeps": LIMITS[task].keeps(quality)}
            )
        step(1, 1)
    return sizes, left_out


def of_encoder(calibration: EncoderCalibration) -> Callable[[Way, Steps], Model]:
    """Makes encoders under presets."""

    def make(way: Way, progress: Steps) -> Model:
        prepared = calibration.prepared(way.recipe) if way.calibrated else calibration.model
        few = few_bits(resolve(way.recipe, prepared)) if way.calibrated else []
        return _packed(prepared, way.recipe, calibration.sums(prepared, few) if few else {}, progress)

    return make


def of_translation(model: Model, sums: Mapping[str, Array]) -> Callable[[Way, Steps], Model]:
    """Makes translation models under presets; `sums` are those of `calibration.grams`."""
    return lambda way, progress: _packed(model, way.recipe, sums if way.calibrated else {}, progress)


def _packed(model: Model, recipe: Recipe, sums: Mapping[str, Array], progress: Steps) -> Model:
    """As `subbyte quantize --recipe` makes it."""
    schemes = resolve(recipe, model)
    packed = quantize_model(model, schemes, grams=sums, progress=progress)
    return replace(
        packed,
        activations=activations_of(recipe.activations, packed.activations.grids),
        recipe=resolved(recipe, schemes),
    )


def size(name: str, model: Model, count: int) -> Size:
    """Of `count` bytes, with nothing known of its quality."""
    parameters = sum(int(np.prod(tensor.shape)) for tensor in model.tensors.values())
    bits = 8 * count / parameters
    return {
        "name": name,
        "bytes": count,
        "bits": short(bits),
        "smaller": short(32 / bits),
        "calibrated": False,
        "keeps": None,
        "expected": None,
        "measured": None,
    }
