#!/usr/bin/env python3
"""Training encoders at few bits, method against method: train, save, evaluate with our engine, record.

    python studies/encoders/run.py TEACHERS DATA             # the queue, in its order; stopped, it goes on
    python studies/encoders/run.py TEACHERS DATA --table

TEACHERS are the models of teach.py, DATA the tasks. Every run of queue.json is done on every task and seed; the best
checkpoint is chosen on rows kept from training (tasks.py), and the dev set is read once, for it. A finished run is
appended to records.jsonl at once and not run again. A run without a recipe trains the float32 model, with the same
updates and rows: what "float32" means after training. Folders stay in studies/checkpoints, which git ignores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from tasks import TASKS, Row, score, training_rows, validation_rows

import subbyte
from subbyte.folders.opening import open_model
from subbyte.measure.evaluation.encoders import scores_of
from subbyte.run.classifier import Classifier
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer
from subbyte.text.labelled import read_labelled
from subbyte.training.encoders.settings import EncoderFinetuning
from subbyte.training.encoders.task import Validation, chosen_metric, examples_of
from subbyte.training.encoders.trainer import EncoderTrainer
from subbyte.training.job import finetune

HERE = Path(__file__).parent
RECORDS, QUEUE = HERE / "records.jsonl", HERE / "queue.json"
WORK = HERE.parent / "checkpoints" / "encoders"
METRICS = {"cola": "matthews", "mrpc": "accuracy", "sst2": "accuracy", "stsb": "correlation"}


def queue() -> Iterator[dict[str, Any]]:
    """The runs in order: name, recipe, task, seed, and the options that differ from the recipe's [finetune]."""
    document = json.loads(QUEUE.read_text("utf-8"))
    for run in document["runs"]:
        for seed in run.get("seeds", document["seeds"]):
            for task in run.get("tasks", TASKS):
                options = {**document["shared"], **run.get("options", {}), "metric": METRICS[task]}
                yield {"name": run["name"], "recipe": run["recipe"], "task": task, "seed": seed, "options": options}


def split(task: str, data: Path) -> tuple[Path, Path]:
    """Files of the training and the validation rows of a task; made if they are not there."""
    files = WORK / f"{task}.train.tsv", WORK / f"{task}.valid.tsv"
    for file, rows in zip(files, (training_rows, validation_rows), strict=True):
        if not file.exists():
            _write(file, rows(task, data))
    return files


def _write(file: Path, rows: Sequence[Row]) -> None:
    header = ["label", "sentence"] if len(rows[0][0]) == 1 else ["label", "sentence1", "sentence2"]
    lines = ["\t".join(header), *("\t".join((label, *parts)) for parts, label in rows)]
    file.write_text("\n".join(lines) + "\n", "utf-8")


def train(run: Mapping[str, Any], teachers: Path, data: Path, threads: int | None) -> dict[str, Any]:
    """The record of one run."""
    task, dev = run["task"], data / run["task"] / "dev.tsv.gz"
    files, start = split(task, data), time.monotonic()
    if run["recipe"] is None:
        found = train_float32(run, teachers / task, *files, dev, threads)
    else:
        out = WORK / f"{run['name']}-{task}-{run['seed']}"
        recipe = HERE / "recipes" / run["recipe"] if run["recipe"].endswith(".toml") else run["recipe"]
        inspection = finetune(
            teachers / task, out, recipe, train=files[0], valid=files[1], resume=True, force=True, seed=run["seed"],
            threads=threads, **run["options"],
        )  # fmt: skip
        report = json.loads((out / "report.json").read_text("utf-8"))
        found = {
            "validations": report["validations"],
            "compression": round(inspection["compression"], 3),
            "average_bits": round(inspection["average_bits"], 3),
            "metrics": subbyte.evaluate_classification(out, dev, threads=threads)["metrics"],
        }
    minutes = round((time.monotonic() - start) / 60, 1)
    return {**run, **found, "score": round(100 * score(task, found["metrics"]), 2), "minutes": minutes}


def train_float32(
    run: Mapping[str, Any], teacher: Path, rows: Path, valid: Path, dev: Path, threads: int | None
) -> dict[str, Any]:
    """What is found of the float32 model after the same updates."""
    torch.set_num_threads(threads or torch.get_num_threads())
    options = dict(run["options"])
    precision = options.pop("precision", "float32")
    settings = EncoderFinetuning(**options)
    model = open_model(teacher)
    tokenizer = load_encoder_tokenizer(teacher, model.config, settings.max_length)
    examples = examples_of(model, tokenizer, read_labelled(rows), str(rows))
    validation = Validation(model, read_labelled(valid), str(valid), chosen_metric(model, settings), threads or 1)
    trainer = EncoderTrainer(model, {}, examples, settings, precision=precision, seed=run["seed"])
    validations: list[dict[str, Any]] = []
    best = model
    while trainer.update < settings.updates:
        trainer.step()
        if trainer.update % settings.validate_every == 0:
            current = trainer.model()
            found = round(validation.score(current), 5)
            if all(found > one["score"] for one in validations):
                best = current
            validations.append({"update": trainer.update, "score": found})
    classifier, labelled = Classifier.from_pretrained(replace(best, folder=teacher)), read_labelled(dev)
    metrics = scores_of(np.stack([*classifier.logits(labelled.texts)]), labelled, classifier, str(dev))
    return {"validations": validations, "compression": 1.0, "average_bits": 32.0, "metrics": metrics}


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """The median over the seeds by run and task, and the means over the tasks."""
    lines = ["| run | " + " | ".join(TASKS) + " | mean | seeds | smaller |", "|---" * (len(TASKS) + 4) + "|"]
    for name in dict.fromkeys(record["name"] for record in records):
        own = [record for record in records if record["name"] == name]
        scores = [[record["score"] for record in own if record["task"] == task] for task in TASKS]
        shown = [f"{median(found):.2f}" if found else "" for found in scores]
        mean = f"{sum(map(median, scores)) / len(TASKS):.2f}" if all(scores) else ""
        smaller = f"{min(record['compression'] for record in own):.2f}"
        lines.append(f"| {name} | {' | '.join(shown)} | {mean} | {min(map(len, scores))} | {smaller} |")
    return "\n".join(lines)


def main() -> None:
    """Do what is not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teachers", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    lines = RECORDS.read_text("utf-8").splitlines() if RECORDS.exists() else []
    records = [json.loads(line) for line in lines]
    if options.table:
        print(table(records))
        return
    WORK.mkdir(parents=True, exist_ok=True)
    done = {(record["name"], record["task"], record["seed"]) for record in records}
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()
    for run in queue():
        if (run["name"], run["task"], run["seed"]) in done or not (options.teachers / run["task"]).exists():
            continue
        record = train(run, options.teachers, options.data, options.threads)
        print(record, flush=True)
        with RECORDS.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**record, "commit": commit}) + "\n")


if __name__ == "__main__":
    main()
