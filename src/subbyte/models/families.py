"""The architectures that are run, each of a family that maps its config.json onto a shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from subbyte.models import bert, marian
from subbyte.models.model import Task
from subbyte.models.specification import Specification


@dataclass(frozen=True)
class Architecture:
    """What the rest of the package knows of an architecture."""

    model_type: str
    task: Task
    specification: Callable[[Mapping[str, Any], str], Specification]
    check_generation: Callable[[Mapping[str, Any], Mapping[str, Any], str], None]


ARCHITECTURES: Mapping[str, Architecture] = {
    name: Architecture("marian", "translate", marian.specification, marian.check_generation)
    for name in (marian.ARCHITECTURE, marian.STUDENT)
} | {
    name: Architecture(family, "encode", bert.specification, bert.check_generation)
    for family, names in bert.ARCHITECTURES.items()
    for name in names
}
