"""The architectures that are run, and loading one of them from a Hugging Face folder or one of Marian's.

An architecture has three functions (see marian.py): `specification(config)` lists its tensors, `load` reads them from a
float Hugging Face folder, `check_generation` looks at generation_config.json. Marian's folders have no config.json;
`bergamot` makes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subbyte import foreign
from subbyte.errors import ModelError
from subbyte.files import read_json
from subbyte.model import Model
from subbyte.models import bergamot, bert, marian
from subbyte.models.checkpoint import open_checkpoint
from subbyte.models.sentence_folders import MODULES, read_modules, transformer_folder
from subbyte.models.specification import Specification
from subbyte.tensor_files import Entry

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "architecture_of",
    "is_model",
    "is_student",
    "load",
    "read_generation",
    "stored",
]

CONFIG = "config.json"


@dataclass(frozen=True)
class Architecture:
    """What the rest of the package knows of an architecture."""

    model_type: str
    specification: Callable[[Mapping[str, Any], str], Specification]
    load: Callable[[Path, Mapping[str, Any], Mapping[str, Any]], Model]
    check_generation: Callable[[Mapping[str, Any], Mapping[str, Any], str], None]


ARCHITECTURES: Mapping[str, Architecture] = {
    name: Architecture("marian", marian.specification, marian.load, marian.check_generation)
    for name in (marian.ARCHITECTURE, marian.STUDENT)
} | {
    name: Architecture(family, bert.specification, bert.load, bert.check_generation)
    for family, names in bert.ARCHITECTURES.items()
    for name in names
}


def architecture_of(config: Mapping[str, Any], where: str) -> str:
    """The key in ARCHITECTURES of the model that a config.json describes."""
    if name := bert.architecture_of(config):
        return name
    named = config.get("architectures")
    for name, architecture in ARCHITECTURES.items():
        if (
            config.get("model_type") == architecture.model_type
            and named in (None, [name])
            and not bert.is_encoder(name)
        ):
            return name
    supported = ", ".join(f"{name} (model_type {a.model_type})" for name, a in ARCHITECTURES.items())
    raise ModelError(
        f"{where}: describes {named or 'no architecture'} of model_type {config.get('model_type')!r}"
        f"{foreign.of_config(config, Path(where).parent)}, which is not supported; supported: {supported}"
    )


def read_generation(folder: Path) -> dict[str, Any]:
    """generation_config.json, or {} where there is none."""
    name = "generation_config.json"
    return read_json(folder, name, ModelError) if (folder / name).exists() else {}


def is_model(folder: Path) -> bool:
    """Whether `load` would know what to look for in a folder."""
    return any((folder / name).exists() for name in (CONFIG, MODULES)) or bergamot.is_student(folder)


def is_student(folder: Path) -> bool:
    """Whether `load` would look for a student of Marian's in a folder."""
    return not (folder / CONFIG).exists() and bergamot.is_student(folder)


def load(folder: Path) -> Model:
    """The float32 model in a source folder. Raises ModelError for everything that we would not run faithfully."""
    inner = encoder_folder(folder)
    if not (folder / MODULES).exists() and not (folder / CONFIG).exists():
        return bergamot.load(folder)
    config = read_json(inner, CONFIG, ModelError)
    name = architecture_of(config, str(inner / CONFIG))
    if bert.is_encoder(name):
        return bert.load(inner, config, {}, folder)
    return ARCHITECTURES[name].load(folder, config, read_generation(folder))


def encoder_folder(folder: Path) -> Path:
    """Where config.json, weights and tokenizer are: a folder in it, if sentence-transformers' modules.json says so."""
    if not (folder / MODULES).exists():
        return folder
    config = read_json(folder, CONFIG, ModelError) if (folder / CONFIG).exists() else {}
    return transformer_folder(folder) if config.get("model_type") in (None, *bert.NAMES) else folder


def stored(folder: Path) -> Mapping[str, tuple[Path, Entry]]:
    """Tensor name -> its file and its bytes there, as a source or a converted folder has it."""
    inner = encoder_folder(folder)
    if not (inner / CONFIG).exists():
        return bergamot.stored(inner)
    places = open_checkpoint(inner).places
    config = read_json(inner, CONFIG, ModelError)
    if bert.architecture_of(config) is None:
        return places
    modules = read_modules(folder, bert.settings(config).hidden)
    named = {bert.our_name(name, str(config["model_type"])): place for name, place in places.items()}
    return named | (modules.places() if modules else {})
