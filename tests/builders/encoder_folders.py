"""Tiny encoder folders: as sentence-transformers has them, with labels, with a number to predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from builders.tiny_bench_bert import tiny_bert_folder

LINES = ["a dog runs in the park .", "two men are here", "", "the cat sleeps"]


def sentence_folder(folder: Path, **overrides: Any) -> Path:
    """Mean pooling and length 1."""
    tiny_bert_folder(folder, **overrides)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    return folder


def classifier_folder(folder: Path, **overrides: Any) -> Path:
    """Three labels with names."""
    labels = {"id2label": {"0": "bad", "1": "good", "2": "so so"}}
    return tiny_bert_folder(folder, "BertForSequenceClassification", **labels, **overrides)


def regression_folder(folder: Path) -> Path:
    """One number."""
    return tiny_bert_folder(folder, "BertForSequenceClassification", num_labels=1, problem_type="regression")
