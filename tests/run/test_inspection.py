"""The document of `inspect`: every number recomputed from files and shapes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from safetensors.numpy import load_file

import subbyte
from builders.tiny_marian import edit_json, tiny_marian_folder
from subbyte.folders.opening import open_model
from subbyte.numbers.matrices import dequantize
from subbyte.run.translation_engine import Engine

KEYS = ["architecture", "parameters", "bytes_on_disk", "bytes_float32", "compression", "average_bits"]
KEYS += ["resident_weight_bytes", "tensors", "kernels", "answers", "weights_bytes", "folder_bytes", "folder_bits"]
TENSOR_KEYS = ["name", "role", "shape", "scheme", "bits", "granularity", "bytes", "sqnr_db", "rule"]


@pytest.mark.parametrize("recipe", ["uniform4", "nmt-mixed", "int8", "log1"])
def test_a_compressed_folder(tiny_folder, tmp_path, recipe):
    subbyte.quantize(tiny_folder, tmp_path / "out", recipe)
    document = subbyte.inspect(tmp_path / "out")
    assert [*document] == KEYS and all([*tensor] == TENSOR_KEYS for tensor in document["tensors"])
    source = open_model(tiny_folder)
    weights = (tmp_path / "out" / "model.safetensors").stat().st_size
    parameters = sum(np.prod(tensor.shape) for tensor in source.tensors.values())
    assert document["parameters"] == parameters
    assert parameters == sum(tensor.size for tensor in load_file(tiny_folder / "model.safetensors").values())
    assert document["bytes_float32"] == 4 * parameters
    assert document["compression"] == 4 * parameters / weights
    assert document["average_bits"] == pytest.approx(32 / document["compression"])
    files = [path.stat().st_size for path in (tmp_path / "out").iterdir() if path.name != "README.md"]
    assert document["bytes_on_disk"] == sum(files)
    whole = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert (document["weights_bytes"], document["folder_bytes"]) == (weights, whole)
    assert document["folder_bits"] == 8 * whole / parameters
    model = open_model(tmp_path / "out")
    assert document["resident_weight_bytes"] == Engine(model).weight_bytes
    assert sum(tensor["bytes"] for tensor in document["tensors"]) <= weights
    for tensor in document["tensors"]:
        if tensor["role"] is None:
            assert (tensor["scheme"], tensor["bits"], tensor["sqnr_db"]) == ("float32", 32, None)
            continue
        w, packed = source.tensors[tensor["name"]], model.tensors[tensor["name"]]
        error = 10 * math.log10((w**2).sum() / ((w - dequantize(packed)) ** 2).sum())
        assert tensor["sqnr_db"] == pytest.approx(error, abs=0.01)
        assert tensor["bytes"] >= tensor["bits"] * w.size / 8


def test_bits_of_row_clusters_are_their_mean(tiny_folder, tmp_path):
    document = subbyte.quantize(tiny_folder, tmp_path / "out", "nmt-mixed")
    embedding = document["tensors"][0]
    blocks = open_model(tmp_path / "out").tensors[embedding["name"]].blocks
    rows = [block.codes.shape[1] for block in blocks]
    assert embedding["bits"] == pytest.approx(np.average([4, 3, 2, 1], weights=rows))
    assert embedding["granularity"] == "row, 4 clusters"
    assert [path["bits"] for path in document["kernels"]["paths"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("dtype, bits", [("float32", 32), ("float16", 16)])
def test_a_float_folder(tmp_path, dtype, bits):
    document = subbyte.inspect(tiny_marian_folder(tmp_path / "tiny", dtype=dtype))
    assert bits < document["average_bits"] < 1.2 * bits
    assert {tensor["scheme"] for tensor in document["tensors"]} == {dtype}
    assert all(tensor["bytes"] == np.prod(tensor["shape"]) * bits // 8 for tensor in document["tensors"])
    assert [path["bits"] for path in document["kernels"]["paths"]] == [32]


def test_the_report_is_not_trusted(tiny_folder, tmp_path):
    subbyte.quantize(tiny_folder, tmp_path / "out", "int8")
    name = subbyte.inspect(tmp_path / "out")["tensors"][0]["name"]
    edit_json(tmp_path / "out" / "report.json", tensors={name: {"sqnr_db": "loud"}})
    with pytest.raises(subbyte.FormatError, match=r"sqnr_db of .* is 'loud', should be a number"):
        subbyte.inspect(tmp_path / "out")
    edit_json(tmp_path / "out" / "report.json", tensors={name: {"rule": 3}})
    with pytest.raises(subbyte.FormatError, match=r"rule of .* is 3, should be text"):
        subbyte.inspect(tmp_path / "out")
    (tmp_path / "out" / "report.json").unlink()
    for tensor in subbyte.inspect(tmp_path / "out")["tensors"]:
        assert tensor["sqnr_db"] is tensor["rule"] is None


def test_the_rule_that_chose_a_scheme_is_said(tiny_folder, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        '[[tensors]]\nmatch = "*"\nfamily = "uniform"\nbits = 4\n'
        '[[tensors]]\nmatch = ["*.fc1.*", "*.fc2.*"]\nstack = "decoder"\nlayer = 0\nfamily = "uniform"\nbits = 8\n'
    )
    document = subbyte.quantize(tiny_folder, tmp_path / "out", recipe)
    for tensor in document["tensors"]:
        rule = 'mine, [[tensors]] 1: match = "*"'
        if "decoder.layers.0.fc" in tensor["name"]:
            rule = 'mine, [[tensors]] 2: match = ["*.fc1.*", "*.fc2.*"], stack = "decoder", layer = 0'
        assert tensor["rule"] == (rule if tensor["role"] else None)


def test_a_long_rule_is_cut_and_a_budget_is_the_reason_itself(tiny_folder, tmp_path):
    names = [tensor["name"] for tensor in subbyte.inspect(tiny_folder)["tensors"] if tensor["role"]]
    recipe = tmp_path / "long.toml"
    recipe.write_text(f'[[tensors]]\nmatch = {json.dumps(names)}\nfamily = "uniform"\nbits = 4\n')
    assert len(subbyte.quantize(tiny_folder, tmp_path / "long", recipe)["tensors"][0]["rule"]) == 123
    text = tmp_path / "text"
    text.write_text("a dog runs .\n" * 60)
    found = subbyte.quantize(tiny_folder, tmp_path / "found", budget="8bits", calibration=text)
    assert {tensor["rule"] for tensor in found["tensors"] if tensor["role"]} == {"--budget 8bits"}


def test_the_document_is_json(tiny_folder):
    json.dumps(subbyte.inspect(tiny_folder), allow_nan=False)
