"""The presets that fit a kind of model, smallest first: what is tried where nobody names a recipe.

One table for `quantize` without a recipe and for `analyze`. A preset that only works after training is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from subbyte.model import Model
from subbyte.models import bert, marian

Kind = Literal["translation", "student", "encoder"]

CANDIDATES: Mapping[Kind, tuple[str, ...]] = {
    "translation": ("normal3", "normal4", "normal5", "int8"),
    "student": ("student4", "student4.4", "student8"),
    "encoder": ("encoder4", "encoder5", "encoder6", "int8"),
}


def kind(model: Model) -> Kind:
    """Which row of CANDIDATES a model is in."""
    if bert.is_encoder(model.architecture):
        return "encoder"
    return "student" if model.architecture == marian.STUDENT else "translation"


def candidates(model: Model) -> tuple[str, ...]:
    """Names of the presets that fit, smallest first."""
    return CANDIDATES[kind(model)]
