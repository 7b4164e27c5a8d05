"""What a model can be used for, and the sentences that refuse one of another kind than is needed."""

from collections.abc import Mapping
from typing import Literal

from subbyte.errors import ModelError
from subbyte.models import marian
from subbyte.models.families import encoder_of
from subbyte.models.model import Model

Kind = Literal["translation", "student", "encoder"]
NAMES: Mapping[Kind, str] = {
    "translation": "translation models",
    "student": "students of Firefox Translations (Bergamot)",
    "encoder": "encoders",
}
Purpose = Literal["translation", "classification", "sts"]
# what a model does, and the commands that it is for
USES: Mapping[Purpose, tuple[str, str]] = {
    "translation": ("which translates", "translate, score"),
    "classification": ("a classifier", "classify"),
    "sts": ("an encoder", "encode"),
}


def purpose_of(model: Model) -> Purpose:
    """What it is evaluated on unless somebody says otherwise."""
    if model.task == "translate":
        return "translation"
    return "classification" if encoder_of(model.config).labels else "sts"


def kind(model: Model) -> Kind:
    """Which row of CANDIDATES a model is in."""
    if purpose_of(model) != "translation":
        return "encoder"
    return "student" if model.architecture == marian.STUDENT else "translation"


def described(model: Model) -> str:
    """What a model is, for a sentence: its architecture, and what it does."""
    return f"a {model.architecture}, {USES[purpose_of(model)][0]}"


def use(model: Model) -> str:
    """The commands that a model is for."""
    return f"it is for subbyte {USES[purpose_of(model)][1]}, and evaluate --task {purpose_of(model)}"


def label_names(model: Model) -> list[str]:
    """The name of each label, in their order; LABEL_0 and so on where the configuration names none, as transformers."""
    named = model.config.get("id2label")
    return [str(named[str(i)]) if named else f"LABEL_{i}" for i in range(encoder_of(model.config).labels)]


def require_translator(model: Model) -> None:
    """Raise ModelError for a model that does not translate."""
    if purpose_of(model) != "translation":
        raise ModelError(f"{model.folder}: is {described(model)}; this needs a translation model; {use(model)}")


def require_encoder(model: Model) -> None:
    """Raise ModelError for a model that makes no vectors."""
    if purpose_of(model) == "translation":
        raise ModelError(f"{model.folder}: is {described(model)}; this needs an encoder; {use(model)}")


def require_labels(model: Model) -> None:
    """Raise ModelError for a model that gives texts no labels."""
    require_encoder(model)
    if purpose_of(model) != "classification":
        raise ModelError(f"{model.folder}: is an encoder without a classifier; {use(model)}")
