"""Opening a model folder, whatever kind it is: a converted one, a float one from Hugging Face, or one of Marian's."""

from __future__ import annotations

from pathlib import Path

from subbyte import foreign, models, store
from subbyte.errors import FormatError, ModelError
from subbyte.files import read_json
from subbyte.model import Model


def open_model(folder: str | Path) -> Model:
    """The model in a folder, checked whole.

    Raises ModelError if the folder is not a model we run, FormatError if it is a converted one that is damaged.
    """
    folder = Path(folder)
    if not folder.exists():
        raise ModelError(f"{folder}: there is no such folder{foreign.of_nothing(folder)}")
    if not folder.is_dir():
        raise ModelError(f"{folder}: is a file; a model is a folder with config.json in it{foreign.of_file(folder)}")
    error = FormatError if (folder / store.SUMS).exists() else ModelError  # only converted folders have it
    if not (folder / models.CONFIG).exists() and (error is FormatError or not models.is_model(folder)):
        raise error(f"{folder}: is not a model folder: it has no config.json{foreign.of_folder(folder)}")
    if (folder / models.CONFIG).exists() and store.is_converted(read_json(folder, models.CONFIG, error)):
        return store.load(folder)
    return models.load(folder)
