"""Which architecture a config.json describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subbyte.errors import ModelError
from subbyte.folders import foreign
from subbyte.folders.files import read_json
from subbyte.models import bert
from subbyte.models.families import ARCHITECTURES

CONFIG = "config.json"


def architecture_of(config: Mapping[str, Any], where: str) -> str:
    """The key in ARCHITECTURES of the model that a config.json describes."""
    if name := bert.architecture_of(config):
        return name
    named = config.get("architectures")
    for name, architecture in ARCHITECTURES.items():
        if (
            config.get("model_type") == architecture.model_type
            and named in (None, [name])
            and architecture.task != "encode"
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
