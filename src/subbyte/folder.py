"""Opening a model folder, whatever kind it is: a converted one, a float one from Hugging Face, or one of Marian's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from subbyte import models, search_settings, store
from subbyte.errors import FormatError, ModelError, UsageError
from subbyte.files import read_json
from subbyte.model import Model
from subbyte.models import bert


def open_model(folder: str | Path) -> Model:
    """The model in a folder, checked whole.

    Raises ModelError if the folder is not a model we run, FormatError if it is a converted one that is damaged.
    """
    folder = Path(folder)
    if not folder.exists():
        raise ModelError(f"{folder}: there is no such folder")
    if not folder.is_dir():
        raise ModelError(f"{folder}: is a file; a model is a folder with config.json in it")
    error = FormatError if (folder / store.SUMS).exists() else ModelError  # only converted folders have it
    if not (folder / models.CONFIG).exists() and (error is FormatError or not models.is_model(folder)):
        raise error(f"{folder}: is not a model folder: it has no config.json")
    if (folder / models.CONFIG).exists() and store.is_converted(read_json(folder, models.CONFIG, error)):
        return store.load(folder)
    return models.load(folder)


def with_settings(model: Model, settings: Mapping[str, Any] | None) -> Model:
    """The model with these search settings in the place of its folder's; None stands for a key's default.

    The keys are those of generation_config.json. Raises UsageError for what is none, or cannot be.
    """
    if not settings:
        return model
    search_settings.refuse_unknown(settings)
    if bert.is_encoder(model.architecture):
        raise UsageError(f"{model.folder}: is a {model.architecture}; search settings are those of translation models")
    generation = {**(model.generation or search_settings.in_config(model.config)), **settings}
    try:
        models.ARCHITECTURES[model.architecture].check_generation(model.config, generation, "search settings")
    except ModelError as error:
        raise UsageError(str(error)) from None
    return replace(model, generation=generation)


def refuse_search(model: Model) -> None:
    """Raise ModelError if a translation model's settings are not followed: ask before the work starts."""
    if bert.is_encoder(model.architecture):
        return
    settings = model.generation or search_settings.in_config(model.config)
    where = model.folder / ("generation_config.json" if model.generation else "config.json")
    search_settings.refuse_unsupported(settings, str(where))
