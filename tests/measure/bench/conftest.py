"""A rival that misbehaves as a test wants it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from subbyte.measure.bench import rivals

TESTS = Path(__file__).parents[2]


@pytest.fixture
def fake(monkeypatch):
    """fake("die") makes a rival of this name known that behaves like that; see fake_rival.py."""
    monkeypatch.setitem(rivals.RIVALS, "fake", "builders.fake_rival")
    monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
    return lambda behaviour: monkeypatch.setenv("FAKE_RIVAL", behaviour)
