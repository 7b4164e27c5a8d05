"""Pictures of a page: SVG that takes its colours from the page's style, and so is right in light and in dark.

Each has a title, which is its name for those who do not see it; the numbers are in tables beside it. Every label has a
row or a column of its own, as wide as it needs, so that none stands on another.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from subbyte.numbers.arrays import Array

WIDTH = 760  # pixels
LINE, BAR = 20, 13
LETTER = 6.8  # pixels of a letter in the mean, rather more than less
WIDEST = 250  # of a column of labels; longer ones are cut
STEPS = (1.5, 2.0, 4.0, 8.0, 16.0, 32.0)  # of a heat map: times the middle value
MARKS = 8  # dimensions that are named under it
BREAK = 26  # pixels between zero and the least decade of a logarithmic axis
TICKS = 6  # of an axis, at most

Bar = tuple[str, Sequence[float]]  # label, and a value for each series


@dataclass(frozen=True)
class Dot:
    """A figure in a row of its own: `noise` is its standard error, if known; a `marked` one is bold."""

    label: str
    value: float
    noise: float | None
    series: int
    remark: str
    marked: bool = False


@dataclass(frozen=True)
class Axis:
    """Where values stand, in pixels from zero, and which of them are written; a `broken` one leaps from zero on."""

    place: Callable[[float], float]
    ticks: tuple[float, ...]
    broken: bool


def linear(values: Sequence[float], room: float) -> Axis:
    """From zero to the greatest value."""
    most = max([value for value in values if value > 0], default=1.0)
    step = 10 ** math.floor(math.log10(most))
    step = next(step * part for part in (0.2, 0.5, 1, 2) if most / (step * part) < TICKS)
    ticks = tuple(step * i for i in range(math.floor(most / step * (1 + 1e-9)) + 1))
    return Axis(lambda value: room * max(value, 0.0) / most, ticks, broken=False)


def logarithmic(values: Sequence[float], room: float) -> Axis:
    """Zero at its own place, a break, and then decades; values below the least decade stand in the break."""
    above = [value for value in values if value > 0]
    if not above:
        return linear(values, room)
    first, last = math.floor(math.log10(min(above))), math.log10(max(above))
    last = max(last, first + 1.0)

    def place(value: float) -> float:
        if value <= 0:
            return 0.0
        decades = math.log10(value) - first
        return BREAK + (room - BREAK) * decades / (last - first) if decades >= 0 else BREAK / 2

    every = math.ceil((last - first) / TICKS)
    ticks = tuple(10.0**decade for decade in range(first, math.floor(last + 1e-9) + 1, every))
    return Axis(place, (0.0, *ticks), broken=True)


def bars(title: str, unit: str, series: Sequence[str], rows: Sequence[Bar], *, log: bool = False) -> str:
    """Horizontal bars from zero, one for each series in a row; `unit` says what is on the axis."""
    left, numbers = _column([label for label, _ in rows]), 60
    axis = (logarithmic if log else linear)([value for _, several in rows for value in several], WIDTH - left - numbers)
    body = _legend(series, left)
    y = top = LINE * (2 if len(series) > 1 else 1)
    for label, several in rows:
        body.append(_text(left - 8, y + BAR - 2, _cut(label, left), "end"))
        for i, value in enumerate(several):
            length = axis.place(value)
            body.append(f'<rect class="s{i}" x="{left}" y="{y}" width="{length:.1f}" height="{BAR}"/>')
            body.append(_text(left + length + 5, y + BAR - 2, f"{value:.3g}"))
            y += BAR + 1
        y += LINE - BAR - 1
    return _svg(title, y + 2 * LINE + 6, [*_axis(axis, unit, left, top - 4, y), *body])


def dots(title: str, unit: str, series: Sequence[str], rows: Sequence[Dot], limit: float | None = None) -> str:
    """A dot with its noise in each row, on a logarithmic axis with zero; `limit` is drawn as a line down all rows."""
    left = _column([row.label for row in rows])
    right = min(_column([row.remark for row in rows]), WIDEST)
    ends = [row.value + (row.noise or 0.0) for row in rows]
    starts = [row.value - (row.noise or 0.0) for row in rows]
    shown = [*(row.value for row in rows), *ends, *starts, *([limit] if limit is not None else [])]
    axis = logarithmic(shown, WIDTH - left - right - 10)
    body = _legend(series, left)
    y = top = LINE * (2 if len(series) > 1 else 1)
    if limit is not None:
        x = left + axis.place(limit)
        body.append(f'<path class="limit" d="M{x:.1f} {top - 4}V{top + LINE * len(rows)}"/>')
    for row, start, end in zip(rows, starts, ends, strict=True):
        middle, x = y + LINE / 2 - 2, left + axis.place(row.value)
        strong = ' class="strong"' if row.marked else ""
        body.append(_text(left - 8, middle + 4, _cut(row.label, left), "end", strong))
        if row.noise is not None:
            body.append(
                f'<path class="line" d="M{left + axis.place(start):.1f} {middle:.1f}H{left + axis.place(end):.1f}"/>'
            )
        body.append(f'<circle class="s{row.series}" cx="{x:.1f}" cy="{middle:.1f}" r="{6 if row.marked else 4.5}"/>')
        body.append(_text(WIDTH - right + 8, middle + 4, _cut(row.remark, right), "start", strong))
        y += LINE
    return _svg(title, y + 2 * LINE + 6, [*_axis(axis, unit, left, top - 4, y), *body])


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
    widest = sorted(sorted(range(values.shape[1]), key=lambda j: -float(ratios[:, j].max()))[:MARKS])
    apart = 8 + LETTER * max(len(str(j)) for j in widest)
    for j, at in zip(widest, _apart([100 + (j + 0.5) * cell for j in widest], apart, WIDTH - apart / 2), strict=True):
        body.append(f'<path class="line" d="M{100 + (j + 0.5) * cell:.1f} {bottom}L{at:.1f} {bottom + 10}"/>')
        body.append(_text(at, bottom + 22, str(j), "middle"))
    body.append(_text((100 + WIDTH) / 2, bottom + 42, "dimension", "middle"))
    return _svg(title, bottom + 50, body)


def _apart(places: Sequence[float], apart: float, last: float) -> list[float]:
    """Rising places moved so that there is `apart` between them, and none is behind `last`."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + apart) if moved else place)
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], last - apart * (len(moved) - 1 - i))
    return moved


