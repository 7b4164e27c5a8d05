"""Workers: what they answer, how they fail, and that they end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.fake_workers import CORE, TASK, a_worker
from subbyte.errors import MeasurementError
from subbyte.measure.bench.planning import TEXT_TASK


def test_a_worker_answers_with_what_a_pass_gave_and_took(fake):
    with a_worker(texts=["a dog", "two"]) as worker:
        found = worker.run(TASK)
        assert found["found"] == [3, 1, 2] and 0 < found["seconds"] < 10
        assert worker.run(TEXT_TASK)["found"] == ["A DOG", "TWO"]
        assert found["peak_rss"] >= worker.opened["rss_after_imports"] > 1 << 20
        assert worker.opened["load_seconds"] >= 0


def test_a_worker_is_pinned_before_its_engine_is_imported_and_loads_nothing_else(fake):
    with a_worker() as worker:
        details = worker.opened["details"]
        assert json.loads(details["cores"]) == [CORE] and details["threads"] == "1"
        strangers = {
            "numpy",
            "sentencepiece",
            "torch",
            "subbyte._core",
            "subbyte.run.translation_engine",
            "subbyte.measure.bench.rivals",
        }
        assert not strangers & {*details["modules"].split()}


def test_leaving_a_worker_ends_its_process(fake):
    with a_worker() as worker:
        process = worker._process
        assert process.poll() is None
    assert process.poll() == -signal.SIGKILL


@pytest.mark.parametrize(
    "behaviour, said",
    [
        ("die", "fake float32: its worker process was killed by SIGKILL when it should translate all sentences"),
        (
            "fail",
            "fake float32: its worker process ended with exit code 1 when it should open its model: has the hiccups",
        ),
        ("hang", "fake float32: took more than 0.5 s to translate all sentences, batch 2, beam 1; measure fewer"),
    ],
)
def test_a_worker_that_fails_is_named_with_what_it_said(fake, behaviour, said):
    fake(behaviour)
    with pytest.raises(MeasurementError) as error, a_worker() as worker:
        worker.seconds = 0.5
        worker.run(TASK)
    assert str(error.value).startswith(said)


def test_a_worker_that_is_dead_already_is_no_broken_pipe(fake):
    with a_worker() as worker:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(MeasurementError, match="killed by SIGKILL"):
            worker.run(TASK)


def test_workers_die_with_their_parent_in_the_middle_of_a_pass(fake, monkeypatch, tmp_path):
    fake("hang")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))  # has a line when a pass has begun
    code = "from builders.fake_workers import TASK, a_worker\nwith a_worker() as worker:\n"
    code += "    print(worker._process.pid, flush=True)\n    worker.run(TASK)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = Path("/proc") / parent.stdout.readline().strip() / "stat"
        assert soon((tmp_path / "log").exists) and is_alive(child)
        parent.kill()
    assert soon(lambda: not is_alive(child))


def is_alive(stat: Path) -> bool:
    """Whether a process runs; one that nobody has buried does not."""
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within some seconds."""
    return any(condition() or time.sleep(0.05) for _ in range(200))
