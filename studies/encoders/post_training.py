#!/usr/bin/env python3
"""What post-training recipes cost finetuned encoders: quantize, evaluate the dev set with our engine, record.

    python studies/encoders/post_training.py TEACHERS DATA            # stopped, it goes on
    python studies/encoders/post_training.py TEACHERS DATA --table

TEACHERS has the float32 models cola, mrpc, sst2, stsb that teach.py made; DATA the folders of the same names.
Calibration texts are the first rows of the training set, after those that teach.py keeps for validation. A finished run
is appended to post_training.jsonl at once, with the commit, and is not run again. No choice is made here on dev sets.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from tasks import TASKS, score, training_rows

import subbyte

RECORDS = Path(__file__).parent / "post_training.jsonl"
CALIBRATION = 300  # texts
GROUPS = (3, 6, 12)
PRESETS = (
    "float32", "int8", "w8a8", "w8a8-mixed", "w8a8-peg", "w8a8-each", "w8a8-turned", "encoder4", "w4a8", "mkq-4-8",
    "w4a4",
)  # fmt: skip
OPERAND = "operand = true\n"


def recipes(folder: Path) -> dict[str, str]:
    """Name -> what `quantize` takes.

    Presets; w8a8-peg with other groups, with and without its permutation; w8a8-turned and w4a4 with operands that are
    not turned, or equalized.
    """
    found = {name: name for name in PRESETS}
    preset = files("subbyte.compress.recipes").joinpath("presets")
    peg = preset.joinpath("w8a8-peg.toml").read_text("utf-8")
    for groups in GROUPS:
        for permuted in (True, False):
            name = f"peg-{groups}" + ("-permuted" if permuted else "")
            if name == "peg-6-permuted":
                continue  # the preset
            text = peg.replace("groups = 6", f"groups = {groups}")
            (folder / f"{name}.toml").write_text(text if permuted else text.replace("permute = true\n", ""), "utf-8")
            found[name] = str(folder / f"{name}.toml")
    for base, turned in (("w8a8-operands", "w8a8-turned"), ("w4a4-operands", "w4a4")):
        text = preset.joinpath(f"{turned}.toml").read_text("utf-8").replace("rotate = true\n", "")
        for end, option in (("", ""), ("-equalized", "equalize = true\n")):
            (folder / f"{base}{end}.toml").write_text(text.replace(OPERAND, OPERAND + option), "utf-8")
            found[base + end] = str(folder / f"{base}{end}.toml")
    return found


def run(task: str, recipe: str, teacher: Path, data: Path, work: Path) -> dict[str, Any]:
    """The metrics of a recipe on the dev set of a task."""
    folder, size = teacher, {}
    if recipe != "float32":
        rows = training_rows(task, data)[:CALIBRATION]
        text = work / "calibration.txt"
        text.write_text("".join("\t".join(parts) + "\n" for parts, _ in rows), "utf-8")
        found = subbyte.quantize(teacher, work / "out", recipe, calibration=text, force=True)
        folder = work / "out"
        size = {key: round(found[key], 3) for key in ("compression", "average_bits")}  # type: ignore[literal-required]
    found_metrics = subbyte.evaluate_classification(folder, data / task / "dev.tsv.gz")["metrics"]
    return {"score": round(100 * score(task, found_metrics), 2), "metrics": found_metrics, **size}


def table(records: list[dict[str, Any]]) -> str:
    """Scores by recipe and task, and their mean."""
    names = list(dict.fromkeys(record["recipe"] for record in records))
    lines = ["| recipe | " + " | ".join(TASKS) + " | mean | to float32 |", "|---" * (len(TASKS) + 3) + "|"]
    found = {(record["recipe"], record["task"]): record["score"] for record in records}
    means = {}
    for name in names:
        scores = [found.get((name, task)) for task in TASKS]
        if None not in scores:
            means[name] = sum(scores) / len(scores)  # type: ignore[arg-type]
        mean = f"{means[name]:.2f} | {means[name] - means['float32']:+.2f}" if name in means else " | "
        lines.append(f"| {name} | " + " | ".join("" if s is None else f"{s:.2f}" for s in scores) + f" | {mean} |")
    return "\n".join(lines)


def main() -> None:
    """Do what is not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teachers", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    lines = RECORDS.read_text("utf-8").splitlines() if RECORDS.exists() else []
    records = [json.loads(line) for line in lines]
    if options.table:
        print(table(records))
        return
    done = {(record["task"], record["recipe"]) for record in records}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True, cwd=RECORDS.parent
    )
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for task in TASKS:
            for name, recipe in recipes(work).items():
                if (task, name) in done or not (options.teachers / task / "config.json").exists():
                    continue
                found = run(task, recipe, options.teachers / task, options.data, work)
                record = {"task": task, "recipe": name, **found, "commit": commit.stdout.strip()}
                print(record, flush=True)
                with RECORDS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
