"""How much of what rounding costs does calibrated rounding win back? Nothing is trained.

    python studies/chung2020/compensation.py MODEL DATA           # about 30 s a run on one core, 24 runs
    python studies/chung2020/compensation.py --table

MODEL is a float32 MarianMT folder; DATA has val.en.txt.gz and val.de.txt.gz, on which all is measured (beam 4), and
train.en.txt.gz, of which a fixed draw of lines calibrates. Recipes quantize every matrix; each is saved as a folder,
once rounded to the nearest level and once calibrated (docs/calibration.md), and run with int8 and float32 activations.
The gap is what rounding to the nearest lost against the float32 model; `share` is how much of it calibration closed.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from measuring import (
    SET,
    WORK,
    Measured,
    Record,
    Texts,
    append,
    baseline,
    difference,
    finished,
    keep,
    kept,
    measure,
    quality,
    records,
    rows_to_markdown,
)
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

import subbyte
from subbyte.text_lines import read_lines

STUDY = "compensation"
BEAM = 4
RECIPES = ("binary3", "uniform3", "log3", "binary2", "uniform2", "log2")
ACTIVATIONS: tuple[Literal["int8", "float32"], ...] = ("int8", "float32")
LINES, SEED = 1000, 0
SAMPLES = 1000  # of the bootstrap


def calibration(texts: Texts) -> Path:
    """LINES lines of the training set's source side; made if they are not there."""
    file = WORK / f"calibration-{LINES}-{SEED}.{texts.languages[0]}"
    if not file.exists():
        lines = list(read_lines(texts.path("train", 0)))
        WORK.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(random.Random(SEED).sample(lines, LINES)) + "\n", "utf-8")
    return file


def name_of(recipe: str, activations: str, calibrated: bool) -> str:
    """What a run is kept as."""
    return f"{STUDY}-{recipe}-{activations}-{'calibrated' if calibrated else 'nearest'}"


def run(folder: Path, texts: Texts) -> None:
    """Do what is not recorded yet."""
    float32 = baseline(folder, texts, BEAM)
    for recipe in RECIPES:
        for calibrated in (False, True):
            keys = {
                activations: {
                    "study": STUDY, "model": folder.name, "set": SET, "beam": BEAM, "recipe": recipe,
                    "activations": activations, "calibrated": calibrated,
                    "lines": LINES if calibrated else 0, "seed": SEED if calibrated else None,
                }
                for activations in ACTIVATIONS
            }  # fmt: skip
            if not all(map(finished, keys.values())):
                out = WORK / f"{recipe}{'-calibrated' if calibrated else ''}"
                text = calibration(texts) if calibrated else None
                size = subbyte.quantize(folder, out, recipe, calibration=text, force=True, check=False)
                for activations, key in keys.items():
                    if not finished(key):
                        found = measure(out, texts, beam=BEAM, activations=activations)
                        keep(name_of(recipe, activations, calibrated), found)
                        record = {"average_bits": round(size["average_bits"], 3), **quality(found, texts, float32)}
                        append(key, record)
                        print(
                            f"{recipe} {activations} {calibrated}: BLEU {record['bleu']:.2f}, NLL {record['nll']:.3f}"
                        )
        for activations in ACTIVATIONS:
            key = {"study": f"{STUDY}_gap", "model": folder.name, "set": SET, "beam": BEAM, "recipe": recipe}
            key |= {"activations": activations}
            if not finished(key):
                nearest, better = (kept(name_of(recipe, activations, calibrated)) for calibrated in (False, True))
                append(key, gap(texts, float32, nearest, better))


def gap(texts: Texts, float32: Measured, nearest: Measured, calibrated: Measured) -> Record:
    """The share of the gap that was closed, in BLEU and in NLL, the latter with its error; and is it better at all?"""
    test = PairedTest(
        [("nearest", nearest.texts), ("calibrated", calibrated.texts)],
        {"BLEU": BLEU(references=[texts.references])},
        references=None,
        test_type="bs",
        n_samples=SAMPLES,
    )
    _, results = test()
    start, end = (result.score for result in results["BLEU"])
    whole = BLEU().corpus_score(float32.texts, [texts.references]).score - start
    lost_before, lost_after = nearest.nll - float32.nll, calibrated.nll - float32.nll
    left = float(lost_after.sum() / lost_before.sum())
    spread = float(np.sqrt(np.square(lost_after - left * lost_before).sum()) / abs(lost_before.sum()))
    won, error = difference(nearest, calibrated)
    return {
        "bleu_gap": round(whole, 3),
        "bleu_won": round(end - start, 3),
        "bleu_p": round(results["BLEU"][1].p_value, 4),
        "bleu_share": round((end - start) / whole, 3),
        "nll_won": round(won, 5),
        "nll_won_error": round(error, 5),
        "nll_share": round(1 - left, 3),
        "nll_share_error": round(spread, 3),
    }


def table() -> str:
    """A row a recipe and way of rounding activations."""
    start = next(r for r in records("float32") if r["beam"] == BEAM)
    found = {(r["recipe"], r["activations"], r["calibrated"]): r for r in records(STUDY)}
    gaps = {(r["recipe"], r["activations"]): r for r in records(f"{STUDY}_gap")}
    head = ["recipe", "activations", "BLEU nearest", "calibrated", "p", "share of the gap"]
    rows = [[*head, "NLL nearest", "calibrated", "share of the gap"]]
    for (recipe, activations), one in gaps.items():
        nearest, calibrated = (found[recipe, activations, which] for which in (False, True))
        cells = [f"`{recipe}`", activations, f"{nearest['bleu']:.2f}", f"{calibrated['bleu']:.2f}"]
        cells += [f"{one['bleu_p']:.3f}", f"{one['bleu_share']:.0%}"]
        cells += [f"{nearest['nll']:.3f}", f"{calibrated['nll']:.3f}"]
        rows.append([*cells, f"{one['nll_share']:.0%} ± {2 * one['nll_share_error']:.0%}"])
    return f"float32: BLEU {start['bleu']:.2f}, NLL {start['nll']:.3f}.\n\n{rows_to_markdown(rows)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, or show what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
    elif options.model and options.data:
        run(options.model, Texts(options.data))
    else:
        parser.error("give MODEL and DATA, or --table")


if __name__ == "__main__":
    main()
