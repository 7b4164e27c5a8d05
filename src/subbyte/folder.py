"""Opening a model folder, whatever kind it is: a converted one, a float one from Hugging Face, or one of Marian's."""

from __future__ import annotations

import re
from pathlib import Path

from subbyte import models, store, student_codes
from subbyte.errors import FormatError, ModelError
from subbyte.files import read_json
from subbyte.model import Model

ARCHIVE = re.compile(r"\.(zip|7z|tar|tgz|tar\.\w+)$")


def open_to_run(folder: str | Path, activations: str | None = None) -> Model:
    """The model in a folder as it runs where somebody names the folder; otherwise as `open_model`.

    A Bergamot student that is stored in int8 runs in these codes, with int8 activations, unless `activations` are to be
    float32. Who compresses, trains or judges wants its float32 weights: `open_model`.
    """
    folder = Path(folder)
    if activations != "float32" and folder.is_dir() and models.is_student(folder):
        return student_codes.load_codes(folder)
    return open_model(folder)


def open_model(folder: str | Path) -> Model:
    """The model in a folder, checked whole; what is not converted in float32.

    Raises ModelError if the folder is not a model we run, FormatError if it is a converted one that is damaged.
    """
    folder = Path(folder)
    if not folder.exists():
        raise ModelError(f"{folder}: there is no such folder")
    if not folder.is_dir():
        archive = ARCHIVE.search(folder.name)
        way = "unpack it, and give the folder that is in it" if archive else f"give the one it is in, {folder.parent}"
        raise ModelError(f"{folder}: is a file; a model is a folder: {way}")
    error = FormatError if (folder / store.SUMS).exists() else ModelError  # only converted folders have it
    if not (folder / models.CONFIG).exists() and (error is FormatError or not models.is_model(folder)):
        inside = _models_in(folder)
        instead = f"; give a folder in it, such as {folder / inside[0]}" if inside else ""
        raise error(f"{folder}: is not a model folder: it has no config.json, and no model*.bin of Firefox{instead}")
    if (folder / models.CONFIG).exists() and store.is_converted(read_json(folder, models.CONFIG, error)):
        return store.load(folder)
    return models.load(folder)


def _models_in(folder: Path) -> list[str]:
    """The folders in a folder that look like models; none where that cannot be seen."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and models.is_model(path))
    except OSError:
        return []
