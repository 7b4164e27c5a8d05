"""An engine for tests of `subbyte bench`: made of nothing, and as ill-behaved as the environment says (FAKE_RIVAL).

A worker imports it from PYTHONPATH. Its "translation" of a sentence is its length, or the text in capitals.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subbyte.measure.bench.subjects import Engine, Load, Models, Opened, Published, Setup, Subject, Task

STATED = Published("float32", "the 1e-9 ms of a fake", milliseconds=1e-9)


def can(task: Task) -> bool:
    return task.form == ("text" if os.environ.get("FAKE_RIVAL") == "text" else "tokens")


def refusal(models: Models) -> str | None:
    return "cannot run it: it has no taste" if os.environ.get("FAKE_RIVAL") == "refuse" else None


def prepare(models: Models, work: Path) -> list[Subject]:
    return [Subject("fake", "float32", models.float_folder)]


def opener(setup: Setup) -> Load:
    behaviour = os.environ.get("FAKE_RIVAL", "")
    if behaviour == "fail":
        raise ValueError("this model\nhas the hiccups")
    print("libraries like to say hello on stdout")

    def load() -> Opened:
        def translate(batch: Sequence[Any], task: Task) -> list[int] | list[str]:
            if log := os.environ.get("FAKE_LOG"):
                with open(log, "a") as file:
                    file.write(f"{setup.folder} {task.batch_size} {task.beam_size} {task.tokens}\n")
            if behaviour == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if behaviour == "hang":
                time.sleep(60)
            if task.form == "text":
                return [text.upper() for text in batch]
            return [task.tokens - (behaviour == "short") if task.tokens else len(sentence) for sentence in batch]

        details = {"cores": str(sorted(os.sched_getaffinity(0))), "modules": " ".join(sorted(sys.modules))}
        return Opened(translate, details | {"threads": os.environ["OMP_NUM_THREADS"]})

    return load


ENGINE = Engine(("pytest",), prepare, opener, published=(STATED,), can=can, refusal=refusal)
