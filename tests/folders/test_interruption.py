"""A killed `subbyte quantize` leaves OUT absent, or whole as it was, or whole as it was to be."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders.tiny_marian import tiny_marian_folder
from subbyte.folders.converted import sums
from subbyte.folders.opening import open_model

MOMENTS = 6
PROGRAM = "import sys; from subbyte.cli.app import main; sys.argv[0] = 'subbyte'; main()"


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, "quantize", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough that quantizing and writing take a while beside the start of the program."""
    return tiny_marian_folder(tmp_path_factory.mktemp("source") / "tiny", d_model=64, encoder_layers=6)


@pytest.mark.parametrize("replaces", [False, True], ids=["new", "replaces"])
def test_a_killed_quantize_leaves_nothing_half_written(source: Path, tmp_path: Path, replaces: bool) -> None:
    out = tmp_path / "out"
    begun = time.monotonic()
    assert start(source, out, "--recipe", "int8").wait(timeout=60) == 0
    whole = time.monotonic() - begun
    outcomes = set()
    for moment in range(MOMENTS):
        if not replaces:
            shutil.rmtree(out, ignore_errors=True)
        process = start(source, out, "--recipe", "binary2", *(["--force"] if replaces else []))
        time.sleep(whole * (0.4 + 0.6 * moment / (MOMENTS - 1)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if replaces or out.exists():
            sums.verify(out)
            outcomes.add(open_model(out).recipe["name"])
        else:
            outcomes.add("absent")
    assert outcomes <= ({"int8", "binary2"} if replaces else {"absent", "binary2"})

    # The next run cleans up what the killed ones left lying beside OUT.
    assert start(source, out, "--recipe", "int8", "--force").wait(timeout=60) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
