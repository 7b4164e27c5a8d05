"""What a model can be used for, and the sentences that refuse one of another kind than is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from subbyte.errors import ModelError
from subbyte.models import bert, marian
from subbyte.models.model import Model

NAMES: Mapping[Kind, str] = {
    "translation": "translation models",
    "student": "students of Firefox Translations (Bergamot)",
    "encoder": "encoders",
}


def described(model: Model) -> str:
    """What a model is, for a sentence: its architecture, and what it does."""
    if model.task != "encode":
        return f"a {model.architecture}, which translates"
    return f"a {model.architecture}, {'a classifier' if labels_of(model) else 'an encoder'}"


def labels_of(model: Model) -> int:
    """How many labels an encoder's head has; 0 without a head, and of translation models."""
    return bert.settings(model.config).labels if model.task == "encode" else 0


def task_of(model: Model) -> Literal["translation", "classification", "sts"]:
    """What it is evaluated on unless somebody says otherwise."""
    if model.task != "encode":
        return "translation"
    return "classification" if labels_of(model) else "sts"


def require_translator(model: Model) -> None:
    """Raise ModelError for a model that does not translate."""
    if model.task == "encode":
        raise ModelError(f"{model.folder}: is {described(model)}; this needs a translation model; {use(model)}")


def require_encoder(model: Model) -> None:
    """Raise ModelError for a model that makes no vectors."""
    if model.task != "encode":
        raise ModelError(f"{model.folder}: is {described(model)}; this needs an encoder; {use(model)}")


def require_labels(model: Model) -> None:
    """Raise ModelError for a model that gives texts no labels."""
    require_encoder(model)
    if not labels_of(model):
        raise ModelError(f"{model.folder}: is an encoder without a classifier; {use(model)}")


def use(model: Model) -> str:
    """The commands that a model is for."""
    commands = {"translation": "translate, score", "classification": "classify", "sts": "encode"}[task_of(model)]
    return f"it is for subbyte {commands}, and evaluate --task {task_of(model)}"


Kind = Literal["translation", "student", "encoder"]


def kind(model: Model) -> Kind:
    """Which row of CANDIDATES a model is in."""
    if model.task == "encode":
        return "encoder"
    return "student" if model.architecture == marian.STUDENT else "translation"
