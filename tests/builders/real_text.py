"""Sentences of the Multi30k sets beside the real model."""

from __future__ import annotations

import gzip
from pathlib import Path


def lines(path: Path, count: int) -> list[str]:
    """The first lines of a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().split("\n")[:count]


def sentences(folder: Path, name: str, count: int) -> list[str]:
    """The first English sentences of a Multi30k set."""
    return lines(folder.parents[1] / "data" / "multi30k" / f"{name}.en.txt.gz", count)
