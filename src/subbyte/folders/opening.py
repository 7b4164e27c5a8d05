"""Opening a model folder, whatever kind it is: a converted one, a float one from Hugging Face, or one of Marian's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from subbyte.errors import FormatError, ModelError, UsageError
from subbyte.folders import foreign
from subbyte.folders.bergamot import codes, student
from subbyte.folders.config_json import CONFIG, architecture_of, read_generation
from subbyte.folders.converted import loading, mark, sums
from subbyte.folders.files import named_path, read_json
from subbyte.folders.hugging_face import encoders, translation
from subbyte.folders.hugging_face.checkpoint import open_checkpoint
from subbyte.folders.hugging_face.sentence_transformers import MODULES, read_modules, transformer_folder
from subbyte.folders.tensor_files import Entry
from subbyte.models import bert, families, search_settings
from subbyte.models.families import ARCHITECTURES
from subbyte.models.model import Model


def open_to_run(folder: str | Path, activations: str | None = None) -> Model:
    """The model in a folder as it runs where somebody names the folder; otherwise as `open_model`.

    A Bergamot student that is stored in int8 runs in these codes, with int8 activations, unless `activations` are to be
    float32. Who compresses, trains or judges wants its float32 weights: `open_model`.
    """
    folder = named_path(folder)
    if activations != "float32" and folder.is_dir() and is_student(folder):
        return codes.load_codes(folder)
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
    error = FormatError if (folder / sums.SUMS).exists() else ModelError  # only folders that we wrote have it
    if not (folder / CONFIG).exists() and (error is FormatError or not is_model(folder)):
        raise error(
            f"{folder}: is not a model folder: it has no config.json, and no model*.bin of Firefox"
            f"{foreign.of_folder(folder)}"
        )
    if (folder / CONFIG).exists() and mark.is_converted(read_json(folder, CONFIG, error)):
        return loading.load(folder)
    return load(folder)


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
    if model.task == "encode":
        raise UsageError(f"{model.folder}: is a {model.architecture}; search settings are those of translation models")
    generation = {**search_settings.followed(model)[0], **settings}
    try:
        families.ARCHITECTURES[model.architecture].check_generation(model.config, generation, "search settings")
    except ModelError as error:
        raise UsageError(str(error)) from None
    return replace(model, generation=generation)


def require_float(model: Model) -> None:
    """Refuse a model that cannot be compressed, trained or analyzed: UsageError, and what `refuse_search` raises."""
    refuse_search(model)
    if model.compressed:
        name = model.recipe.get("name", "unknown")
        raise UsageError(
            f"{model.folder}: is compressed already (recipe {name}); give the float32 model it was made from"
        )


def refuse_search(model: Model) -> None:
    """Raise ModelError if a translation model's settings are not followed: ask before the work starts."""
    if model.task == "encode":
        return
    search_settings.refuse_unsupported(*search_settings.followed(model))


def is_model(folder: Path) -> bool:
    """Whether `load` would know what to look for in a folder."""
    return any((folder / name).exists() for name in (CONFIG, MODULES)) or student.is_student(folder)


def is_student(folder: Path) -> bool:
    """Whether `load` would look for a student of Marian's in a folder."""
    return not (folder / CONFIG).exists() and student.is_student(folder)


def load(folder: Path) -> Model:
    """The float32 model in a source folder. Raises ModelError for everything that we would not run faithfully."""
    inner = encoder_folder(folder)
    if not (folder / MODULES).exists() and not (folder / CONFIG).exists():
        return student.load(folder)
    config = read_json(inner, CONFIG, ModelError)
    name = architecture_of(config, str(inner / CONFIG))
    if ARCHITECTURES[name].task == "encode":
        return encoders.load(inner, config, {}, folder)
    return translation.load(folder, config, read_generation(folder))


def encoder_folder(folder: Path) -> Path:
    """Where config.json, weights and tokenizer are: a folder in it, if sentence-transformers' modules.json says so."""
    if not (folder / MODULES).exists():
        return folder
    config = read_json(folder, CONFIG, ModelError) if (folder / CONFIG).exists() else {}
    return transformer_folder(folder) if config.get("model_type") in (None, *bert.NAMES) else folder


def stored(folder: Path) -> Mapping[str, tuple[Path, Entry]]:
    """Tensor name -> its file and its bytes there, as a source or a converted folder has it."""
    inner = encoder_folder(folder)
    if not (inner / CONFIG).exists():
        return student.stored(inner)
    places = open_checkpoint(inner).places
    config = read_json(inner, CONFIG, ModelError)
    if bert.architecture_of(config) is None:
        return places
    modules = read_modules(folder, bert.settings(config).hidden)
    named = {bert.our_name(name, str(config["model_type"])): place for name, place in places.items()}
    return named | (modules.places() if modules else {})
