"""Pictures of a page: SVG that takes its colours from the page's style, and so is right in light and in dark.

Each has a title, which is its name for those who do not see it; the numbers are in tables beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from subbyte.arrays import Array

WIDTH, LABELS, NUMBERS = 760, 230, 90  # pixels
LINE, BAR = 20, 13
STEPS = (1.5, 2.0, 4.0, 8.0, 16.0, 32.0)  # of a heat map: times the middle value
MARKS = 8  # dimensions that are named under it
LEAST = 1e-6  # distance that a logarithmic scale shows

Bar = tuple[str, Sequence[float]]  # label, and a value for each series


def bars(title: str, series: Sequence[str], rows: Sequence[Bar], *, log: bool = False) -> str:
    """Horizontal bars from 0, one for each series in a row; on a logarithmic scale from the least value's decade."""
    values = [value for _, several in rows for value in several if value > 0] or [1.0]
    low = 10 ** math.floor(math.log10(min(values)))
    most = max(max(values), 10 * low if log else 0)
    room = WIDTH - LABELS - NUMBERS

    def length(value: float) -> float:
        if log:
            return room * max(math.log(value / low), 0) / math.log(most / low) if value > 0 else 0.0
        return room * max(value, 0) / most

    body, y = _legend(series), LINE * (2 if len(series) > 1 else 1)
    for label, several in rows:
        body.append(_text(LABELS - 8, y + BAR - 2, label, "end"))
        for i, value in enumerate(several):
            body.append(f'<rect class="s{i}" x="{LABELS}" y="{y}" width="{length(value):.1f}" height="{BAR}"/>')
            body.append(_text(LABELS + length(value) + 5, y + BAR - 2, f"{value:.3g}"))
            y += BAR + 1
        y += LINE - BAR - 1
    return _svg(title, y, body)


def heat(title: str, rows: Sequence[str], values: Array) -> str:
    """A row a layer, a column a dimension: how many times the row's middle value each is, in steps; [rows, columns]."""
    ratios = values / [[max(float(sorted(row)[len(row) // 2]), 1e-12)] for row in values]
    cell = (WIDTH - 100) / values.shape[1]
    body = []
    for step, least in enumerate(STEPS):
        most = STEPS[step + 1] if step + 1 < len(STEPS) else math.inf
        x = 100 + 105 * step
        body.append(f'<rect class="heat" x="{x}" y="2" width="14" height="14" fill-opacity="{_shade(step)}"/>')
        body.append(_text(x + 18, 14, f"{least:g} times" if most < math.inf else f"{least:g} and more"))
        cells = [
            f"M{100 + j * cell:.1f} {LINE * (i + 1) + 4}h{cell:.2f}v{LINE - 2}h-{cell:.2f}z"
            for i, row in enumerate(ratios)
            for j, ratio in enumerate(row)
            if least <= ratio < most
        ]
        body.append(f'<path class="heat" fill-opacity="{_shade(step)}" d="{"".join(cells)}"/>')
    body += [_text(92, LINE * (i + 2) - 2, name, "end") for i, name in enumerate(rows)]
    bottom = LINE * (len(rows) + 1) + 4
    right = 0.0
    widest = sorted(range(values.shape[1]), key=lambda j: -float(ratios[:, j].max()))[:MARKS]
    for j in sorted(widest):
        x = 100 + (j + 0.5) * cell
        right = max(x, right)
        body.append(f'<path class="line" d="M{x:.1f} {bottom}L{right:.1f} {bottom + 10}"/>')
        body.append(_text(right, bottom + 22, str(j), "middle"))
        right += 30
    return _svg(title, bottom + 30, body)


def scatter(title: str, across: str, series: Sequence[str], points: Sequence[tuple[float, float, str, int]]) -> str:
    """Points (x, distance, label, number of series), both axes logarithmic."""
    left, right, top, bottom = 70, WIDTH - 130, 30, 300

    def place(value: float, values: list[float], start: float, end: float) -> float:
        low, high = math.log(min(values)), math.log(max(values))
        return start + (end - start) * ((math.log(value) - low) / (high - low) if high > low else 0.5)

    xs, ys = [x for x, *_ in points], [max(y, LEAST) for _, y, *_ in points]
    body = _legend(series)
    body.append(f'<path class="line" d="M{left - 15} {top}V{bottom + 15}H{right + 15}"/>')
    body.append(_text((left + right) / 2, bottom + 48, across, "middle"))
    body.append(_text(left - 15, top - 8, "distance"))
    body += [_text(left - 20, y + 4, f"{of(ys):.2g}", "end") for of, y in ((max, top), (min, bottom))]
    body += [_text(x, bottom + 31, f"{of(xs):.3g}", "middle") for of, x in ((min, left), (max, right))]
    labels: list[tuple[float, float]] = []
    for x, distance, label, number in sorted(points):
        at, y = place(x, xs, left, right), place(max(distance, LEAST), ys, bottom, top)
        height = y
        while any(abs(height - taken) < LINE - 7 and at - before < 110 for before, taken in labels):
            height -= LINE - 7  # labels of neighbours stand above each other
        labels.append((at, height))
        body.append(f'<circle class="s{number}" cx="{at:.1f}" cy="{y:.1f}" r="5"/>')
        body.append(_text(at + 9, height + 4, label))
    return _svg(title, bottom + 60, body)


def _shade(step: int) -> float:
    return round((step + 1) / len(STEPS), 2)


def _legend(series: Sequence[str]) -> list[str]:
    found = []
    for i, name in enumerate(series if len(series) > 1 else ()):
        found.append(f'<rect class="s{i}" x="{LABELS + 170 * i}" y="2" width="12" height="12"/>')
        found.append(_text(LABELS + 170 * i + 17, 13, name))
    return found


def _svg(title: str, height: float, body: Sequence[str]) -> str:
    return f'<svg role="img" viewBox="0 0 {WIDTH} {height:.0f}"><title>{escape(title)}</title>{"".join(body)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
