"""Which activations break an encoder: all of them rounded but one family, and one family alone.

After table 2 of Bondarenko et al. 2021: weights in float32, activations in 8 bits with one range a tensor, and a family
of activation points is left as it is. The ranges are those of the preset w8a8, from other texts than are measured.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from subbyte.compress.encoder_rounding import Calibrated
from subbyte.compress.recipes.recipe import load_recipe
from subbyte.errors import RecipeError
from subbyte.measure.analysis.document import FamilyEffect, LeaveOneOut, Quality, Remedy, short
from subbyte.measure.analysis.quality import Judge
from subbyte.models.families import encoder_of
from subbyte.models.model import Model, Static
from subbyte.progress import Steps, counting

PLAIN = "w8a8"
REMEDIES = ("w8a8-mixed", "w8a8-peg")


@dataclass(frozen=True)
class Family:
    """Points that are left out together, and the paper's letter for them."""

    name: str
    letter: str
    patterns: tuple[str, ...]


SINGLE = (
    Family("embedding sums", "e", ("embeddings.words", "embeddings.sum")),
    Family("embeddings.output", "", ("embeddings.output",)),
    Family("query, key, value", "", ("*.query", "*.key", "*.value")),
    Family("scores", "s", ("*.scores",)),
    Family("probabilities", "p", ("*.probabilities",)),
    Family("context", "c", ("*.context",)),
    Family("attention_output", "g", ("*.attention_output",)),
    Family("attention_sum", "u", ("*.attention_sum",)),
    Family("ffn_input", "x", ("*.ffn_input",)),
    Family("hidden", "", ("*.hidden",)),
    Family("ffn_output", "h", ("*.ffn_output",)),
    Family("ffn_sum", "y", ("*.ffn_sum",)),
    Family("output", "z", ("layers.*.output",)),
    Family("pooler", "P", ("pooler",)),
    Family("classifier", "C", ("classifier",)),
)


def unions(layers: int) -> tuple[Family, ...]:
    """Families of families, for an encoder of so many layers."""
    every = Family("ffn_input, ffn_output, ffn_sum", "x h y", ("*.ffn_input", "*.ffn_output", "*.ffn_sum"))
    if layers < 3:
        return (every,)
    last = tuple(f"layers.{i}.ffn_sum" for i in (layers - 2, layers - 1))
    return (every, Family("ffn_sum of the last two layers", f"y{layers - 2} y{layers - 1}", last))


def leave_one_out(calibrated: Calibrated, judge: Judge, measured: int, progress: Steps | None = None) -> LeaveOneOut:
    """Of a float32 encoder. `measured` is how many other texts than those of the calibration the judge has."""
    model = calibrated.model
    grids = calibrated.prepared(load_recipe(PLAIN)).activations.grids
    single = [family for family in SINGLE if _members(family, grids)]
    both = unions(encoder_of(model.config).layers)
    prepared: dict[str, Model] = {}
    for recipe in REMEDIES:
        with suppress(RecipeError):  # its groups do not divide the width of this model: `presets.measured` says so
            prepared[recipe] = calibrated.prepared(load_recipe(recipe))
    told = counting(progress, 2 + 2 * len([*single, *both]) + len(prepared))

    def quality(other: Model) -> Quality:
        found = judge(other)
        told()
        return found

    def rounded(names: Iterable[str]) -> Quality:
        return quality(replace(model, activations=Static({name: grids[name] for name in names})))

    float32, everything = quality(model), rounded(grids)

    def effect(family: Family) -> FamilyEffect:
        members = _members(family, grids)
        but = rounded(name for name in grids if name not in members)
        left = but["distance"] / everything["distance"] if everything["distance"] else 1.0
        return {
            "family": family.name,
            "letter": family.letter,
            "points": len(members),
            "but": but,
            "alone": rounded(members),
            "recovered": short(1 - left),
        }

    families, of_families = [effect(family) for family in single], [effect(family) for family in both]
    remedies: list[Remedy] = [{"recipe": PLAIN, "quality": everything}]
    for recipe, changed in prepared.items():
        remedies.append({"recipe": recipe, "quality": quality(changed)})
    return {
        "calibrated": sum(len(ids) for ids, _ in calibrated.batches),
        "measured": measured,
        "float32": float32,
        "all": everything,
        "families": families,
        "unions": of_families,
        "remedies": remedies,
    }


def _members(family: Family, points: Iterable[str]) -> list[str]:
    return [name for name in points if any(fnmatchcase(name, pattern) for pattern in family.patterns)]
