"""Packing changes no number of a model, and nothing takes more bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import subbyte
from builders.same_models import assert_same
from builders.tiny_encoder import tiny_encoder_folder
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import EVERY_KIND, TRANSLATION_PRESETS, quantized
from subbyte.compress.recipes.recipe import presets
from subbyte.errors import UsageError
from subbyte.folders.converted import saving
from subbyte.folders.opening import open_model
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import PackedMatrix

CARD = "---\nlicense: mit\n---\n\n# A model\n\nMade by somebody.\n"
SHRINK = re.compile(r"(uniform[2-8]|normal[34]|log[2-4]|binary[2-4])$")  # whatever weights are


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_marian_folder(
        tmp_path_factory.mktemp("source") / "tiny", encoder_layers=1, decoder_layers=1, d_model=128, encoder_ffn_dim=256
    )
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.mark.parametrize("recipe", [*TRANSLATION_PRESETS, EVERY_KIND], ids=[*TRANSLATION_PRESETS, "every kind"])
def test_a_packed_folder_answers_as_before(source: Path, tmp_path: Path, recipe: str) -> None:
    model = quantized(source, recipe)
    report = {"recipe": "r", "tensors": {"model.shared.weight": {"sqnr_db": 1.5, "rule": "a rule"}}}
    saving.save(model, tmp_path / "plain", report=report, recipe="# a recipe\n")
    packing = subbyte.pack(tmp_path / "plain", tmp_path / "packed")
    again = open_model(tmp_path / "packed")
    assert_same(again, model)
    for name, tensor in model.tensors.items():
        if isinstance(tensor, PackedMatrix):
            found = again.tensors[name]
            assert isinstance(found, PackedMatrix) and np.array_equal(dequantize(found), dequantize(tensor))
    kinds = [kind for kind in packing["kinds"] if kind["kind"] != "README.md"]  # which says how large the others are
    assert packing["after"] < packing["before"] and all(kind["after"] <= kind["before"] for kind in kinds)
    assert packing["before"] == sum(path.stat().st_size for path in (tmp_path / "plain").iterdir())
    assert packing["after"] == sum(path.stat().st_size for path in (tmp_path / "packed").iterdir())
    codes = [kind for kind in packing["kinds"] if kind["blocks"]]
    if SHRINK.match(recipe):
        assert all(kind["coded"] and kind["after"] < kind["before"] for kind in codes)
    for name in ("report.json", "recipe.toml"):
        plain, packed = ((tmp_path / folder / name).read_text() for folder in ("plain", "packed"))
        assert json.loads(plain) == json.loads(packed) if name == "report.json" else plain == packed
    subbyte.verify(tmp_path / "packed")


@pytest.mark.parametrize("recipe", sorted({*presets()} - {*TRANSLATION_PRESETS}))
def test_encoders_on_grids(tmp_path: Path, recipe: str) -> None:
    folder = tiny_encoder_folder(tmp_path / "tiny", "bert", hidden_size=192)
    (tmp_path / "text").write_text("".join(f"{chr(97 + i % 26)} b c\n" for i in range(20)))
    subbyte.quantize(folder, tmp_path / "plain", recipe, calibration=tmp_path / "text", check=False)
    subbyte.pack(tmp_path / "plain", tmp_path / "packed")
    assert_same(open_model(tmp_path / "packed"), open_model(tmp_path / "plain"))


def test_the_card_is_that_of_the_source_with_other_sizes(source: Path, tmp_path: Path) -> None:
    saving.save(quantized(source, "uniform4"), tmp_path / "plain", report={})
    subbyte.pack(tmp_path / "plain", tmp_path / "packed")
    plain, packed = ((tmp_path / folder / "README.md").read_text() for folder in ("plain", "packed"))
    size = (tmp_path / "packed" / "model.safetensors").stat().st_size
    assert f"| `model.safetensors` | {size:,} (" in packed and "license: mit" in packed and "base_model: tiny" in packed
    numbers = re.compile(r"[\d.,]+(?= bits per weight| \(| times smaller)")
    assert numbers.sub("N", packed) == numbers.sub("N", plain) and packed.count("Made by somebody.") == 1


def test_packing_again_changes_nothing(source: Path, tmp_path: Path) -> None:
    saving.save(quantized(source, "uniform3"), tmp_path / "plain", report={})
    subbyte.pack(tmp_path / "plain", tmp_path / "packed")
    packing = subbyte.pack(tmp_path / "packed", tmp_path / "again")
    assert packing["before"] == packing["after"]
    for path in (tmp_path / "packed").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_what_is_not_packed(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tiny: is a float32 model; subbyte quantize makes"):
        subbyte.pack(source, tmp_path / "out")
    saving.save(quantized(source, "uniform4"), tmp_path / "plain", report={})
    with pytest.raises(UsageError, match="is the folder of the source model"):
        subbyte.pack(tmp_path / "plain", tmp_path / "plain", force=True)
    subbyte.pack(tmp_path / "plain", tmp_path / "out")
    with pytest.raises(UsageError, match="already exists"):
        subbyte.pack(tmp_path / "plain", tmp_path / "out")
    told: list[tuple[str, int, int | None]] = []
    subbyte.pack(tmp_path / "plain", tmp_path / "out", force=True, progress=lambda *step: told.append(step))
    assert told[-1] == ("packing", 1, 1)
