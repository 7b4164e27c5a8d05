"""Running the program inside the test's own process: faster than a new one, and the same code from `main` on."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import subbyte
from builders.tiny_marian import tiny_marian_folder
from subbyte.cli.app import main


@dataclass(frozen=True)
class Result:
    """What a run of the program left: exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """run("translate", folder, stdin=b"...") runs the program; paths and numbers may be arguments."""

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["subbyte", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        sys.stdout.flush()
        out, err = capfd.readouterr()
        if isinstance(stop.value.code, str):  # what the interpreter does with sys.exit("sentence")
            return Result(1, out, f"{err}{stop.value.code}\n")
        return Result(stop.value.code or 0, out, err)

    return run


@pytest.fixture(scope="session")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 MarianMT folder with one target language; not to be written to."""
    return tiny_marian_folder(tmp_path_factory.mktemp("source") / "tiny", languages=())


@pytest.fixture(scope="session")
def compressed(floats: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in 4 bits; not to be written to."""
    out = tmp_path_factory.mktemp("out") / "tiny4"
    subbyte.quantize(floats, out, "uniform4")
    return out
