"""A small folder of every kind, as it was made and to be spoiled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import subbyte
from builders.hostile import KINDS, SMALL, STUDENT
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_student import tiny_student_folder


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder of every kind, each under its name; not to be changed."""
    home = tmp_path_factory.mktemp("hostile")
    subbyte.quantize(tiny_marian_folder(home / "safetensors", **SMALL), home / "converted", "uniform3")
    tiny_student_folder(home / "bergamot", **STUDENT)
    return home


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, originals: Path, tmp_path: Path) -> Path:
    """A copy of one, which may be spoiled; its name is the kind."""
    return Path(shutil.copytree(originals / request.param, tmp_path / request.param))
