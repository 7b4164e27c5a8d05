#!/usr/bin/env python3
"""Fuzzing of model folders: python fuzz/run.py --cases 1000 --seed 0 --kind converted

Each case is a tiny folder that was changed (`mutations.py`) and then opened and run (`target.py`). Cases run in a
child process, which tells before each one which it is; so a crash, an abort of a sanitizer, or a hang belongs to a
case. Cases that fail are written to --failures, each as a zip, and run again by --replay. The last line is a summary in
JSON; the exit code is 1 if a case failed. The same seed makes the same cases.

With a core that was built with SUBBYTE_SANITIZE, LD_PRELOAD has to name the sanitizers: see .ci/sanitize.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from folders import KINDS, Files, read_case, seeds, write_case
from mutations import mutate

WATCH = 30  # seconds of processor time that the child may use without a word
WAIT = 1800  # seconds that it may take for it, on a machine that is busy with other things
SANITIZERS = "detect_leaks=0:max_allocation_size_mb=64:allocator_may_return_null=0:handle_segv=1"


def make_case(kind: str, seed: int, number: int) -> tuple[Files, str]:
    """The folder of a case, and what was changed in it."""
    rng = random.Random(f"{kind} {seed} {number}")
    choices = seeds(kind)
    every = [files for each in KINDS for files in seeds(each)]
    return mutate(rng.choice(choices), rng.choice(every), rng)


def scratch() -> Path:
    """A new folder, in memory where the system has such."""
    shm = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="subbyte-fuzz-", dir=shm if os.access(shm, os.W_OK) else None))


def child(kind: str, seed: int, first: int, last: int) -> None:
    """Run cases; each is told before and after, a line each."""
    from target import run_case

    logging.getLogger("subbyte").setLevel(logging.CRITICAL)
    home = scratch()
    try:
        for number in range(first, last):
            print(json.dumps({"case": number}), flush=True)
            files, changes = make_case(kind, seed, number)
            outcome = run_case(files, home / "m", number)
            facts = {"kind": kind, "seed": seed, "number": number, "changes": changes, "result": outcome.result}
            print(json.dumps({**facts, "fault": outcome.fault, "seconds": outcome.seconds,
                              "allocated": outcome.allocated}), flush=True)  # fmt: skip
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Tally:
    """What came of the cases so far."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.cases = 0
        self.slowest: tuple[float, str] = (0.0, "")
        self.largest: tuple[int, str] = (0, "")
        self.failures: list[str] = []

    def add(self, told: dict[str, Any]) -> None:
        """Count a case that the child has finished."""
        name = f"{told['kind']} {told['seed']} {told['number']}"
        self.cases += 1
        self.outcomes["fault" if told["fault"] else told["result"]] += 1
        self.slowest = max(self.slowest, (round(told["seconds"], 3), name))
        self.largest = max(self.largest, (told["allocated"], name))

    def summary(self, seconds: float) -> dict[str, Any]:
        """The last line."""
        return {
            "cases": self.cases,
            "outcomes": dict(sorted(self.outcomes.items())),
            "slowest": {"seconds": self.slowest[0], "case": self.slowest[1]},
            "largest_allocation": {"bytes_beyond_files": self.largest[0], "case": self.largest[1]},
            "failures": self.failures[:50],
            "seconds": round(seconds, 1),
        }


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[str | None]:
    """What the child says, line by line; None if it says nothing for too long."""
    assert process.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        left = b""
        heard, used = time.monotonic(), 0.0
        while True:
            if not selector.select(timeout=WATCH):
                if time.monotonic() - heard > WAIT or processor_seconds(process.pid) - used > WATCH:
                    yield None
                    return
                continue
            heard, used = time.monotonic(), processor_seconds(process.pid)
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                return
            *whole, left = (left + data).split(b"\n")
            yield from (line.decode() for line in whole)


def processor_seconds(pid: int) -> float:
    """What a process has used; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch(kind: str, seed: int, first: int, cases: int, failures: Path, tally: Tally) -> None:
    """Run cases of a kind in child processes, one after another as they fall."""
    number, last = first, first + cases
    environment = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", SANITIZERS)}
    while number < last:
        command = [sys.executable, __file__, "--child", kind, str(seed), str(number), str(last)]
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment)
            running, problem = None, ""
            for line in lines_of(process):
                if line is None:
                    problem = "hang: no word from the child"
                    process.kill()
                    break
                told = json.loads(line)
                if "case" in told:
                    running = told["case"]
                    continue
                running = None
                number = told["number"] + 1
                tally.add(told)
                if told["fault"]:
                    keep(failures, kind, seed, told["number"], told["result"], tally)
                if tally.cases % 1000 == 0:
                    print(json.dumps({"cases": tally.cases, "outcomes": tally.outcomes}), file=sys.stderr, flush=True)
            code = process.wait()
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace")
        if running is None and number < last and not problem:
            raise SystemExit(f"the child ended with {code} between cases:\n{said[-3000:]}")
        if running is not None:
            tally.cases += 1
            tally.outcomes["fault"] += 1
            keep(failures, kind, seed, running, problem or f"crash: exit code {code}\n{said[-6000:]}", tally)
            number = running + 1


def keep(failures: Path, kind: str, seed: int, number: int, problem: str, tally: Tally) -> None:
    """Write a case that failed to a file that --replay takes."""
    files, changes = make_case(kind, seed, number)
    path = failures / f"{kind}-{seed}-{number}.zip"
    write_case(path, files, {"kind": kind, "number": number, "changes": changes, "result": problem})
    tally.failures.append(f"{path.name}: {problem.splitlines()[0][:200]}")
    print(f"{path}: {changes}: {problem}", file=sys.stderr, flush=True)


def replay(paths: list[Path]) -> int:
    """Run cases from files, in this process so that a debugger sees them."""
    from target import run_case

    faults = 0
    for path in paths:
        files, facts = read_case(path)
        home = scratch()
        outcome = run_case(files, home / "m", facts.get("number", 0))
        shutil.rmtree(home, ignore_errors=True)
        faults += outcome.fault
        print(json.dumps({"file": path.name, **vars(outcome)}))
    return 1 if faults else 0


def main() -> int:
    """The command line."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], *map(int, sys.argv[3:6]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--kind", action="append", choices=KINDS, help="may be given several times; default: all")
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE")
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay)
    start = time.monotonic()
    tally = Tally()
    for kind in options.kind or KINDS:
        watch(kind, options.seed, options.first, options.cases, options.failures, tally)
    print(json.dumps(tally.summary(time.monotonic() - start)))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
