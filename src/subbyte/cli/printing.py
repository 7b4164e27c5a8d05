"""What commands print: JSON documents, columns for people, and how far long work has come."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from subbyte.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

FIRST, NEXT = 10.0, 30.0  # seconds until something is said where nobody sees bars, and between what is said


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False))


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Names and what they are, one a line."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        print(f"{name:<{width}}  {value}")


def print_columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under a header; columns of numbers go to the right."""
    cells = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [bool(rows) and isinstance(cell, int | float) for cell in (rows[0] if rows else header)]
    for row in cells:
        aligned = [f"{cell:>{w}}" if r else f"{cell:<{w}}" for cell, w, r in zip(row, widths, right, strict=True)]
        print("  ".join(aligned).rstrip())


@contextmanager
def stages(*, unless: bool = False) -> Iterator[Progress | None]:
    """What shows on stderr how far work has come; None `unless` it is wanted.

    A terminal gets a bar for each phase, all of which go away again; anything else a line now and then, if the work
    takes long. Nothing of it touches stdout, which may be a file or the same terminal.
    """
    if unless:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress as Bars

        before = sys.stderr
        with Bars(console=Console(stderr=True), transient=True, redirect_stdout=False) as bars, _warnings(before):
            yield _Terminal(bars)
    else:
        lines = _Lines()
        yield lines
        lines.end()


@contextmanager
def _warnings(before: TextIO) -> Iterator[None]:
    """Warnings that went to the stderr of `before` go to the one of now, which puts them above the bars."""
    handlers = [one for one in logging.root.handlers if isinstance(one, logging.StreamHandler) and one.stream is before]
    for handler in handlers:
        handler.setStream(sys.stderr)
    try:
        yield
    finally:
        for handler in handlers:
            handler.setStream(before)


class _Terminal:
    """A bar for each phase."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}
        self.done: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int | None) -> None:
        if name in self.tasks and done < self.done[name]:  # the same is done anew: bars do not go back
            self.bars.remove_task(self.tasks.pop(name))
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name, total=total)
        self.done[name] = done
        shown = name if total is not None else f"{name}, {_lines(done)}"
        self.bars.update(self.tasks[name], description=shown, completed=done, total=total)


class _Lines:
    """A line first after FIRST seconds, then every NEXT, and one for each phase that took longer than FIRST."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.done = 0
        self.total: int | None = None
        self.begun = self.last = time.monotonic()
        self.due = self.begun + FIRST

    def __call__(self, name: str, done: int, total: int | None) -> None:
        if name != self.name or done < self.done:
            self.end()
            self.name, self.begun = name, self.last
        self.done, self.total, self.last = done, total, time.monotonic()
        if total is not None and done >= total:
            self.end()
        elif self.last >= self.due:
            self._say(self._so_far())

    def end(self) -> None:
        """The phase is done, whether or not it said so."""
        if self.name and self.last - self.begun > FIRST:
            counted = "" if self.total is not None else f", {_lines(self.done)}"
            self._say(f"{self.name} is done{counted} ({_time(self.last - self.begun)})")
        self.name = None

    def _so_far(self) -> str:
        spent = self.last - self.begun
        if self.total is None:
            return f"{self.name}, {_lines(self.done)} ({_time(spent)})"
        left = f", about {_time(spent * (self.total - self.done) / self.done)} left" if self.done else ""
        return f"{self.name} {100 * self.done // max(self.total, 1)}% ({_time(spent)}{left})"

    def _say(self, text: str) -> None:
        self.due = self.last + NEXT
        with suppress(OSError, ValueError):  # that nobody listens is no reason to stop
            print(f"subbyte: {text}", file=sys.stderr, flush=True)


def _lines(count: int) -> str:
    return f"{count:,} line{'' if count == 1 else 's'}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
