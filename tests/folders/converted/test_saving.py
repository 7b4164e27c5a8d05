"""Converted folders: what is saved comes back, and what is never written over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from builders.same_models import assert_same
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import EVERY_KIND, TRANSLATION_PRESETS, quantized
from subbyte.compress.recipes.recipe import parse_recipe, resolve
from subbyte.errors import ModelError, UsageError
from subbyte.folders.converted import loading, saving, sums, weights_file
from subbyte.folders.converted.model_card import base_name
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import PackedMatrix

# --- round trips


@pytest.mark.parametrize("preset", TRANSLATION_PRESETS)
def test_every_preset_comes_back_and_has_the_bits_it_claims(tiny_folder: Path, tmp_path: Path, preset: str) -> None:
    model = quantized(tiny_folder, preset)
    saving.save(model, tmp_path / "out", report={})
    loaded = open_model(tmp_path / "out")
    assert_same(model, loaded)
    assert sums.verify(tmp_path / "out")
    for name in loaded.roles:
        matrix = loaded.tensors[name]
        assert isinstance(matrix, PackedMatrix)
        values = np.sort(dequantize(matrix).reshape(matrix.shape[0], matrix.groups, -1), axis=-1)
        distinct = 1 + np.count_nonzero(np.diff(values), axis=-1).max(axis=1)  # [rows]
        bits = np.array([block.bits for block in matrix.blocks])
        assert (distinct <= 2 ** (bits[0] if matrix.cluster is None else bits[matrix.cluster])).all(), name


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"share_encoder_decoder_embeddings": False, "tie_word_embeddings": False},
        {"d_model": 20, "encoder_ffn_dim": 39, "decoder_ffn_dim": 9},  # bit planes that end within a byte
    ],
)
def test_every_kind_of_block_comes_back(tmp_path: Path, overrides: dict[str, Any]) -> None:
    text = EVERY_KIND if not overrides.get("d_model") else EVERY_KIND.replace("granularity = {group = 16}", "")
    model = quantized(tiny_marian_folder(tmp_path / "tiny", **overrides), text)
    saving.save(model, tmp_path / "out", report={})
    assert_same(model, loading.load(tmp_path / "out"))


def test_the_safetensors_library_reads_what_we_write(saved: Path, model: Model) -> None:
    theirs = load_file(saved / "model.safetensors")
    ours = weights_file.arrays_of(model)
    assert theirs.keys() == ours.keys()
    assert all(np.array_equal(theirs[name], ours[name]) for name in ours)


def test_saving_twice_gives_the_same_bytes(model: Model, saved: Path, tmp_path: Path) -> None:
    saving.save(model, tmp_path / "again", report={"seed": 0})
    for path in saved.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_loaded_arrays_are_views_of_one_aligned_buffer(saved: Path) -> None:
    tensors = loading.load(saved).tensors
    arrays = [tensor for tensor in tensors.values() if isinstance(tensor, np.ndarray)]
    arrays += [
        block.codes for tensor in tensors.values() if isinstance(tensor, PackedMatrix) for block in tensor.blocks
    ]
    assert all(array.flags.aligned and array.flags.c_contiguous and array.base is not None for array in arrays)


def test_the_folder_holds_what_it_should(model: Model, saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    assert names == {
        "config.json", "generation_config.json", "model.safetensors", "report.json", "manifest.json", "README.md",
        "source.spm", "target.spm", "vocab.json", "tokenizer_config.json",
    }  # fmt: skip
    for name in ("source.spm", "vocab.json", "generation_config.json"):
        assert (saved / name).read_bytes() == (model.folder / name).read_bytes()
    config = json.loads((saved / "config.json").read_text())
    quantization = config.pop("quantization_config")
    assert config == {**model.config, "model_type": "subbyte"}
    assert (quantization["method"], quantization["format_version"]) == ("subbyte", 1)
    recipe = parse_recipe_of(quantization["recipe"])
    assert resolve(recipe, model) == resolve(parse_recipe(EVERY_KIND, "test", "test"), model)
    assert json.loads((saved / "report.json").read_text())["seed"] == 0


def parse_recipe_of(plain: dict[str, Any]) -> Any:
    """The stored recipe, read as one again."""

    def value(item: Any) -> str:
        if isinstance(item, dict):
            return "{" + ", ".join(f"{key} = {value(one)}" for key, one in item.items()) + "}"
        return json.dumps(item)

    tables = plain["tensors"]
    lines = [f"{key} = {value(item)}" for key, item in plain.items() if key != "tensors"]
    for table in tables:
        lines += ["[[tensors]]", *(f"{key} = {value(item)}" for key, item in table.items())]
    return parse_recipe("\n".join(lines), "stored", "stored")


def test_a_converted_folder_can_be_saved_again(saved: Path, model: Model, tmp_path: Path) -> None:
    saving.save(loading.load(saved), tmp_path / "again", report={})
    assert_same(loading.load(tmp_path / "again"), model)


def test_the_card_keeps_the_licence_and_attribution_of_the_source(tiny_folder: Path, tmp_path: Path) -> None:
    (tiny_folder / "README.md").write_text(
        "---\nlicense: cc-by-4.0\ntags:\n- old\nlanguage:\n- en\n- de\nlibrary_name: transformers\n---\n\nBy A. N.\n"
    )
    (tiny_folder / "LICENSE").write_text("the licence")
    saving.save(quantized(tiny_folder), tmp_path / "out", report={})
    card = (tmp_path / "out" / "README.md").read_text()
    front = card.split("---\n")[1]
    assert "license: cc-by-4.0\n" in front and "language:\n- en\n- de\n" in front
    assert "base_model: tiny\nbase_model_relation: quantized\nlibrary_name: subbyte\n" in front
    assert "- old" not in front and "transformers" not in front
    assert "By A. N." in card and str(tmp_path) not in card
    assert (tmp_path / "out" / "LICENSE").read_text() == "the licence"


@pytest.mark.parametrize(("named", "base"), [("owner/tiny", "owner/tiny"), ("owner/what-it-was-made-from", "tiny")])
def test_the_card_names_the_model_not_what_that_was_trained_from(model: Model, named: str, base: str) -> None:
    renamed = replace(model, config={**model.config, "_name_or_path": named}, folder=Path("tiny"))
    assert base_name(renamed) == base


# --- refusing to write


def test_an_existing_folder_is_only_replaced_by_force(model: Model, out: Path) -> None:
    (out / "note").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        saving.save(model, out, report={})
    assert (out / "note").exists()
    (out / "note").unlink()
    (out / "vocab.json").unlink()  # what is missing is no loss
    saving.save(model, out, report={"of": "the second"}, force=True)
    assert "the second" in (out / "report.json").read_text() and (out / "vocab.json").exists()
    assert_same(loading.load(out), model)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_the_source_is_never_replaced(tiny_folder: Path) -> None:
    model = quantized(tiny_folder, "int8")
    for out in (tiny_folder, tiny_folder.parent, tiny_folder / "..", tiny_folder.parent / "tiny" / "." / ""):
        with pytest.raises(UsageError, match="is the folder of the source model, or one around it"):
            saving.save(model, out, report={}, force=True)
    saving.save(model, tiny_folder / "inside", report={})
    assert open_model(tiny_folder)


def test_what_is_not_a_model_folder_is_not_replaced(model: Model, tmp_path: Path) -> None:
    (tmp_path / "home" / "projects").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for name, message in [
        ("home", "holds what subbyte did not write there: projects;"),
        ("file", "is a file"),
        ("link", "is a link"),
    ]:
        with pytest.raises(UsageError, match=message):
            saving.save(model, tmp_path / name, report={}, force=True)
    (tmp_path / "empty").mkdir()
    saving.save(model, tmp_path / "empty", report={})
    saving.save(model, tmp_path / "new" / "deep" / "out", report={})


def test_float_matrices_are_not_saved(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="still float32"):
        saving.save(open_model(tiny_folder), tmp_path / "out", report={})
    assert not (tmp_path / "out").exists()
