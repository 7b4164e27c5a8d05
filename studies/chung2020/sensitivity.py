"""Table 1 of Chung et al. 2020 on a small model: one block or sub-layer type quantized, all else float32, no training.

    python studies/chung2020/sensitivity.py MODEL DATA            # about 15 s a run on one core, 80 runs
    python studies/chung2020/sensitivity.py --table
    python studies/chung2020/sensitivity.py --plot OUT.svg

MODEL is a float32 MarianMT folder with tied embeddings, DATA has val.en.txt.gz and val.de.txt.gz. Folders on disk want
every matrix quantized, so the models here live in memory only: packed matrices where the block is, float32 elsewhere,
float32 activations, run by the ordinary engine. Every finished run is a line of records.jsonl and is not run again.

Solvers: "greedy" and "alternating" are the package's (integer alphas of one byte, float16 scale, nearest codes); with
"paper" the block is replaced by float32 weights made from the paper's own greedy codes and float32 alphas.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from measuring import (
    SET,
    Measured,
    Record,
    Texts,
    append,
    baseline,
    best,
    difference,
    finished,
    keep,
    kept,
    measure,
    quality,
    records,
    relative_error,
    rows_to_markdown,
)
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from subbyte.compress.rounding import quantize_model
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.numbers.granularity import PER_ROW
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import BinaryCoding

STUDY = "sensitivity"
BEAM = 1
BLOCKS: dict[str, tuple[str, tuple[str, ...]]] = {  # block -> stack and roles
    "Emb": ("shared", ("embedding",)),
    "Enc": ("encoder", ("self_attention", "feed_forward")),
    "Enc_ee": ("encoder", ("self_attention",)),
    "Enc_ffn": ("encoder", ("feed_forward",)),
    "Dec": ("decoder", ("self_attention", "cross_attention", "feed_forward")),
    "Dec_dd": ("decoder", ("self_attention",)),
    "Dec_ed": ("decoder", ("cross_attention",)),
    "Dec_ffn": ("decoder", ("feed_forward",)),
}
PAPER: dict[str, tuple[float, ...]] = {  # BLEU at 4, 3, 2, 1 bits; float 25.4
    "Emb": (22.9, 22.4, 19.0, 1.0),
    "Enc": (24.6, 24.0, 20.6, 1.3),
    "Enc_ee": (25.3, 24.8, 23.7, 13.6),
    "Enc_ffn": (24.9, 24.8, 23.1, 4.3),
    "Dec": (24.7, 23.6, 11.1, 0.1),
    "Dec_dd": (25.2, 25.1, 24.8, 17.8),
    "Dec_ed": (25.1, 24.7, 20.6, 2.0),
    "Dec_ffn": (25.0, 24.9, 24.4, 17.6),
}
PAPER_FLOAT = 25.4
BITS = (4, 3, 2, 1)
SOLVERS = {"greedy": (2, 4, 3, 1), "alternating": (2, 3, 4), "paper": (2, 3, 4)}  # at 1 bit all three agree
PAIRS = {  # bits -> pairs, greedy: is the first worse than the second?
    2: [
        ("Dec_ed", "Enc_ffn"), ("Dec_ed", "Enc_ee"), ("Dec_ed", "Dec_ffn"), ("Dec_ed", "Dec_dd"), ("Enc_ffn", "Enc_ee"),
        ("Enc_ee", "Dec_ffn"), ("Dec_ffn", "Dec_dd"), ("Enc_ee", "Dec_dd"), ("Enc_ffn", "Dec_dd"), ("Dec", "Enc"),
        ("Dec", "Emb"),
    ],
    4: [("Emb", "Enc"), ("Emb", "Dec")],
}  # fmt: skip
SAMPLES = 1000  # of the bootstrap


def names(model: Model, block: str) -> list[str]:
    """The matrices of a block."""
    stack, roles = BLOCKS[block]
    return [name for name, role in model.roles.items() if role.stack == stack and role.kind in roles]


def greedy_as_printed(w: np.ndarray, bits: int) -> np.ndarray:
    """The approximation of the paper's algorithm, in float32: each plane the sign and mean of what is left."""
    left = np.asarray(w, np.float32)
    total = np.zeros_like(left)
    for _ in range(bits):
        plane = np.where(left >= 0, 1, -1) * abs(left).mean(axis=1, keepdims=True)
        total, left = total + plane, left - plane
    return total.astype(np.float32)


