"""How far the result of a recipe agrees with its model on the texts that ship: the figures behind the limits.

    python studies/agreement/run.py NAME MODEL [RECIPE[+] ...]

MODEL is a float32 or Bergamot folder, or an encoder's. A recipe with a plus is calibrated on the text that ships, as
`quantize` without a recipe does it. Each appends a line to records.jsonl and prints a row of a table; with no recipes
all that were recorded are printed. (records_before.jsonl has those of the measure before: all tokens counted.)
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from subbyte.compress.calibration.texts import texts_to_choose_on
from subbyte.compress.quantizing import TASKS
from subbyte.compress.recipes.recipe import load_recipe
from subbyte.folders.converted.saving import weights_size
from subbyte.folders.opening import open_model

RECORDS = Path(__file__).with_name("records.jsonl")


def main(name: str = "", folder: str = "", *recipes: str) -> None:
    """Compare the model with what each recipe makes of it."""
    if not recipes:
        for line in RECORDS.read_text("utf-8").splitlines():
            print(row(json.loads(line)))
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    model = open_model(folder)
    task = TASKS[model.task](model, lambda languages: texts_to_choose_on(None, None, languages))
    texts = task.texts
    for one in recipes:
        task.texts = texts if one.endswith("+") else replace(texts, calibration=None)
        start = time.process_time()
        packed = task.compressed(load_recipe(one.removesuffix("+")))
        verdict = task.verdict(packed)
        record = {
            "commit": commit.strip(), "model": name, "recipe": one.removesuffix("+"), "calibrated": one.endswith("+"),
            "times_smaller": round(4 * model.parameters / weights_size(packed), 2),
            "cpu_seconds": round(time.process_time() - start, 1), "found": verdict and verdict.document,
        }  # fmt: skip
        with RECORDS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(row(record), flush=True)


def row(record: dict[str, object]) -> str:
    """A row of the table in docs/agreement.md."""
    found = record["found"]
    assert isinstance(found, dict)
    distance = 100 * (found["lost"] if "lost" in found else found["distance"])
    how = "calibrated" if record["calibrated"] else "nearest"
    return (
        f"| {record['model']} | `{record['recipe']}` | {how} | {record['times_smaller']} | "
        f"{distance:.1f} +- {100 * found['noise']:.1f} |"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
