"""An analysis as one HTML page that needs nothing else. A function of the document; every text in it is escaped."""

from collections.abc import Sequence
from html import escape

import numpy as np

from subbyte.measure.analysis import svg, told
from subbyte.measure.analysis.advice import chosen, limit
from subbyte.measure.analysis.document import RESIDUAL, Analysis, LeaveOneOut, Point, Quality
from subbyte.measure.analysis.findings import REMEDIES, headline
from subbyte.measure.analysis.keeping import Limit
from subbyte.numbers.arrays import Array

RANGE = "range: greatest less least value, 0 included, in the activation's own unit"
TOP = 20  # rows of a table of dimensions, and of outliers

# Nothing is loaded and nothing runs, whatever a model's words are.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --text: #1c1c1c; --back: #ffffff; --soft: #595959; --rule: #c9c9c9;
  --s0: #1f6f54; --s1: #b5651d; --s2: #4a5a8a; --heat: #a3202c; }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --back: #17191c; --soft: #a9a9a9; --rule: #44484d;
  --s0: #5fbf9c; --s1: #e0a060; --s2: #93a5de; --heat: #ff7a70; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 60rem; font: 1rem/1.5 sans-serif; color: var(--text);
  background: var(--back); }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--rule); padding-top: 1rem; }
figure { margin: 1rem 0; } figcaption, caption { color: var(--soft); text-align: left; padding: .3rem 0; }
figure div { overflow-x: auto; }
svg { width: 100%; min-width: 42rem; height: auto; font: 12px sans-serif; } svg text { fill: var(--text); }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); } .heat { fill: var(--heat); }
.line { stroke: var(--soft); fill: none; } .grid { stroke: var(--rule); fill: none; }
.limit { stroke: var(--heat); fill: none; stroke-dasharray: 5 4; } svg .strong { font-weight: bold; }
.headline { font-size: 1.25rem; } pre { padding: .7rem 1rem; border: 1px solid var(--rule); white-space: pre-wrap;
  overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .2rem .7rem .2rem 0; text-align: left; border-bottom: 1px solid var(--rule); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n, caption { white-space: nowrap; } th[scope=row] { font-weight: normal; }
"""

TOLD = (
    "Every preset that fits, weights and activations as it says. With a text means: weights are rounded so that "
    "outputs on a part of the texts are kept, and ranges are from it (quantize --calibration); else they go to the "
    "nearest level. Distances are from the other texts."
)
TOLD_SEARCHED = (
    f"{TOLD} What a search (quantize --recipe normal4 --budget) expects is what the matrices lose one by one, added up."
)

Cell = str | int | float


def page(document: Analysis) -> str:
    """The page of a document."""
    title = f"{document['model']} at few bits"
    told_first: tuple[str, ...] = ()  # what to take, and the command that makes it
    recommended = []
    if document["recommended"]:
        command, head = told_first = (document["recommended"]["command"], headline(document))
        recommended = [f'<p class="headline">{escape(head)}</p>', f"<pre><code>{escape(command)}</code></pre>"]
    body = [
        f"<h1>{escape(title)}</h1>",
        _paragraph(
            f"{document['architecture']}, {document['texts']:,} texts of {document['data']}, {document['tokens']:,} "
            f"tokens, by subbyte analyze. Distance: {document['distance']}."
        ),
        *recommended,
        "<h2>What is seen, and what to do</h2><ul>",
        *(f"<li>{escape(sentence)}</li>" for sentence in document["findings"] if sentence not in told_first),
        "</ul>",
    ]
    body += _sizes(document)
    if of := document["leave_one_out"]:
        body += [*_left_out(of, document["distance"]), *_ranges(document["points"]), *_outliers(document)]
    body += _blocks(document)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="generator" content="subbyte analyze">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n{chr(10).join(body)}\n"
        "</main></body></html>\n"
    )


def _left_out(of: LeaveOneOut, distance: str) -> list[str]:
    families = [*of["families"], *of["unions"]]
    metrics = [*of["all"]["metrics"]]
    heads = _heads(metrics)
    rows = [
        [
            f"{one['family']} ({one['letter']})" if one["letter"] else one["family"],
            one["points"],
            *_cells(one["but"], metrics),
            f"{one['recovered']:.0%}",
            *_cells(one["alone"], metrics),
        ]
        for one in families
    ]
    plot = svg.bars(
        "Distance with all activations in 8 bits but one family, and with one family alone",
        f"distance: {distance}",
        ["all but these", "these alone"],
        [("all of them", [of["all"]["distance"]])]
        + [(one["family"], [one["but"]["distance"], one["alone"]["distance"]]) for one in families],
    )
    remedies: list[list[Cell]] = [["float32", "nothing is rounded", *_cells(of["float32"], metrics)]]
    remedies += [
        [one["recipe"], REMEDIES.get(one["recipe"], ""), *_cells(one["quality"], metrics)] for one in of["remedies"]
    ]
    return [
        "<h2>Which activations break it</h2>",
        _paragraph(
            "Every activation is rounded to 8 bits with one fixed range, except one family; then only that family. "
            "Weights stay in float32. A family that is the cause makes the first bar short and the second long. "
            f"Ranges are from {of['calibrated']:,} texts, distances from {of['measured']:,} other lines."
        ),
        _figure(plot, "Shorter is closer to float32."),
        _table(
            "Leave one out, after table 2 of Bondarenko et al. 2021, whose letters are in brackets",
            ["family", "points", *_suffixed(heads, "all but it"), "recovered", *_suffixed(heads, "it alone")],
            rows,
        ),
        _table("Presets for activations, with float32 weights", ["recipe", "what it does", *heads], remedies),
    ]


def _suffixed(heads: Sequence[str], of: str) -> list[str]:
    return [f"{head}, {of}" if head != "±" else head for head in heads]


def _ranges(points: Sequence[Point]) -> list[str]:
    named = {point["name"]: point for point in points}
    layers = [name.split(".")[1] for name in named if name.endswith(".ffn_sum")]
    beside = [(f"layer {i}", [_width(named[f"layers.{i}.{kind}"]) for kind in RESIDUAL]) for i in layers]
    sums = [named[f"layers.{i}.ffn_sum"] for i in layers]
    heat = np.array([_reach(point) for point in sums])
    every = [(point["name"], [_width(point)]) for point in points]
    return [
        "<h2>Ranges</h2>",
        _paragraph(
            "One range for a tensor has to reach to its farthest value, and its 255 steps are then as coarse for all "
            "others. The feed-forward layer adds its output h to its input x: where one is much wider than the other, "
            "the grid of the sum y is too coarse for one of them."
        ),
        _figure(
            svg.bars(
                "Range of x, h and y of every layer",
                RANGE,
                ["x: ffn_input", "h: ffn_output", "y: ffn_sum"],
                beside,
            ),
            "Greatest less least value, 0 included, of the input, the output and the sum of the feed-forward layers.",
        ),
        _figure(
            svg.heat("Range of each dimension of ffn_sum, by layer", [f"layer {i}" for i in layers], heat),
            f"ffn_sum, {heat.shape[1]} dimensions from left to right: how many times the range of the layer's middle "
            "dimension each has, 0 included. Vertical lines are dimensions that are wide in all layers; the widest are "
            "numbered.",
        ),
        "<details><summary>All activations</summary>",
        _figure(
            svg.bars("Range of every activation", RANGE, [], every, log=True),
            "On a logarithmic axis; zero stands before its break.",
        ),
        "</details>",
    ]


def _outliers(document: Analysis) -> list[str]:
    points = sorted((one for one in document["points"] if one["outliers"]), key=lambda one: -one["farthest"])
    rows: list[list[Cell]] = [
        [
            point["name"],
            f"{min(point['low']):.4g} to {max(point['high']):.4g}",
            f"{point['farthest']:.1f}",
            point["outliers"],
            f"{point['share']:.3%}",
            ", ".join(f"{one['dimension']} ({one['outliers']})" for one in point["dimensions"][:4]),
            ", ".join(f"{one['token']} ({one['outliers']} in {one['read']})" for one in point["tokens"][:4]),
        ]
        for point in points
    ]
    dimensions: list[list[Cell]] = [
        [one["dimension"], one["outliers"], " ".join(map(str, one["layers"]))] for one in document["residual"][:TOP]
    ]
    heads = ["activation", "range", "farthest, sigma", "outliers", "share", "dimensions (outliers)"]
    return [
        "<h2>Outliers</h2>",
        _paragraph(
            "Values more than 6 standard deviations from the mean of their tensor. If they are always in the same "
            "dimensions, these can be given a range of their own (w8a8-peg) or more bits (w8a8-mixed)."
        ),
        _table(
            "Dimensions with outliers around the feed-forward layers (x, h, y)",
            ["dimension", "outliers", "layers"],
            dimensions,
        ),
        _table(
            f"Activations with outliers, the {TOP} farthest", [*heads, "tokens (outliers in occurrences)"], rows[:TOP]
        ),
        "<details><summary>The others</summary>",
        _table("Activations with outliers, the others", [*heads, "tokens (outliers in occurrences)"], rows[TOP:]),
        "</details>",
    ]


def _sizes(document: Analysis) -> list[str]:
    sizes = document["sizes"]
    rule, labels, taken = limit(document), told.labels(sizes), chosen(document)
    searched = any(one["measured"] is None for one in sizes)
    metrics = next(([*one["measured"]["metrics"]] for one in sizes if one["measured"]), [])
    rows: list[tuple[int, svg.Dot, list[Cell]]] = []
    for at, (one, label) in enumerate(zip(sizes, labels, strict=True)):
        quality = one["measured"]
        distance = quality["distance"] if quality else one["expected"] or 0.0
        noise = quality["noise"]["distance"] if quality else None
        mark = taken is not None and taken.at == at
        remark = f"{one['bits']:.3g} bits, {one['smaller']:.3g} times smaller"
        how = ("with a text" if one["calibrated"] else "to the nearest") if quality else "expected"
        cells: list[Cell] = [label, one["bytes"], f"{one['bits']:.2f}", f"{one['smaller']:.2f}", how]
        if quality:
            kept = {True: "yes", False: "no"}[rule.keeps(quality)] + (", in the noise" * rule.room(quality).tie)
            cells += [*_cells(quality, metrics), kept]
        else:
            cells += [f"{distance:.3g}", "", *("" for _ in metrics), ""]
        rows.append((one["bytes"], svg.Dot(label, distance, noise, 0 if quality else 1, remark, mark), cells))
    rows.sort(key=lambda row: row[0])
    plot = svg.dots(
        "Distance from float32 of every preset, the smallest first",
        f"distance: {document['distance']}",
        ["measured, with its standard error", "expected of a search"] if searched else ["measured"],
        [dot for _, dot, _ in rows],
        _limited_distance(rule),
    )
    heads = ["recipe", "bytes", "bits a weight", "times smaller", "rounded", *_heads(metrics), "keeps the answers"]
    return [
        "<h2>Size and quality</h2>",
        _paragraph(TOLD_SEARCHED if searched else TOLD),
        _paragraph(f"What counts as keeping the answers: {_rule(rule)}."),
        _figure(
            plot,
            "Left is closer to float32, up is smaller; zero stands before the break of the axis."
            + (" The line is what counts as keeping the answers." if _limited_distance(rule) is not None else ""),
        ),
        _table("Presets, the smallest first; ± is the standard error over texts", heads, [row for _, _, row in rows]),
        *(_paragraph(f"Left out: {one['recipe']} ({one['why']}).") for one in document["left_out"]),
    ]


def _rule(rule: Limit) -> str:
    """In words."""
    name = told.METRICS.get(rule.metric, rule.metric)
    value = f"{100 * rule.value:g} %" if rule.metric in told.SHARES else f"{rule.value:g}"
    return f"{name} of {value} at the {'most' if rule.most else 'least'}"


def _limited_distance(rule: Limit) -> float | None:
    """The limit where it is one of the distance."""
    return {"distance": rule.value, "cosine": 1 - rule.value}.get(rule.metric)


def _blocks(document: Analysis) -> list[str]:
    blocks = document["blocks"]
    if not blocks:
        return []
    bits, averages = [*blocks[0]["lost"]], [*blocks[0]["given"]]
    names = [f"{one} bits" for one in bits]
    alone = "One block alone has so few bits, in levels for normally distributed weights."
    if averages:
        alone += " The last columns are the bits that a search gives to it, at so many a weight in the whole model."
    lost = [(block["block"], [block["lost"][one] for one in bits]) for block in blocks]
    table: list[list[Cell]] = [
        [
            block["block"],
            block["weights"],
            *(told.lost(block, one) for one in bits),
            *(f"{block['given'][one]:.2f}" for one in averages),
        ]
        for block in blocks
    ]
    heads = [*(f"distance at {name}" for name in names), *(f"bits at {average} a weight" for average in averages)]
    return [
        "<h2>Which weights need bits</h2>",
        _paragraph(alone),
        _figure(
            svg.bars("Distance with one block alone in few bits", f"distance: {document['distance']}", names, lost),
            "Longer is worse: these blocks need bits.",
        ),
        _table("Blocks", ["block", "weights", *heads], table),
    ]


def _reach(point: Point) -> Array:
    """The range of each dimension with 0 in it: what a grid has to cover, for a constant offset too."""
    return np.maximum(point["high"], 0) - np.minimum(point["low"], 0)


def _width(point: Point) -> float:
    return max(0.0, *point["high"]) - min(0.0, *point["low"])


def _heads(metrics: Sequence[str]) -> list[str]:
    """Of what `_cells` has."""
    return ["distance", "±", *(told.METRICS.get(one, one) for one in metrics)]


def _cells(quality: Quality, metrics: Sequence[str]) -> list[Cell]:
    """The distance, its noise, and each metric with its own."""
    distance, _, noise = told.distance(quality).partition(" ± ")
    known = quality["metrics"]
    figures = [told.figure(one, known[one], quality["noise"][one]) if one in known else "" for one in metrics]
    return [distance, noise, *figures]


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _figure(picture: str, caption: str) -> str:
    return f"<figure><div>{picture}</div><figcaption>{escape(caption)}</figcaption></figure>"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """With what looks like a number to the right."""
    right = [all(_is_number(row[i]) for row in rows) and i > 0 for i in range(len(heads))]
    mark = [' class="n"' if one else "" for one in right]
    head = "".join(f'<th scope="col"{m}>{escape(one)}</th>' for one, m in zip(heads, mark, strict=True))
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td{m}>{escape(_shown(one))}</td>" for one, m in zip(rest, mark[1:], strict=True))
        lines.append(f'<tr><th scope="row">{escape(_shown(first))}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _shown(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _is_number(cell: Cell) -> bool:
    return not isinstance(cell, str) or not cell.strip("0123456789.,-+e%± ")
