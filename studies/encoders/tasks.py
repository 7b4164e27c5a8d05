"""The tasks of these studies: how their training rows are divided, and the one number that counts for each."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from subbyte.text.labelled import read_labelled

TASKS = ("cola", "mrpc", "sst2", "stsb")
VALIDATION = 500  # rows kept from training, for choices

Row = tuple[tuple[str, ...], str]  # one sentence or two, and the label


def rows(task: str, data: Path) -> list[Row]:
    """The rows of the training set in the order that divides them."""
    read = read_labelled(data / task / "train.tsv.gz")
    found = list(zip(read.texts, read.labels, strict=True))
    random.Random(0).shuffle(found)
    return found


def validation_rows(task: str, data: Path) -> list[Row]:
    """Those that choices are made on."""
    return rows(task, data)[:VALIDATION]


def training_rows(task: str, data: Path) -> list[Row]:
    """The others."""
    return rows(task, data)[VALIDATION:]


def score(task: str, metrics: Mapping[str, float]) -> float:
    """As GLUE and Bondarenko et al. 2021 count: Matthews, accuracy, or the mean of two metrics."""
    if task == "cola":
        return metrics["matthews"]
    if task == "mrpc":
        return (metrics["accuracy"] + metrics["f1"]) / 2
    if task == "stsb":
        return (metrics["pearson"] + metrics["spearman"]) / 2
    return metrics["accuracy"]
