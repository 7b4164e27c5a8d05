"""What packing saves, and that it changes nothing: every preset that applies to a model, packed.

    python studies/coded/pack.py NAME MODEL TEXT [PRESET ...]

MODEL is a float32 or Bergamot folder, TEXT has sentences for it: its first 20 lines are answered, its first 400
calibrate presets with static activations. Every preset that applies is written in format 1 and packed; each appends a
line to records.jsonl and prints a row: bytes of the codes and of the whole folder, and whether all matrices are the
same bit for bit and all answers of 20 lines are. Without arguments all that were recorded are printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import subbyte
from subbyte.compress.recipes.recipe import load_recipe, presets
from subbyte.errors import SubbyteError
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import PackedMatrix

RECORDS = Path(__file__).with_name("records.jsonl")
ANSWERED = 20  # lines
CARD = "README.md"  # says how large the others are, in words that may be a letter longer


def main(name: str = "", folder: str = "", text: str = "", *chosen: str) -> None:
    """Pack the model under each preset."""
    if not folder:
        for line in RECORDS.read_text("utf-8").splitlines():
            print(row(json.loads(line)))
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    lines = Path(text).read_text("utf-8").splitlines()
    task = open_model(folder).task
    for preset in chosen or [one for one in presets() if not one.startswith("coded")]:  # those are packed as they are
        if task == "translate" and load_recipe(preset).activations == "static":
            continue
        with tempfile.TemporaryDirectory() as home:
            calibration = Path(home) / "text"
            calibration.write_text("".join(f"{line}\n" for line in lines[:400]))
            plain, packed = Path(home) / "plain", Path(home) / "packed"
            try:
                subbyte.quantize(
                    folder, plain, preset, check=False,
                    calibration=calibration if load_recipe(preset).activations == "static" else None,
                )  # fmt: skip
            except SubbyteError as error:
                print(f"{name} {preset}: does not apply: {str(error).splitlines()[0]}", file=sys.stderr)
                continue
            packing = subbyte.pack(plain, packed)
            codes = [kind for kind in packing["kinds"] if kind["blocks"]]
            before, after = open_model(plain), open_model(packed)
            answers = [answers_of(one, before, lines[:ANSWERED]) for one in (plain, packed)]
            record = {
                "subject": name,
                "preset": preset,
                "commit": commit.strip(),
                "parameters": before.parameters,
                "folder": [packing["before"], packing["after"]],
                "codes": [sum(kind[key] for kind in codes) for key in ("before", "after")],
                "blocks": [sum(kind["coded"] for kind in codes), sum(kind["blocks"] for kind in codes)],
                "more_bytes": [
                    kind["kind"] for kind in packing["kinds"] if kind["after"] > kind["before"] and kind["kind"] != CARD
                ],
                "same_matrices": all(same(before, after, matrix) for matrix in before.roles),
                "same_answers": answers[0] == answers[1],
            }
        with RECORDS.open("a", encoding="utf-8") as records:
            records.write(json.dumps(record) + "\n")
        print(row(record), flush=True)


def same(before: Model, after: Model, name: str) -> bool:
    """Whether a matrix is the same, bit for bit."""
    matrices = [model.tensors[name] for model in (before, after)]
    weights = [dequantize(one) for one in matrices if isinstance(one, PackedMatrix)]
    return len(weights) == 2 and bool(np.array_equal(weights[0].view(np.uint32), weights[1].view(np.uint32)))


def answers_of(folder: Path, model: Model, lines: list[str]) -> list[str]:
    """Translations and their scores, or the bytes of vectors."""
    if model.task == "translate":
        with subbyte.Translator.from_pretrained(folder) as translator:
            return [f"{score!r} {text}" for text, score in translator.translate(lines, return_scores=True)]
    vectors = subbyte.Encoder.from_pretrained(folder).encode(lines)
    return [vector.tobytes().hex() for vector in vectors]


def row(record: dict) -> str:
    """A row of the table in docs/packing.md."""
    (folder, folder_packed), (codes, codes_packed) = record["folder"], record["codes"]
    coded, blocks = record["blocks"]
    proof = "yes" if record["same_matrices"] and record["same_answers"] and not record["more_bytes"] else "NO"
    bits = 8 * folder_packed / record["parameters"]
    return (
        f"| {record['subject']} | `{record['preset']}` | {codes:,} | {codes_packed:,} | {1 - codes_packed / codes:.1%} "
        f"| {folder:,} | {folder_packed:,} | {bits:.2f} | {coded} of {blocks} | {proof} |"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
