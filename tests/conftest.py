"""Fixtures for all tests. This file also puts tests/ on the path, so that `from tiny_marian import ...` works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_marian import tiny_marian_folder

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A float32 MarianMT folder with one tied embedding, fresh for this test."""
    return tiny_marian_folder(tmp_path / "tiny")


@pytest.fixture(scope="session")
def multi30k() -> Path:
    """The English-German test subject beside the repository."""
    folder = SHARED / "models" / "multi30k-en-de"
    if not folder.exists():
        pytest.skip("../shared/models/multi30k-en-de is not here")
    return folder
