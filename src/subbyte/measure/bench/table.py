"""A benchmark as Markdown tables: a function of the document, which computes nothing new but ratios."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from subbyte.measure.bench.measuring import Benchmark, Run
from subbyte.measure.bench.rivals import OURS
from subbyte.measure.bench.subjects import milliseconds

Row = Sequence[str]


def tables(document: Benchmark) -> str:
    """Who was measured, a table a task, and the notes."""
    runs = document["runs"]
    rounds, sentences = many(runs[0]["rounds"], "pass", "passes"), many(runs[0]["sentences"], "sentence")
    parts = [
        f"{document['cpu']}, {many(document['threads'], 'thread')}; median and quartiles of {rounds} over {sentences}",
        _markdown(
            ["engine", "version", "precision", "MB on disk", "MB at most", "MB grown", "s to load"], _subjects(runs)
        ),
    ]
    for title, found in tasks(runs):
        rivals = [run for run in found if run["engine"] != OURS]
        best = min(map(milliseconds, rivals), default=None)
        encoded = found[0]["agreement"] is not None
        header = ["engine", "ms a sentence", "quartiles", "tokens", "tokens per second"]
        header += (["cosine"] if encoded else []) + (["speed, fastest rival = 1"] if rivals else [])
        parts.append(f"### {title}")
        parts.append(_markdown(header, [_row(run, best) for run in found]))
    notes = [f"- {name(run)}, {title_of(run)}: {run['note']}" for run in runs if run["note"]]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])


def tasks(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """The runs of each task, with its title, in their order."""
    return [(title, [*found]) for title, found in groupby(runs, title_of)]


def title_of(run: Run) -> str:
    """A task in words."""
    if run["form"] == "vectors":
        return f"batch {run['batch_size']}, texts of {run['sequence_length']} tokens"
    length = f"{run['sequence_length']} tokens each" if run["sequence_length"] else "free running"
    text = ", text to text" if run["form"] == "text" else ""
    return f"batch {run['batch_size']}, beam {run['beam_size']}, {length}{text}"


def name(run: Run) -> str:
    """An engine and its precision."""
    return f"{run['engine']} {run['precision']}"


def _subjects(runs: Sequence[Run]) -> list[Row]:
    """A row an engine and precision; memory is that of the last task."""
    last: Mapping[str, Run] = {name(run): run for run in runs}
    return [
        [
            run["engine"],
            run["version"],
            run["precision"],
            _megabytes(run["bytes_on_disk"]),
            _megabytes(run["peak_rss_bytes"]),
            _megabytes(run["rss_growth_bytes"]),
            f"{run['load_seconds']:.2f}",
        ]
        for run in last.values()
    ]


def _row(run: Run, best: float | None) -> Row:
    quartiles = f"{milliseconds(run, 'p25_seconds'):.2f}-{milliseconds(run, 'p75_seconds'):.2f}"
    cells = [name(run), f"{milliseconds(run):.2f}", quartiles, f"{run['tokens']:,}", f"{run['tokens_per_second']:,.0f}"]
    if run["agreement"] is not None:
        cells.append(f"{run['agreement']:.4f}")
    return cells if best is None else [*cells, f"{best / milliseconds(run):.2f}"]


def many(number: int, one: str, more: str = "") -> str:
    """A number of things, in words."""
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def _megabytes(size: Any) -> str:
    return f"{size / 1e6:.1f}"


def _markdown(header: Row, rows: Sequence[Row]) -> str:
    """Text to the left in the first column, numbers to the right; columns are even in plain text too."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    numbers = [all(cell[:1].isdigit() or cell[:1] == "-" for cell in column) for column in zip(*rows, strict=True)]
    rule = [f"{'-' * (w - 1)}{':' if n else '-'}" for w, n in zip(widths, numbers, strict=True)]
    lines = [
        [f"{cell:>{w}}" if n else f"{cell:<{w}}" for cell, w, n in zip(row, widths, numbers, strict=True)]
        for row in (header, *rows)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
