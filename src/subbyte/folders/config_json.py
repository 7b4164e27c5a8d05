"""Which architecture a config.json describes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subbyte.errors import ModelError
from subbyte.folders import foreign
from subbyte.folders.files import read_json
from subbyte.models.families import ARCHITECTURES, FAMILIES
from subbyte.models.family import Family

CONFIG = "config.json"
GENERATION = "generation_config.json"


def architecture_of(config: Mapping[str, Any], where: str) -> str:
    """The key in ARCHITECTURES of the model that a config.json describes."""
    if found := [name for family in FAMILIES.values() if (name := family.architecture_of(config))]:
        return found[0]
    supported = ", ".join(f"{name} (model_type {a.model_type})" for name, a in ARCHITECTURES.items())
    raise ModelError(
        f"{where}: describes {config.get('architectures') or 'no architecture'} of model_type "
        f"{config.get('model_type')!r}{foreign.of_config(config, Path(where).parent)}, which is not supported; "
        f"supported: {supported}"
    )


def read_generation(folder: Path, config: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """The checked generation_config.json of a folder; {} where there is none, or the family does not generate."""
    if family.check_generation is None:
        return {}
    generation = read_json(folder, GENERATION, ModelError) if (folder / GENERATION).exists() else {}
    family.check_generation(config, generation, str(folder / GENERATION))
    return generation