def quantized(model: Model, block: str, bits: int, solver: str) -> tuple[Model, Record]:
    """The model with one block quantized, and what is to be recorded of that."""
    chosen = names(model, block)
    before = {name: np.asarray(model.tensors[name]) for name in chosen}
    if solver == "paper":
        found = replace(model, tensors=model.tensors | {n: greedy_as_printed(w, bits) for n, w in before.items()})
    else:
        scheme = BinaryCoding(bits, PER_ROW, solver=solver)  # type: ignore[arg-type]
        found = quantize_model(model, dict.fromkeys(chosen, scheme))
    tensors = [found.tensors[name] for name in chosen]
    after = [dequantize(tensor) if isinstance(tensor, PackedMatrix) else tensor for tensor in tensors]
    return found, {
        "weights": sum(w.size for w in before.values()),
        "relative_error": round(relative_error(list(zip(before.values(), after, strict=True))), 5),
    }


def compare(texts: Texts, bits: int, worse: str, better: str) -> Record:
    """BLEU and NLL of two blocks, sentence by sentence: paired bootstrap, and NLL with its error."""
    first, second = (kept(f"{STUDY}-{block}-{bits}-greedy") for block in (worse, better))
    test = PairedTest(
        [(better, second.texts), (worse, first.texts)],
        {"BLEU": BLEU(references=[texts.references])},
        references=None,
        test_type="bs",
        n_samples=SAMPLES,
    )
    _, results = test()
    lost, error = difference(first, second)
    return {
        "bleu_difference": round(results["BLEU"][1].score - results["BLEU"][0].score, 3),
        "bleu_p": round(results["BLEU"][1].p_value, 4),
        "nll_difference": round(lost, 5),
        "nll_difference_error": round(error, 5),
    }


def run(folder: Path, texts: Texts, solvers: Sequence[str], beam: int) -> None:
    """Do what is not recorded yet, the most telling runs first."""
    model = open_model(folder)
    float32: Measured = baseline(folder, texts, beam)
    common = {"study": STUDY, "model": folder.name, "set": SET, "beam": beam, "activations": "float32"}
    for solver, bits in [(name, bits) for name in solvers for bits in SOLVERS[name]]:
        for block in BLOCKS:
            key = {**common, "block": block, "bits": bits, "solver": solver}
            if not finished(key) and not finished({**key, "beam": BEAM}):
                changed, facts = quantized(model, block, bits, solver)
                found = measure(changed, texts, beam=beam, activations="float32")
                if beam:
                    keep(f"{STUDY}-{block}-{bits}-{solver}", found)
                record = {**facts, **quality(found, texts, float32)}
                append(key, record)
                print(f"{block} {bits} {solver}: BLEU {record.get('bleu')}, NLL {record['nll']:.3f}", flush=True)
        for worse, better in PAIRS.get(bits, []) if solver == "greedy" and beam else []:
            key = {**common, "study": f"{STUDY}_pair", "bits": bits, "worse": worse, "better": better}
            if not finished(key):
                append(key, compare(texts, bits, worse, better))


def table() -> str:
    """BLEU and NLL lost of each block, a table a solver, the paper's losses beside; then the pairs."""
    parts = []
    start = next(r["bleu"] for r in records("float32") if r["beam"] == BEAM)
    for solver in SOLVERS:
        these = [r for r in records(STUDY) if r["solver"] == solver]
        found = {
            (r["block"], r["bits"]): best(
                [o for o in these if (o["block"], o["bits"]) == (r["block"], r["bits"])], BEAM
            )
            for r in these
        }
        shown = [bits for bits in BITS if any(key[1] == bits for key in found)]
        if found:
            head = ["block", "weights", *(f"{bits} bit: BLEU (NLL)" for bits in shown)]
            if solver == "greedy":
                head += ["mean", "the paper: 4, 3, 2, 1 bit", "mean"]
            rows = [head]
            for block in BLOCKS:
                mine = [found.get((block, bits)) for bits in shown]
                weights = next((r["weights"] for r in mine if r), 0)
                cells = [block, f"{weights / 1e6:.2f} M"]
                cells += [f"{_lost(r, start)} ({r['nll_lost']:+.3f})" if r else "" for r in mine]
                if solver == "greedy":
                    losses = [r["bleu"] - start for r in mine if r and "bleu" in r]
                    paper = [bleu - PAPER_FLOAT for bleu in PAPER[block]]
                    cells += [f"{np.mean(losses):+.2f}" if len(losses) == len(BITS) else ""]
                    cells += [", ".join(f"{loss:+.1f}" for loss in paper), f"{np.mean(paper):+.2f}"]
                rows.append(cells)
            parts.append(f"Solver {solver}; float32 has BLEU {start:.2f}.\n\n{rows_to_markdown(rows)}")
    pairs = records(f"{STUDY}_pair")
    if pairs:
        rows = [["greedy", "bits", "BLEU", "p", "NLL"]]
        for r in pairs:
            cells = [f"{r['worse']} less {r['better']}", str(r["bits"]), f"{r['bleu_difference']:+.2f}"]
            cells += [f"{r['bleu_p']:.3f}", f"{r['nll_difference']:+.3f} ± {2 * r['nll_difference_error']:.3f}"]
            rows.append(cells)
        parts.append(rows_to_markdown(rows))
    return "\n\n".join(parts)


