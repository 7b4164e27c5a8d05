"""A converted folder with blocks of every kind, as it was saved and to be spoiled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import quantized
from subbyte.folders.converted import saving
from subbyte.models.model import Model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny quantized model with blocks of every kind."""
    return quantized(tiny_marian_folder(tmp_path_factory.mktemp("source") / "tiny", encoder_layers=1))


@pytest.fixture(scope="module")
def saved(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder; not to be changed."""
    out = tmp_path_factory.mktemp("saved") / "out"
    saving.save(model, out, report={"seed": 0})
    return out


@pytest.fixture
def out(saved: Path, tmp_path: Path) -> Path:
    """A copy of it that may be spoiled."""
    return Path(shutil.copytree(saved, tmp_path / "out"))