def _axis(axis: Axis, unit: str, left: float, top: float, bottom: float) -> list[str]:
    """Lines down the rows, their values, and what they are."""
    places = [left + axis.place(tick) for tick in axis.ticks]
    found = [f'<path class="grid" d="M{x:.1f} {top:.0f}V{bottom:.0f}"/>' for x in places]
    free = -math.inf
    for tick, x in zip(axis.ticks, places, strict=True):
        words = f"{tick:.4g}"
        if x - LETTER * len(words) / 2 >= free:
            found.append(_text(x, bottom + 15, words, "middle"))
            free = x + LETTER * len(words) / 2 + 4
    if axis.broken:
        found.append(f'<path class="line" d="M{left + BREAK / 2 - 4:.1f} {bottom + 4:.0f}l4 -8m3 8l4 -8"/>')
    unit = _cut(unit, WIDTH)
    middle = min((left + WIDTH) / 2, WIDTH - LETTER * len(unit) / 2)
    return [*found, _text(middle, bottom + 34, unit, "middle")]


def _column(labels: Sequence[str]) -> int:
    """As wide as the longest label needs."""
    return math.ceil(min(16 + LETTER * max(map(len, labels), default=0), WIDEST))


def _cut(label: str, width: float) -> str:
    most = int((width - 16) / LETTER + 0.5)
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _shade(step: int) -> float:
    return round((step + 1) / len(STEPS), 2)


def _legend(series: Sequence[str], left: float) -> list[str]:
    found, x = [], float(left)
    for i, name in enumerate(series if len(series) > 1 else ()):
        found.append(f'<rect class="s{i}" x="{x:.1f}" y="2" width="12" height="12"/>')
        found.append(_text(x + 17, 13, name))
        x += 17 + LETTER * len(name) + 20
    return found


def _svg(title: str, height: float, body: Sequence[str]) -> str:
    return f'<svg role="img" viewBox="0 0 {WIDTH} {height:.0f}"><title>{escape(title)}</title>{"".join(body)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "start", attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>{escape(text)}</text>'
