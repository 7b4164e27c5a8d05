"""How far work has come: bars on a terminal, a line now and then elsewhere, nothing for quick work."""

from __future__ import annotations

import gzip
import io
import re
import sys
from pathlib import Path

import pytest

from subbyte.cli import printing
from subbyte.text.lines import LineReader


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still: clock[0] are its seconds."""
    seconds = [1000.0]
    monkeypatch.setattr(printing.time, "monotonic", lambda: seconds[0])
    return seconds


@pytest.fixture
def said(capsys):
    """The lines on stderr, which is no terminal."""
    return lambda: capsys.readouterr().err.splitlines()


def work(clock, name, total, seconds, progress, until=None):
    """A phase that takes `seconds` for each of its steps."""
    for done in range(1, (until or total) + 1):
        clock[0] += seconds
        progress(name, done, total)


def test_quick_work_says_nothing(clock, said):
    with printing.stages() as progress:
        for name in ("calibrating", "rounding", "checking"):
            work(clock, name, 3, 1.0, progress)
    assert said() == []


def test_long_work_says_how_far_it_is_now_and_then(clock, said):
    with printing.stages() as progress:
        work(clock, "calibrating", 100, 1.0, progress)
        work(clock, "checking", 5, 1.0, progress)
        work(clock, "rounding", 2, 600.0, progress)
    assert said() == [
        "subbyte: calibrating 10% (10 s, about 90 s left)",
        "subbyte: calibrating 40% (40 s, about 60 s left)",
        "subbyte: calibrating 70% (70 s, about 30 s left)",
        "subbyte: calibrating is done (100 s)",
        "subbyte: rounding 50% (10 min, about 10 min left)",
        "subbyte: rounding is done (20 min)",
    ]


def test_lines_of_a_pipe_are_counted(clock, said):
    with printing.stages() as progress:
        for number in range(1, 21):
            clock[0] += 1
            progress("translating", number * 100, None)
    assert said() == ["subbyte: translating, 1,000 lines (10 s)", "subbyte: translating is done, 2,000 lines (20 s)"]


def test_what_fails_is_not_said_to_be_done(clock, said):
    with pytest.raises(RuntimeError), printing.stages() as progress:
        work(clock, "calibrating", 100, 1.0, progress, until=30)
        raise RuntimeError
    assert said() == ["subbyte: calibrating 10% (10 s, about 90 s left)"]


def test_that_nobody_listens_stops_nothing(clock, monkeypatch):
    with io.TextIOWrapper(open("/dev/full", "wb", buffering=0), write_through=True) as full:
        monkeypatch.setattr(sys, "stderr", full)
        with printing.stages() as progress:
            work(clock, "calibrating", 100, 1.0, progress)
        with pytest.raises(OSError):
            full.write("anything")


class Bars:
    """What rich would show: name -> (done, total)."""

    def __init__(self):
        self.shown, self.made = {}, []

    def add_task(self, name, total):
        self.made.append(name)
        self.shown[len(self.made)] = (name, 0, total)
        return len(self.made)

    def update(self, task, description, completed, total):
        assert completed >= self.shown[task][1], "a bar went back"
        self.shown[task] = (description, completed, total)

    def remove_task(self, task):
        del self.shown[task]


def test_a_terminal_has_a_bar_for_each_phase_and_none_goes_back():
    bars = Bars()
    progress = printing._Terminal(bars)
    for call in [("a", 1, 2), ("a", 2, 2), ("b", 5, 9), ("b", 9, 9), ("b", 1, 4), ("c", 7, None)]:
        progress(*call)
    assert [*bars.shown.values()] == [("a", 2, 2), ("b", 1, 4), ("c, 7 lines", 7, None)] and bars.made == [*"abbc"]


@pytest.mark.parametrize("form", ["plain", "packed"])
def test_a_file_is_counted_in_its_bytes(tmp_path: Path, form):
    text = "".join(f"{i * 7919 % 10007} a dog\n" for i in range(100_000)).encode()
    path = tmp_path / ("text.gz" if form == "packed" else "text")
    path.write_bytes(gzip.compress(text) if form == "packed" else text)
    read, positions = LineReader(path), []
    for number, _ in enumerate(read, start=1):
        assert read.total == path.stat().st_size
        positions.append(read.position / read.total)
        if form == "packed":
            assert abs(positions[-1] - number / 100_000) < 0.05  # unpacking is a little ahead
    assert positions == sorted(positions) and positions[-1] > 0.999
    assert form == "packed" or positions[49_999] == len(b"".join(text.splitlines(True)[:50_000])) / len(text)


@pytest.mark.parametrize("command", ["translate", "encode", "classify"])
def test_commands_tell_how_much_of_a_file_is_done(run, compressed, tmp_path, monkeypatch, command):
    from builders.encoder_folders import classifier_folder

    folder = compressed if command == "translate" else classifier_folder(tmp_path / "m", num_hidden_layers=1)
    (tmp_path / "text").write_text("a dog\n" * 8)
    calls = []
    monkeypatch.setattr(printing._Lines, "__call__", lambda self, *call: calls.append(call))
    run(command, folder, tmp_path / "text", "--batch-size", 2)
    assert [*dict.fromkeys(calls)] == [(calls[0][0], 12 * i, 48) for i in range(1, 5)]
    assert re.fullmatch("translating|encoding|classifying", calls[0][0])
    calls.clear()
    run(command, folder, "--batch-size", 2, stdin=b"a dog\n" * 3)
    assert [call[1:] for call in calls] == [(i, None) for i in range(1, 4)]
