"""Translation models and encoders in 1-8 bits a weight, run on a CPU without PyTorch.

    import subbyte

    subbyte.quantize("opus-mt-en-de", "small")             # a MarianMT, Firefox or BERT folder in, a small one out

    translator = subbyte.Translator.from_pretrained("small")
    translator.translate(["A dog runs.", "Two men are here."])     # a list, or one string

    encoder = subbyte.Encoder.from_pretrained("all-MiniLM-L6-v2")
    encoder.encode(["A dog runs.", "A cat sleeps."])       # float32 [texts, width]

    classifier = subbyte.Classifier.from_pretrained("sst2")
    classifier([("A dog runs.", "It moves.")])             # labels of texts, or of pairs

Models
    Translator                 translates texts and documents, and scores translations
    Encoder                    makes a vector of a text, as sentence-transformers does
    Classifier                 labels texts or pairs of them, as transformers' pipeline does

Work on folders
    quantize                   compresses a float32 folder into another folder
    pack                       a compressed folder in fewer bytes, with the same answers
    inspect                    what is in a folder, and how this machine runs it
    verify                     whether a compressed folder is as it was written
    evaluate_translation       BLEU and chrF on a text with its translation
    evaluate_classification    accuracy and others on labelled texts
    evaluate_similarity        Pearson and Spearman on scored pairs of sentences
    analyze                    where a model breaks at few bits, as a page with plots

Errors, each of them one sentence
    SubbyteError               any of these
    UsageError                 an argument that cannot be right
    ModelError                 a folder that is no model, or a model that is not run
    FormatError                a compressed folder that is damaged
    RecipeError                a recipe that does not fit
    SchemeError                a scheme that does not fit a tensor
    KernelError                an instruction set that cannot run here

help(subbyte.Translator) and so on say more. `subbyte --help` has finetune, bench, demo and download too.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from subbyte.adapters.help_page import Package

if TYPE_CHECKING:
    from subbyte.compress.quantizing import quantize as quantize
    from subbyte.errors import FormatError as FormatError
    from subbyte.errors import KernelError as KernelError
    from subbyte.errors import ModelError as ModelError
    from subbyte.errors import RecipeError as RecipeError
    from subbyte.errors import SchemeError as SchemeError
    from subbyte.errors import SubbyteError as SubbyteError
    from subbyte.errors import UsageError as UsageError
    from subbyte.folders.converted.sums import verify as verify
    from subbyte.folders.packing import pack as pack
    from subbyte.measure.analysis.analyzing import analyze as analyze
    from subbyte.measure.evaluation.encoders import evaluate_classification as evaluate_classification
    from subbyte.measure.evaluation.encoders import evaluate_similarity as evaluate_similarity
    from subbyte.measure.evaluation.translation import evaluate_translation as evaluate_translation
    from subbyte.run.classifier import Classifier as Classifier
    from subbyte.run.encoder import Encoder as Encoder
    from subbyte.run.inspection import inspect as inspect
    from subbyte.run.translator import Translator as Translator

    __version__: str

# public name -> the module it is from; imported when it is first used, so that `import subbyte` costs nothing
_HOMES = {
    "Classifier": "run.classifier",
    "Encoder": "run.encoder",
    "FormatError": "errors",
    "KernelError": "errors",
    "ModelError": "errors",
    "RecipeError": "errors",
    "SchemeError": "errors",
    "SubbyteError": "errors",
    "Translator": "run.translator",
    "UsageError": "errors",
    "analyze": "measure.analysis.analyzing",
    "evaluate_classification": "measure.evaluation.encoders",
    "evaluate_similarity": "measure.evaluation.encoders",
    "evaluate_translation": "measure.evaluation.translation",
    "inspect": "run.inspection",
    "pack": "folders.packing",
    "quantize": "compress.quantizing",
    "verify": "folders.converted.sums",
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


sys.modules[__name__].__class__ = Package
