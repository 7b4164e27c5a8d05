"""What commands print: JSON documents, columns for people, and progress bars that go away again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Progress = Callable[[int, int | None], None]  # work done, work in all if that is known


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
def progress_bar(label: str, *, unless: bool = False) -> Iterator[Progress | None]:
    """A function that moves a bar on stderr; None `unless` it is wanted, or where nobody would see it."""
    if unless or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None] | None]:
    """As `progress_bar`, for work that has several parts: one bar for each, by its name."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def move(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done, total=total)

        yield move
