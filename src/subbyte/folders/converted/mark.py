"""The mark in config.json by which a converted folder is known."""

from collections.abc import Mapping
from typing import Any

from subbyte.errors import FormatError

METHOD = "subbyte"


def is_converted(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a folder we wrote, with the mark of today or with the one before it."""
    quantization = config.get("quantization_config")
    said = [quantization.get(key) for key in ("method", "quant_method")] if isinstance(quantization, dict) else []
    return METHOD in (*said, config.get("model_type"))


def marked(config: Mapping[str, Any], quantization: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of a converted folder, at which every other library stops instead of making up weights.

    transformers knows no model_type of this name, so its Auto classes and all that is built on them refuse it, and the
    class of one architecture (BertModel), which only warns of that, refuses a quantization without quant_method.
    """
    kept = {"method": METHOD, "source_model_type": config["model_type"], **quantization}
    return {**config, "model_type": METHOD, "quantization_config": kept}


def unmarked(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same with the model_type of the source, as everything else in subbyte reads it."""
    if config.get("model_type") != METHOD:
        return dict(config)  # the mark before this one left it as it was
    quantization = config.get("quantization_config")
    family = quantization.get("source_model_type") if isinstance(quantization, dict) else None
    if not isinstance(quantization, dict) or not isinstance(family, str):
        raise FormatError(f"{where}: quantization_config should name the model's source_model_type")
    return {**config, "model_type": family}
