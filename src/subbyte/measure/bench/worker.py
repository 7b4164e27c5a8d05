"""A worker process: one engine with one model. `python -m subbyte.measure.bench.worker PARENT`, a JSON document a line.

In comes a Setup, then a Task for each pass over all sentences; out goes what opening the model took, then what each
pass took and gave. What libraries print to stdout goes to stderr.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from subbyte.measure.bench.subjects import Load, Setup, Task

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Be killed when the parent ends, in the middle of a pass too. (Between passes, the end of stdin is enough.)"""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        sys.exit(1)


def memory(key: str) -> int:
    """VmRSS (resident now) or VmHWM (the most so far) of this process, bytes."""
    return 1024 * int(Path("/proc/self/status").read_text("ascii").split(f"{key}:")[1].split()[0])


def inputs_of(setup: Setup, task: Task) -> Sequence[Any]:
    """What a task is done with: texts, or ids; of encoders cut to so many tokens, the last one kept."""
    if task.form == "text":
        return setup.texts
    if task.form == "vectors" and task.tokens:
        return [[*ids[: task.tokens - 1], ids[-1]] for ids in setup.sentences]
    return setup.sentences


def main() -> None:
    """Answer until stdin ends."""
    die_with(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests = os.fdopen(0, encoding="utf-8")

    def answer(**facts: object) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    setup = Setup(**json.loads(requests.readline()))
    os.sched_setaffinity(0, setup.cores)  # before libraries count cores
    load: Load = import_module(setup.module).ENGINE.opener(setup)
    imported = memory("VmRSS")
    start = time.perf_counter()
    translate, details = load()
    answer(load_seconds=time.perf_counter() - start, rss_after_imports=imported, details=details)
    for line in requests:
        task = Task(**json.loads(line))
        inputs = inputs_of(setup, task)
        start = time.perf_counter()
        found: list[Any] = []
        for i in range(0, len(inputs), task.batch_size):
            found.extend(translate(inputs[i : i + task.batch_size], task))  # += would add arrays up
        seconds = time.perf_counter() - start
        if task.form == "vectors":
            found = [vector.tolist() for vector in found]
        answer(seconds=seconds, found=found, peak_rss=memory("VmHWM"))


if __name__ == "__main__":
    main()
