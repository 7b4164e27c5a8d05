"""How much of what rounding costs does calibrated rounding win back? Nothing is trained.

    python studies/chung2020/compensation.py MODEL DATA           # about 30 s a run on one core, 24 runs
    python studies/chung2020/compensation.py --table

MODEL is a float32 MarianMT folder; DATA has val.en.txt.gz and val.de.txt.gz, on which all is measured (beam 4), and
train.en.txt.gz, of which a fixed draw of lines calibrates. Recipes quantize every matrix, once to the nearest level
and once calibrated (docs/calibration.md); both are run, as their saved folders would be, with int8 and float32
activations.
The gap is what rounding to the nearest lost against the float32 model; `share` is how much of it calibration closed.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

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
    rows_to_markdown,
)
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from subbyte.compress.calibration.translation import grams
from subbyte.compress.recipes.recipe import load_recipe, resolve
from subbyte.compress.rounding import quantize_model
from subbyte.folders.opening import open_model
from subbyte.text.lines import read_lines
from subbyte.text.tokenizer import load_tokenizer

STUDY = "compensation"
BEAM = 4
RECIPES = ("binary3", "uniform3", "log3", "binary2", "uniform2", "log2")
ACTIVATIONS: tuple[Literal["int8", "float32"], ...] = ("int8", "float32")
LINES, SEED = 1000, 0
SAMPLES = 1000  # of the bootstrap


def calibration(texts: Texts) -> list[str]:
    """LINES lines of the training set's source side."""
    return random.Random(SEED).sample(list(read_lines(texts.path("train", 0))), LINES)


def name_of(recipe: str, activations: str, calibrated: bool, beam: int) -> str:
    """What a run is kept as."""
    return f"{STUDY}-{recipe}-{activations}-{'calibrated' if calibrated else 'nearest'}-beam{beam}"


def run(
    folder: Path, texts: Texts, recipes: Sequence[str], ways: Sequence[Literal["int8", "float32"]], beam: int
) -> None:
    """Do what is not recorded yet."""
    float32 = baseline(folder, texts, beam)
    model = open_model(folder)

    @cache
    def sums() -> Mapping[str, np.ndarray]:
        return grams(model, load_tokenizer(model.folder, model.config), calibration(texts))

    for recipe in recipes:
        for calibrated in (False, True):
            keys = {
                activations: {
                    "study": STUDY, "model": folder.name, "set": SET, "beam": beam, "recipe": recipe,
                    "activations": activations, "calibrated": calibrated,
                    "lines": LINES if calibrated else 0, "seed": SEED if calibrated else None,
                }
                for activations in ways
            }  # fmt: skip
            if not all(map(finished, keys.values())):
                packed = quantize_model(
                    model, resolve(load_recipe(recipe), model), grams=sums() if calibrated else None
                )
                for activations, key in keys.items():
                    if not finished(key):
                        found = measure(packed, texts, beam=beam, activations=activations)
                        keep(name_of(recipe, activations, calibrated, beam), found)
                        record = quality(found, texts, float32)
                        append(key, record)
                        print(
                            f"{recipe} {activations} {calibrated}: BLEU {record.get('bleu')}, NLL {record['nll']:.3f}"
                        )
        for activations in ways:
            key = {"study": f"{STUDY}_gap", "model": folder.name, "set": SET, "beam": beam, "recipe": recipe}
            key |= {"activations": activations}
            if not finished(key):
                nearest, better = (kept(name_of(recipe, activations, calibrated, beam)) for calibrated in (False, True))
                append(key, gap(texts, float32, nearest, better))


def gap(texts: Texts, float32: Measured, nearest: Measured, calibrated: Measured) -> Record:
    """The share of the gap that was closed, in BLEU and in NLL, the latter with its error; and is it better at all?"""
    won, error = difference(nearest, calibrated)
    lost_before, lost_after = nearest.nll - float32.nll, calibrated.nll - float32.nll
    left = float(lost_after.sum() / lost_before.sum())
    spread = float(np.sqrt(np.square(lost_after - left * lost_before).sum()) / abs(lost_before.sum()))
    return {
        **(bleu_gap(texts, float32, nearest, calibrated) if nearest.texts else {}),
        "nll_won": round(won, 5),
        "nll_won_error": round(error, 5),
        "nll_share": round(1 - left, 3),
        "nll_share_error": round(spread, 3),
    }


def bleu_gap(texts: Texts, float32: Measured, nearest: Measured, calibrated: Measured) -> Record:
    """The part of `gap` that needs translations."""
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
    return {
        "bleu_gap": round(whole, 3),
        "bleu_won": round(end - start, 3),
        "bleu_p": round(results["BLEU"][1].p_value, 4),
        "bleu_share": round((end - start) / whole, 3),
    }


def table() -> str:
    """A row a recipe and way of rounding activations."""
    start = best(records("float32"), BEAM) or records("float32")[0]

    def pick(study: str, recipe: str, activations: str, **more: bool) -> Record | None:
        key = {"recipe": recipe, "activations": activations, **more}
        return best([r for r in records(study) if key.items() <= r.items()], BEAM)

    head = ["recipe", "activations", "BLEU nearest", "calibrated", "p", "share of the gap"]
    rows = [[*head, "NLL nearest", "calibrated", "share of the gap"]]
    for recipe, activations in ((recipe, way) for recipe in RECIPES for way in ACTIVATIONS):
        one = pick(f"{STUDY}_gap", recipe, activations)
        nearest, calibrated = (pick(STUDY, recipe, activations, calibrated=which) for which in (False, True))
        if not (one and nearest and calibrated):
            continue
        cells = [f"`{recipe}`", activations, "?", "?", "?", "?"]
        if "bleu_gap" in one:
            cells[2:] = [f"{nearest['bleu']:.2f}", f"{calibrated['bleu']:.2f}"]
            cells += [f"{one['bleu_p']:.3f}", f"{one['bleu_share']:.0%}"]
        cells += [f"{nearest['nll']:.3f}", f"{calibrated['nll']:.3f}"]
        rows.append([*cells, f"{one['nll_share']:.0%} ± {2 * one['nll_share_error']:.0%}"])
    return (
        f"float32: BLEU {start['bleu']:.2f} (beam {start['beam']}), NLL {start['nll']:.3f}.\n\n{rows_to_markdown(rows)}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, or show what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    parser.add_argument("--activations", nargs="+", choices=ACTIVATIONS, default=ACTIVATIONS)
    parser.add_argument("--nll", action="store_true", help="no translations: the likelihood of the references alone")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
    elif options.model and options.data:
        run(options.model, Texts(options.data), options.recipes, options.activations, 0 if options.nll else BEAM)
    else:
        parser.error("give MODEL and DATA, or --table")


if __name__ == "__main__":
    main()
