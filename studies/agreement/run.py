"""How far the result of every preset recipe agrees with its model: the figures behind the limits in agreement.py.

    python studies/agreement/run.py NAME MODEL TEXT [RECIPE ...]

MODEL is a float32 or Bergamot folder, TEXT has sentences in its language. Each recipe (default: all) appends a line to
records.jsonl: the agreement on frequent words and on the text, and how long both took. Prints the rows of a table.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from subbyte.agreement import agreement
from subbyte.folder import open_model
from subbyte.quantization import quantize_model
from subbyte.recipe import load_recipe, presets, resolve
from subbyte.text_lines import read_lines
from subbyte.tokenization import load_tokenizer

RECORDS = Path(__file__).with_name("records.jsonl")


def main(name: str, folder: str, text: str, *recipes: str) -> None:
    """Compare the model with what each recipe makes of it."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    model = open_model(folder)
    tokenizer = load_tokenizer(model.folder, model.config)
    lines = [line for line in read_lines(text) if line.strip()]
    for one in recipes or presets():
        recipe = load_recipe(one)
        result = replace(quantize_model(model, resolve(recipe, model)), activations=recipe.activations)
        start = time.perf_counter()
        found = [agreement(model, result, tokenizer), agreement(model, result, tokenizer, lines)]
        seconds = round(time.perf_counter() - start, 2)
        record = {"commit": commit.strip(), "model": name, "recipe": one, "text": Path(text).name, "seconds": seconds}
        with RECORDS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record | {"found": found}) + "\n")
        cells = [f"{100 * agreed['lost']:.0f}% / {agreed['nats'] or 0:.2f} / {agreed['chrf']:.0f}" for agreed in found]
        print(f"| {name} | `{one}` | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
