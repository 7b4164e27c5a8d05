#!/usr/bin/env python3
"""The records of run.py as a picture: BLEU on val of every run, beside that of its recipe without training.

python studies/retraining/plot.py docs/images/retraining.svg
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from run import records, rounded

LABELS, WIDTH, NUMBERS, LINE, BAR = 230, 460, 60, 22, 14  # pixels
LEAST = 30.0  # BLEU, where bars begin
COLOURS = {
    "error_feedback": "#1f6f54", "straight_through": "#4a5a8a", "periodic": "#b5651d", "float32": "#666666"
}  # fmt: skip


def bars(runs: list[dict[str, Any]]) -> Iterator[str]:
    """A bar for each run, longest at the top, and a black mark where its recipe is without training."""
    before = rounded()
    most = max(r["bleu"]["val"] for r in runs)

    def at(bleu: float) -> float:
        return LABELS + WIDTH * max(0.0, bleu - LEAST) / (most - LEAST)

    for i, r in enumerate(sorted(runs, key=lambda r: -r["bleu"]["val"])):
        y, bleu = LINE * (i + 2), r["bleu"]["val"]
        method = "float32" if r["recipe"] is None else r["options"].get("method", "")
        name = f"{r['name']}, seed {r['seed']}" if r["seed"] else r["name"]
        yield f'<text x="{LABELS - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect x="{LABELS}" y="{y}" width="{at(bleu) - LABELS:.1f}" height="{BAR}" fill="{COLOURS[method]}"/>'
        yield f'<text x="{at(bleu) + 6:.1f}" y="{y + 11}">{bleu:.2f}</text>'
        if before.get(r["recipe"], 0) > LEAST:
            yield f'<path d="M{at(before[r["recipe"]]):.1f} {y - 2}v{BAR + 4}" stroke="#000000" stroke-width="2"/>'


def plot() -> str:
    """The picture, an SVG file."""
    runs = [r for r in records() if r["bleu"]["val"] > LEAST]
    width, height = LABELS + WIDTH + NUMBERS, LINE * (len(runs) + 3)
    legend = "".join(
        f'<tspan fill="{colour}" font-weight="bold">{name.replace("_", " ")}   </tspan>'
        for name, colour in COLOURS.items()
    )
    lines = "".join(f"{line}\n" for line in bars(runs))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" fill="#222222">\n<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<text x="10" y="18" xml:space="preserve">BLEU on val, from {LEAST:.0f}; black: untrained.   {legend}</text>\n'
        f"{lines}</svg>\n"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(plot(), "utf-8")
