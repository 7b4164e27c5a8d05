"""The mark in config.json at which other libraries stop. What they do is in tests/parity/test_marked_folders.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import subbyte
from builders.tiny_encoder import KINDS, tiny_encoder_folder
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import quantized
from builders.tiny_student import tiny_student_folder
from subbyte.errors import FormatError
from subbyte.folders.converted import saving
from subbyte.folders.converted.mark import is_converted, marked, unmarked
from subbyte.folders.opening import open_model


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text("utf-8"))  # type: ignore[no-any-return]


def as_before_the_mark(folder: Path, out: Path) -> Path:
    """A copy of a converted folder as older versions wrote it."""
    shutil.copytree(folder, out)
    config = config_of(folder)
    quantization = config["quantization_config"]
    config["model_type"] = quantization.pop("source_model_type")
    config["quantization_config"] = {"quant_method": quantization.pop("method"), **quantization}
    (out / "config.json").write_text(json.dumps(config), "utf-8")
    return out


@pytest.mark.parametrize("kind", ["marian", "student", *KINDS])
def test_converted_folders_are_marked_and_older_ones_open_as_before(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    if kind == "marian":
        tiny_marian_folder(source)
    elif kind == "student":
        tiny_student_folder(source)
    else:
        tiny_encoder_folder(source, kind)
    saving.save(quantized(source, "uniform4"), tmp_path / "out", report={})
    config = config_of(tmp_path / "out")
    assert config["model_type"] == "subbyte" and "quant_method" not in config["quantization_config"]
    old = as_before_the_mark(tmp_path / "out", tmp_path / "old")
    assert config_of(old)["model_type"] in ("marian", kind.partition(",")[0])
    for folder in (tmp_path / "out", old):
        model = open_model(folder)
        assert model.compressed and model.config["model_type"] == open_model(source).config["model_type"]
        assert subbyte.inspect(folder)["average_bits"] == subbyte.inspect(tmp_path / "out")["average_bits"]
    one, other = (open_model(folder).tensors for folder in (tmp_path / "out", old))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one if isinstance(one[name], np.ndarray))


def test_the_mark_and_its_removal_are_inverse() -> None:
    config = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 8}
    written = marked(config, {"format_version": 1, "recipe": {}})
    assert is_converted(written) and not is_converted(config)
    restored = unmarked(written, "here")
    assert restored.pop("quantization_config")["source_model_type"] == "bert" and restored == config
    with pytest.raises(FormatError, match="source_model_type"):
        unmarked({"model_type": "subbyte"}, "here")
