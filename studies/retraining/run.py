#!/usr/bin/env python3
"""Retraining at few bits on Multi30k, method against method: train, save, translate with our engine, record.

    pip install -e ".[finetune]" --constraint constraints.txt
    python studies/retraining/run.py MODEL DATA             # the queue, in its order; stopped, it goes on
    python studies/retraining/run.py MODEL DATA --test      # the test sets, for the runs that CHOSEN names
    python studies/retraining/run.py MODEL DATA --table [PREFIX ...]    # of all runs, or of those whose names start so

MODEL is the float32 MarianMT model, DATA the folder with multi30k/. A finished run is appended to records.jsonl at
once, with the commit and all settings, and is not run again: to repeat it, remove its line. The best of a run's
checkpoints is chosen by greedy BLEU on val; val is then scored with beam 4. Folders stay in studies/checkpoints, which
git ignores.

A run without a recipe trains the float32 model itself, with the same updates and text: what "float32" means after
retraining. Recipes that are files are those of recipes/ here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file, save_file

import subbyte
from subbyte.folders.opening import open_model
from subbyte.measure.evaluation.translation import evaluate_translation
from subbyte.text.lines import read_lines
from subbyte.text.tokenizer import load_tokenizer
from subbyte.training.job import finetune
from subbyte.training.translation.batches import Pair
from subbyte.training.translation.settings import Finetuning
from subbyte.training.translation.trainer import Trainer

HERE = Path(__file__).parent
RECORDS = HERE / "records.jsonl"
ROUNDED = HERE.parent / "post_training" / "records.jsonl"
QUEUE = HERE / "queue.json"
WORK = HERE.parent / "checkpoints" / "retraining"


def texts(data: Path, split: str) -> tuple[Path, Path]:
    """The English and the German file of a split."""
    return data / "multi30k" / f"{split}.en.txt.gz", data / "multi30k" / f"{split}.de.txt.gz"


def queue() -> Iterator[dict[str, Any]]:
    """The runs in order: name, recipe, seed, and the [finetune] options that differ from the recipe's."""
    document = json.loads(QUEUE.read_text("utf-8"))
    for run in document["runs"]:
        options = {**document["shared"], **run.get("options", {})}
        for seed in run.get("seeds", [0]):
            yield {"name": run["name"], "recipe": run["recipe"], "seed": seed, "options": options}


def records() -> list[dict[str, Any]]:
    """What was recorded so far."""
    return [json.loads(line) for line in RECORDS.read_text("utf-8").splitlines()] if RECORDS.exists() else []


def folder_of(run: Mapping[str, Any]) -> Path:
    """Where the folder of a run is."""
    return WORK / f"{run['name']}-{run['seed']}"


def train(model: Path, data: Path, run: Mapping[str, Any], threads: int | None) -> dict[str, Any]:
    """The record of one run, without quality."""
    if run["recipe"] is None:
        return train_float32(model, data, run, threads)
    out = folder_of(run)
    recipe = HERE / "recipes" / run["recipe"] if run["recipe"].endswith(".toml") else run["recipe"]
    (source, target), (valid_source, valid_target) = texts(data, "train"), texts(data, "val")
    start = time.monotonic()
    options = dict(run["options"])
    if "start" in options:  # another run of the queue
        options["start"] = folder_of({**run, "name": options["start"]})
    updates = options.get("updates")
    if updates == 0:  # without retraining
        calibration = source if options.get("calibrate") else None
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as pairs:
            pairs.writelines(f"{a}\t{b}\n" for a, b in zip(read_lines(source), read_lines(target), strict=True))
            pairs.flush()
            found = subbyte.quantize(model, out, recipe, frequencies=pairs.name, calibration=calibration, force=True)
    else:
        found = finetune(
            model, out, recipe, source=source, target=target, valid_source=valid_source,
            valid_target=valid_target, resume=True, force=True, seed=run["seed"], threads=threads, **options,
        )  # fmt: skip
    report = json.loads((out / "report.json").read_text("utf-8"))
    return {
        **run,
        "validations": report.get("validations", []),
        "bytes_on_disk": found["bytes_on_disk"],
        "compression": round(found["compression"], 3),
        "average_bits": round(found["average_bits"], 3),
        "minutes": round((time.monotonic() - start) / 60, 1),
    }


