"""The presets that fit a kind of model, smallest first: what is tried where nobody names a recipe.

One table for `quantize` without a recipe and for `analyze`. A preset that only works after training is not in it.
"""

from collections.abc import Mapping

from subbyte.models.kinds import Kind, kind
from subbyte.models.model import Model

CANDIDATES: Mapping[Kind, tuple[str, ...]] = {
    "translation": ("normal3", "normal4", "normal5", "int8"),
    "student": ("student4", "student4.4", "student8"),
    "encoder": ("encoder4", "encoder5", "encoder6", "int8"),
}


def candidates(model: Model) -> tuple[str, ...]:
    """Names of the presets that fit, smallest first."""
    return CANDIDATES[kind(model)]
