"""The corpus of fuzz/ again, and some hundred folders that are changed as fuzz/run.py changes them."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"
CASES = 80  # of each kind
CORPUS = sorted((FUZZ / "corpus").glob("*.zip"))


@pytest.fixture(scope="module", autouse=True)
def path() -> None:
    sys.path.insert(0, str(FUZZ))


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_there_is_a_small_corpus() -> None:
    assert len(CORPUS) > 20
    assert sum(path.stat().st_size for path in CORPUS) < 400_000


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("file", CORPUS, ids=lambda path: path.stem)
def test_what_was_found_once(file: Path, tmp_path: Path) -> None:
    files, facts = module("folders").read_case(file)
    outcome = module("target").run_case(files, tmp_path / "m", facts["number"])
    assert not outcome.fault, outcome
    assert outcome.result == "translated" or not file.stem.startswith("seed-")


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
@pytest.mark.parametrize("kind", ["converted", "safetensors", "bergamot", "encoder", "packed"])
def test_folders_that_were_changed(kind: str, tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    for number in range(1, CASES + 1):
        files, changes = module("run").make_case(kind, 0, number)
        outcome = module("target").run_case(files, tmp_path / "m", number)
        assert not outcome.fault, (number, changes, outcome)
        outcomes[outcome.result] += 1
    assert outcomes["refused when opened"] > CASES // 4 and outcomes["translated"] > CASES // 20  # both are reached


def test_the_same_seed_makes_the_same_cases() -> None:
    make = module("run").make_case
    assert make("converted", 3, 14) == make("converted", 3, 14) != make("converted", 3, 15)


CRASHING = """
import os, sys
sys.path.insert(0, FUZZ)
import run, target
def crash(files, folder, number):
    if number == 1: os.abort()
    if number == 2: return target.Outcome("a fault", True, 0.0, 0)
    return target.Outcome("translated", False, 0.1, 5)
target.run_case = crash
run.__file__ = __file__
sys.exit(run.main())
"""


def test_a_crash_belongs_to_a_case(tmp_path: Path) -> None:
    (tmp_path / "crashing.py").write_text(CRASHING.replace("FUZZ", repr(str(FUZZ))))
    command = [sys.executable, tmp_path / "crashing.py", "--kind", "converted", "--cases", "4"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, "--failures", tmp_path / "f"], capture_output=True, text=True, check=False, env=environment
    )
    summary = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1, done.stderr
    assert summary["cases"] == 4 and summary["outcomes"] == {"fault": 2, "translated": 2}
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["converted-0-1.zip", "converted-0-2.zip"]
    files, facts = module("folders").read_case(tmp_path / "f" / "converted-0-1.zip")
    assert files == module("run").make_case("converted", 0, 1)[0] and "crash: exit code -6" in facts["result"]
