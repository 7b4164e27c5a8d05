"""Processes that run the engine of fake_rival.py, and what they are told to do."""

from __future__ import annotations

import os

from subbyte.measure.bench.subjects import Setup, Task
from subbyte.measure.bench.workers import Worker

TASK = Task("tokens", batch_size=2, beam_size=1, tokens=None, max_length=32)
SMALL = {"sentences": 3, "rounds": 2, "batch_sizes": [2], "beam_sizes": [1], "tokens": 4}
CORE = max(os.sched_getaffinity(0))


def a_worker(seconds=60.0, **changes):
    facts = {
        "module": "builders.fake_rival",
        "folder": "nowhere",
        "cores": [CORE],
        "sentences": [[1, 2, 3], [4], [5, 6]],
    }
    return Worker("fake float32", Setup(**(facts | changes)), seconds)
