"""Transformers below one byte per weight: compress translation models to 1-8 bits and run them on a CPU."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subbyte.analysis import analyze as analyze
    from subbyte.compression import quantize as quantize
    from subbyte.encoder import Classifier as Classifier
    from subbyte.encoder import Encoder as Encoder
    from subbyte.encoder_evaluation import evaluate_classification as evaluate_classification
    from subbyte.encoder_evaluation import evaluate_similarity as evaluate_similarity
    from subbyte.errors import FormatError as FormatError
    from subbyte.errors import KernelError as KernelError
    from subbyte.errors import ModelError as ModelError
    from subbyte.errors import RecipeError as RecipeError
    from subbyte.errors import SchemeError as SchemeError
    from subbyte.errors import SubbyteError as SubbyteError
    from subbyte.errors import UsageError as UsageError
    from subbyte.evaluation import evaluate_translation as evaluate_translation
    from subbyte.inspection import inspect as inspect
    from subbyte.store import verify as verify
    from subbyte.translator import Translator as Translator

    __version__: str

# public name -> the module it is from; imported when it is first used, so that `import subbyte` costs nothing
_HOMES = {
    "Classifier": "encoder",
    "Encoder": "encoder",
    "FormatError": "errors",
    "KernelError": "errors",
    "ModelError": "errors",
    "RecipeError": "errors",
    "SchemeError": "errors",
    "SubbyteError": "errors",
    "Translator": "translator",
    "UsageError": "errors",
    "analyze": "analysis",
    "evaluate_classification": "encoder_evaluation",
    "evaluate_similarity": "encoder_evaluation",
    "evaluate_translation": "evaluation",
    "inspect": "inspection",
    "quantize": "compression",
    "verify": "store",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("subbyte")
        except PackageNotFoundError:  # run from a source tree
            return "unknown"
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
