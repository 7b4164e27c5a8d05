"""The presets that an analysis measures, and a float32 model under each of them; what they share is computed once."""

from collections.abc import Callable, Mapping

from subbyte.compress.candidates import candidates
from subbyte.compress.encoder_rounding import few_bits
from subbyte.compress.recipes.recipe import Recipe, load_recipe, resolve
from subbyte.compress.rounding import under
from subbyte.errors import RecipeError, SchemeError
from subbyte.folders.converted.saving import weights_size
from subbyte.measure.analysis.document import LeftOut, Size, short
from subbyte.measure.analysis.keeping import LIMITS
from subbyte.measure.analysis.quality import Judge
from subbyte.measure.analysis.weights import weights_of
from subbyte.models.kinds import Kind, kind
from subbyte.models.model import Model
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


def ways(model: Model) -> list[tuple[Recipe, bool]]:
    """All that are measured, and whether the text is used, as quantize does it with --calibration.

    Weights in few bits are rounded with the text, those of candidates without it, too.

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
            found.append((recipe, True))
        if not static and (not few or name in chosen or of == "encoder"):
            found.append((recipe, False))
    return found


def measured(
    model: Model, calibrated: Callable[[Recipe, Steps], Model], judge: Judge, task: str, progress: Steps | None = None
) -> tuple[list[Size], list[LeftOut]]:
    """Every preset that fits, and those that do not. `calibrated` makes the model under a recipe, with the text."""
    every = ways(model)
    whole = weights_of(model, [*model.roles])
    sizes: list[Size] = []
    left_out: list[LeftOut] = []
    for at, (recipe, with_text) in enumerate(every):

        def step(done: int, total: int | None, at: int = at) -> None:
            if progress and total:
                progress(at * whole + whole * done // total, len(every) * whole)

        try:
            packed = calibrated(recipe, step) if with_text else under(recipe, model, progress=step)
        except (RecipeError, SchemeError) as error:  # its groups do not divide the width of this model
            left_out.append({"recipe": recipe.name, "why": str(error)})
        else:
            quality = judge(packed)
            sizes.append(
                size(recipe.name, model, weights_size(packed))
                | {"calibrated": with_text, "measured": quality, "keeps": LIMITS[task].keeps(quality)}
            )
        step(1, 1)
    return sizes, left_out


def size(name: str, model: Model, count: int) -> Size:
    """Of `count` bytes, with nothing known of its quality."""
    bits = 8 * count / model.parameters
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
