"""Converting a model for a rival with its own tools, in a process of their own: they import much, and may die."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from subbyte.errors import MeasurementError
from subbyte.measure.bench.packages import require
from subbyte.measure.bench.workers import QUIET

PATIENCE = 3600  # seconds


def converted(rival: str, precision: str, source: Path, folder: Path, module: str, *arguments: str) -> Path:
    """`folder`, made of `source` by `python -m module arguments... FOLDER`, unless it is there already.

    A folder of work is made for one source, and what is in it is named after the version of the tool that made it, so
    that what is there already will do.
    """
    if folder.exists():
        return folder
    new = folder.with_name(f"{folder.name}.new")  # renamed when it is complete
    command = [sys.executable, "-P", "-m", module, *arguments, str(new)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, **QUIET, "NNCF_CI": "1"}
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{source}: converting it for {rival} took more than {PATIENCE} s") from None
    if done.returncode:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise MeasurementError(f"{source}: {rival} cannot convert it to {precision}: {last}")
    new.rename(folder)
    return folder


def onnx_folder(rival: str, source: Path, work: Path, version: str) -> Path:
    """An encoder as ONNX, exported by torch: a folder with model.onnx in it. `version`: of torch."""
    require(f"converting a model for {rival}", ["onnx", "torch", "transformers"])
    module = "subbyte.measure.bench.torch_encoder"
    return converted(rival, "ONNX", source, work / f"onnx-torch-{version}", module, str(source))


def paths_of(arguments: Sequence[str]) -> list[Path]:
    """What a converting process is called with: paths, the last one of a folder that is made here."""
    *sources, out = map(Path, arguments)
    out.mkdir(exist_ok=True)
    return [*sources, out]