def train_float32(model: Path, data: Path, run: Mapping[str, Any], threads: int | None) -> dict[str, Any]:
    """The record of a run that rounds nothing. Its folder is MODEL's, with the weights that were best on val."""
    torch.set_num_threads(threads or torch.get_num_threads())
    out, start = folder_of(run), time.monotonic()
    options = dict(run["options"])
    precision = options.pop("precision", "float32")
    settings = Finetuning(**options)
    source = open_model(model)
    tokenizer = load_tokenizer(source.folder, source.config)
    lines = zip(*map(read_lines, texts(data, "train")), strict=True)
    pairs = [Pair(tokenizer.encode(a), tokenizer.encode_target(b)) for a, b in lines]
    trainer = Trainer(source, {}, pairs, settings, precision=precision, seed=run["seed"])
    shutil.copytree(model, out, ignore=shutil.ignore_patterns("expected", "model.safetensors"), dirs_exist_ok=True)
    stored = load_file(model / "model.safetensors")
    validations: list[dict[str, Any]] = []
    while trainer.update < settings.updates:
        trainer.step()
        if trainer.update % settings.validate_every == 0:
            trained = trainer.model().tensors
            new = {name: trained[name].reshape(old.shape) if name in trained else old for name, old in stored.items()}
            save_file(new, out / "last.safetensors", metadata={"format": "pt"})
            kept = (out / "model.safetensors").rename(out / "best.safetensors") if validations else None
            (out / "last.safetensors").rename(out / "model.safetensors")
            bleu = quality(out, data, "val", 1, threads)
            if kept and bleu <= max(one["bleu"] for one in validations):
                kept.rename(out / "model.safetensors")
            validations.append({"update": trainer.update, "bleu": bleu})
    facts = {"bytes_on_disk": sum(f.stat().st_size for f in out.iterdir()), "compression": 1.0, "average_bits": 32.0}
    return {**run, "validations": validations, **facts, "minutes": round((time.monotonic() - start) / 60, 1)}


def quality(folder: Path, data: Path, split: str, beam_size: int, threads: int | None) -> float:
    """BLEU of a folder, by our engine."""
    found = evaluate_translation(folder, *texts(data, split), beam_size=beam_size, threads=threads)
    return round(found["metrics"]["bleu"], 2)


def append(record: Mapping[str, Any]) -> None:
    """Keep a record."""
    commit = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(commit, cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()
    print(record, flush=True)
    with RECORDS.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**record, "commit": done}) + "\n")


def rounded() -> dict[str, float]:
    """Preset -> BLEU on val of nearest rounding, no training; "float32" is the model as it came."""
    lines = [json.loads(line) for line in ROUNDED.read_text("utf-8").splitlines()]
    kept = [
        r for r in lines if r.get("set") == "val" and r["activations"] == ("int8", "float32")[r["recipe"] == "float32"]
    ]
    return {r["recipe"]: r["bleu"] for r in kept}


def table(prefixes: Sequence[str]) -> str:
    """A markdown table of the runs whose names start with one of these, in the order of the records."""
    rows = ["| run | recipe | seed | updates | untrained, val | val | test 2016 | test 2017 | bits | smaller |"]
    rows.append("|" + "---|" * 10)
    before = rounded()
    for r in records():
        if prefixes and not r["name"].startswith(tuple(prefixes)):
            continue
        recipe, bleu = r["recipe"] or "float32", r["bleu"]
        scores = [f"{bleu[key]:.2f}" if key in bleu else "" for key in ("val", "test_2016_flickr", "test_2017_flickr")]
        start = f"{before[recipe]:.2f}" if recipe in before else ""
        facts = [r["name"], f"`{recipe}`", r["seed"], r["options"]["updates"], start, *scores]
        rows.append(f"| {' | '.join(map(str, facts))} | {r['average_bits']:.2f} | {r['compression']:.2f} |")
    return "\n".join(rows)


def main() -> None:
    """Do what is not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--table", nargs="*", metavar="PREFIX")
    parser.add_argument("--test", nargs="*", metavar="RUN", help="score these runs on the test sets, once")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.table is not None:
        print(table(options.table))
        return
    WORK.mkdir(parents=True, exist_ok=True)
    if options.test:
        kept = records()
        for record in kept:
            if record["name"] in options.test:
                for split in ("test_2016_flickr", "test_2017_flickr"):
                    if split not in record["bleu"]:
                        record["bleu"][split] = quality(folder_of(record), options.data, split, 4, options.threads)
        RECORDS.write_text("".join(json.dumps(record) + "\n" for record in kept), "utf-8")
        return
    done = {(r["name"], r["seed"]) for r in records()}
    for run in queue():
        if (run["name"], run["seed"]) not in done:
            record = train(options.model, options.data, run, options.threads)
            bleu = {"val": quality(folder_of(run), options.data, "val", 4, options.threads)}
            append({**record, "bleu": bleu})


if __name__ == "__main__":
    main()
