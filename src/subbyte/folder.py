"""Opening a model folder, whatever kind it is: a converted one, a float one from Hugging Face, or one of Marian's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from subbyte import foreign, models, search_settings, store, student_codes
from subbyte.errors import FormatError, ModelError, UsageError
from subbyte.files import named_path, read_json
from subbyte.model import Model
from subbyte.models import bert


def open_to_run(folder: str | Path, activations: str | None = None) -> Model:
    """The model in a folder as it runs where somebody names the folder; otherwise as `open_model`.

    A Bergamot student that is stored in int8 runs in these codes, with int8 activations, unless `activations` are to be
    float32. Who compresses, trains or judges wants its float32 weights: `open_model`.
    """
    folder = named_path(folder)
    if activations != "float32" and folder.is_dir() and models.is_student(folder):
        return student_codes.load_codes(folder)
    return open_model(folder)


def open_model(folder: str | Path) -> Model:
    """The model in a folder, checked whole; what is not converted in float32.

    Raises ModelError if the folder is not a model we run, FormatError if it is a converted one that is damaged.
    """
    folder = named_path(folder)
    if not folder.exists():
        raise ModelError(f"{folder}: there is no such folder{foreign.of_nothing(folder)}")
    if not folder.is_dir():
        raise ModelError(f"{folder}: is a file; a model is a folder{foreign.of_file(folder)}")
    error = FormatError if (folder / store.SUMS).exists() else ModelError  # only folders that we wrote have it
    if not (folder / models.CONFIG).exists() and (error is FormatError or not models.is_model(folder)):
        raise error(
            f"{folder}: is not a model folder: it has no config.json, and no model*.bin of Firefox"
            f"{foreign.of_folder(folder)}"
        )
    if (folder / models.CONFIG).exists() and store.is_converted(read_json(folder, models.CONFIG, error)):
        return store.load(folder)
    return models.load(folder)


def with_settings(model: Model, settings: Mapping[str, Any] | None) -> Model:
    """The model with these search settings in the place of its folder's; None stands for a key's default.

    The keys are those of generation_config.json. Raises UsageError for what is none, or cannot be.
    """
    if settings is None:
        return model
    if not isinstance(settings, Mapping):
        raise UsageError(
            f"settings should be a dict of keys of generation_config.json, such as {{'num_beams': 4}}, not {settings!r}"
        )
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
