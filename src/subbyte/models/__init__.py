"""The architectures that are run, and loading one of them from a Hugging Face folder.

An architecture is a module with three functions (see marian.py): `specification(config)` lists its tensors, `load`
reads them from a float folder, `check_generation` looks at generation_config.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subbyte.errors import ModelError
from subbyte.files import read_json
from subbyte.model import Model
from subbyte.models import marian
from subbyte.models.specification import Specification

__all__ = ["ARCHITECTURES", "Architecture", "architecture_of", "load", "read_generation"]


@dataclass(frozen=True)
class Architecture:
    """What the rest of the package knows of an architecture."""

    model_type: str
    specification: Callable[[Mapping[str, Any], str], Specification]
    load: Callable[[Path, Mapping[str, Any], Mapping[str, Any]], Model]
    check_generation: Callable[[Mapping[str, Any], Mapping[str, Any], str], None]


ARCHITECTURES: Mapping[str, Architecture] = {
    marian.ARCHITECTURE: Architecture("marian", marian.specification, marian.load, marian.check_generation),
}


def architecture_of(config: Mapping[str, Any], where: str) -> str:
    """The key in ARCHITECTURES of the model that a config.json describes."""
    named = config.get("architectures")
    for name, architecture in ARCHITECTURES.items():
        if config.get("model_type") == architecture.model_type and named in (None, [name]):
            return name
    supported = ", ".join(f"{name} (model_type {a.model_type})" for name, a in ARCHITECTURES.items())
    raise ModelError(
        f"{where}: describes {named or 'no architecture'} of model_type {config.get('model_type')!r}, "
        f"which is not supported; supported: {supported}"
    )


def read_generation(folder: Path) -> dict[str, Any]:
    """generation_config.json, or {} where there is none."""
    name = "generation_config.json"
    return read_json(folder, name, ModelError) if (folder / name).exists() else {}


def load(folder: Path) -> Model:
    """The float32 model in a Hugging Face folder. Raises ModelError for everything that we would not run faithfully."""
    config = read_json(folder, "config.json", ModelError)
    architecture = ARCHITECTURES[architecture_of(config, str(folder / "config.json"))]
    return architecture.load(folder, config, read_generation(folder))