def _lost(record: Record, start: float) -> str:
    return f"{record['bleu'] - start:+.2f}" if "bleu" in record else "?"


WIDTH, HEIGHT, LEFT, TOP = 330, 240, 60, 40  # of a panel, pixels
COLOURS = ("#1f6f54", "#b5651d", "#8a3a4b", "#4a5a8a", "#111111", "#7a9a01", "#c23b22", "#6a51a3")


def plot() -> str:
    """Two panels, a line a block: our NLL over bits, upside down, and the paper's BLEU."""
    start = next(r["nll"] for r in records("float32") if r["beam"] == BEAM)
    ours = {(r["block"], r["bits"]): start - r["nll"] for r in records(STUDY) if r["solver"] == "greedy"}
    paper = {(block, bits): PAPER[block][i] - PAPER_FLOAT for block in BLOCKS for i, bits in enumerate(BITS)}
    body = _panel(LEFT, "Nats a token lost, Multi30k val", ours, -1.2, 0.2)
    body += _panel(2 * LEFT + WIDTH, "BLEU lost, the paper, newstest2013", paper, min(paper.values()), 5)
    width, height = 2 * (LEFT + WIDTH) + 90, TOP + HEIGHT + 50
    for i, block in enumerate(BLOCKS):
        y = TOP + 10 + 20 * i
        body.append(f'<path d="M{width - 80} {y}h16" stroke="{COLOURS[i]}" stroke-width="2"{_dash(block)}/>')
        body.append(_text(width - 60, y + 4, block))
    lines = "".join(f"{line}\n" for line in body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" fill="#222222">\n<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f"{lines}</svg>\n"
    )


def _panel(x: int, title: str, losses: Mapping[tuple[str, int], float], lowest: float, step: float) -> list[str]:
    """Lines that fall with the losses; what is below `lowest` is drawn there."""

    def point(bits: int, loss: float) -> str:
        return f"{x + WIDTH * (4 - bits) / 3:.1f} {TOP + HEIGHT * min(1.0, loss / lowest):.1f}"

    body = [_text(x, TOP - 16, title, "bold")]
    for i in range(int(-lowest / step + 1e-9) + 1):
        y = TOP + HEIGHT * i * step / -lowest
        body.append(f'<path d="M{x} {y:.1f}h{WIDTH}" stroke="#dddddd"/>')
        body.append(_text(x - 6, y + 4, f"{-i * step:g}", anchor="end"))
    for bits in BITS:
        body.append(_text(x + WIDTH * (4 - bits) / 3, TOP + HEIGHT + 24, f"{bits} bit", anchor="middle"))
    for i, block in enumerate(BLOCKS):
        points = [point(bits, losses[block, bits]) for bits in BITS if (block, bits) in losses]
        body.append(f'<path d="M{"L".join(points)}" fill="none" stroke="{COLOURS[i]}" stroke-width="2"{_dash(block)}/>')
    return body


def _dash(block: str) -> str:
    return "" if "_" in block else ' stroke-dasharray="6 4"'


def _text(x: float, y: float, text: str, weight: str = "normal", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>'


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, or show what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=[*SOLVERS])
    parser.add_argument("--nll", action="store_true", help="no translations: the likelihood of the references alone")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
    elif options.plot:
        options.plot.write_text(plot(), "utf-8")
    elif options.model and options.data:
        run(options.model, Texts(options.data), options.solvers, 0 if options.nll else BEAM)
    else:
        parser.error("give MODEL and DATA, or --table, or --plot")


if __name__ == "__main__":
    main()
