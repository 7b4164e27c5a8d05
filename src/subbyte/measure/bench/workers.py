"""Worker processes, seen from the parent: started, asked, watched, and ended whatever happens."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from typing import Any

from subbyte.errors import MeasurementError
from subbyte.measure.bench.subjects import Setup, Task

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
QUIET = {  # no graphics card, no network, no pools of their own
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class Worker:
    """A process that has a model open. Use it in a `with` statement: leaving it ends the process.

    opened  what it said of opening: load_seconds, rss_after_imports, details
    """

    def __init__(self, name: str, setup: Setup, seconds: float) -> None:
        """`seconds`: how long it may take to open its model, and for a pass."""
        self.name = name
        self.seconds = seconds
        self._talk = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "subbyte.measure.bench.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._talk,
            env={**os.environ, **QUIET, **dict.fromkeys(THREADS, str(len(setup.cores)))},
        )
        try:
            self.opened = self._ask(asdict(setup), "open its model")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, task: Task) -> dict[str, Any]:
        """One pass over all sentences: seconds, found, peak_rss."""
        return self._ask(asdict(task), task.purpose)

    def close(self) -> None:
        """End the process. It has nothing to save."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._talk):
            try:
                if pipe:
                    pipe.close()
            except BrokenPipeError:  # something was left to be written
                pass

    def _ask(self, question: dict[str, Any], purpose: str) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death(purpose) from None
        if not select.select([self._process.stdout], [], [], self.seconds)[0]:
            raise MeasurementError(
                f"{self.name}: took more than {self.seconds:g} s to {purpose}; "
                "measure fewer --sentences, or give it more seconds with --timeout"
            )
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._death(purpose)
        found: dict[str, Any] = json.loads(line)
        return found

    def _death(self, purpose: str) -> MeasurementError:
        """What to say when the process has ended though it should not have."""
        code = self._process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._talk.seek(0)
        said = self._talk.read().decode("utf-8", "replace").strip().splitlines()
        return MeasurementError(
            f"{self.name}: its worker process {how} when it should {purpose}: {said[-1] if said else 'it said nothing'}"
        )
