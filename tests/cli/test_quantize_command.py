"""`subbyte quantize`"""

from __future__ import annotations

import json
import shutil

import pytest

import subbyte
from builders.tiny_marian import edit_json
from subbyte.folders.opening import open_model


def test_prints_the_document_of_inspect(run, floats, tmp_path):
    out = tmp_path / "out"
    result = run("quantize", floats, out, "--recipe", "uniform4", "--json")
    assert result.code == 0 and result.err == ""
    document = result.json
    how = {key: document.pop(key) for key in ("choice", "tried", "agreement", "warnings")}
    assert how["choice"] is None and how["tried"] == how["warnings"] == [] and how["agreement"]["lost"] < 0.02
    assert document == json.loads(run("inspect", out, "--json").out)
    assert {path.name for path in out.iterdir()} >= {"config.json", "model.safetensors", "report.json", "manifest.json"}


def test_prints_sizes_for_people(run, floats, tmp_path):
    result = run("quantize", floats, tmp_path / "out", "--recipe", "int8")
    assert result.code == 0 and "times smaller" in result.out


def test_takes_a_recipe_file(run, floats, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[[tensors]]\nmatch = "*"\nfamily = "logarithmic"\nbits = 3\ngranularity = "row"\n')
    document = run("quantize", floats, tmp_path / "out", "--recipe", recipe, "--json").json
    assert {tensor["bits"] for tensor in document["tensors"] if tensor["role"]} == {3}


@pytest.mark.parametrize("recipe", ["nmt-mixed", "binary1"])
def test_what_it_writes_translates(run, floats, tmp_path, recipe):
    assert run("quantize", floats, tmp_path / "out", "--recipe", recipe).code == 0
    result = run("translate", tmp_path / "out", stdin=b"A dog.\n\nTwo dogs.\n")
    assert result.code == 0 and result.out.count("\n") == 3


def test_frequencies_change_which_words_get_more_bits(run, floats, tmp_path):
    text = tmp_path / "text"
    text.write_text("a dog\tein Hund\nthe men\n", "utf-8")
    run("quantize", floats, tmp_path / "plain", "--recipe", "nmt-mixed")
    result = run("quantize", floats, tmp_path / "counted", "--recipe", "nmt-mixed", "--frequencies", text)
    assert result.code == 0
    plain, counted = (tmp_path / name / "model.safetensors" for name in ("plain", "counted"))
    assert plain.stat().st_size == counted.stat().st_size and plain.read_bytes() != counted.read_bytes()


def test_out_that_exists_is_kept_unless_forced(run, floats, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("precious")
    result = run("quantize", floats, out, "--recipe", "int8")
    assert result.code == 1 and "already exists" in result.err and "--force" in result.err and result.out == ""
    assert (out / "mine").read_text() == "precious"
    result = run("quantize", floats, out, "--recipe", "int8", "--force")
    assert result.code == 1 and "holds what subbyte did not write there: mine;" in result.err
    (out / "mine").unlink()
    for recipe in ("int8", "binary2"):
        assert run("quantize", floats, out, "--recipe", recipe, "--force").code == 0
    assert open_model(out).recipe["name"] == "binary2"


@pytest.mark.parametrize(
    "recipe, sentence",
    [
        ("unifrom4", "there is no recipe 'unifrom4'; did you mean 'uniform4'?"),
        ("none/such.toml", "there is no such recipe file"),
    ],
)
def test_unknown_recipes(run, floats, tmp_path, recipe, sentence):
    result = run("quantize", floats, tmp_path / "out", "--recipe", recipe)
    assert result.code == 1 and sentence in result.err and result.out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_of_a_recipe_gets_a_suggestion(run, floats, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[[tensors]]\nmatch = "*"\nfamily = "uniform"\nbitz = 3\n')
    result = run("quantize", floats, tmp_path / "out", "--recipe", recipe)
    assert result.code == 1 and "'bitz'" in result.err and "did you mean 'bits'" in result.err


def test_a_compressed_model_is_refused(run, compressed, tmp_path):
    result = run("quantize", compressed, tmp_path / "out", "--recipe", "int8")
    assert result.code == 1 and "is compressed already (recipe uniform4)" in result.err


def test_a_folder_that_is_not_a_model(run, tmp_path):
    result = run("quantize", tmp_path, tmp_path / "out", "--recipe", "int8")
    assert result.code == 1 and "is not a model folder: it has no config.json" in result.err


def test_another_architecture_is_refused_by_name(run, tiny_folder, tmp_path):
    edit_json(tiny_folder / "config.json", model_type="t5", architectures=["T5ForConditionalGeneration"])
    result = run("quantize", tiny_folder, tmp_path / "out", "--recipe", "int8")
    assert result.code == 1 and "T5ForConditionalGeneration" in result.err and "supported: Marian" in result.err


@pytest.mark.parametrize("name", ["source.spm", "vocab.json"])
def test_a_missing_tokenizer_file_is_named_before_the_work(run, tiny_folder, tmp_path, name):
    (tiny_folder / name).unlink()
    result = run("quantize", tiny_folder, tmp_path / "out", "--recipe", "int8")
    assert result.code == 1 and name in result.err and "missing" in result.err
    assert not (tmp_path / "out").exists()


def test_a_model_file_that_was_cut_short(run, tiny_folder, tmp_path):
    weights = tiny_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    result = run("quantize", tiny_folder, tmp_path / "out", "--recipe", "int8")
    assert result.code == 1 and "model.safetensors" in result.err and "Traceback" not in result.err


def test_a_full_disk_leaves_nothing(run, floats, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    result = run("quantize", floats, tmp_path / "out", "--recipe", "int8")
    assert result.code == 1 and "No space left on device" in result.err
    assert list(tmp_path.iterdir()) == []


def test_out_may_not_be_the_source(run, floats, tmp_path):
    source = shutil.copytree(floats, tmp_path / "source")
    assert run("quantize", source, source, "--recipe", "int8", "--force").code == 1
    assert subbyte.inspect(source)["average_bits"] > 32


def test_a_result_that_disagrees_is_named_and_written_all_the_same(run, floats, tmp_path, caplog):
    result = run("quantize", floats, tmp_path / "out", "--recipe", "log1", "--json")
    assert result.code == 0 and result.json["parameters"] > 0
    assert f"{tmp_path / 'out'} disagrees with {floats}" in caplog.text


def test_the_comparison_can_have_a_text_or_be_left_out(run, floats, tmp_path, caplog):
    (tmp_path / "text").write_text("a dog\n")
    for name, options in {"text": ["--check", tmp_path / "text"], "none": ["--no-check"]}.items():
        assert run("quantize", floats, tmp_path / f"out-{name}", "--recipe", "log1", *options).code == 0
    found = [
        json.loads((tmp_path / f"out-{name}" / "report.json").read_text())["agreement"] for name in ("text", "none")
    ]
    assert found[0]["lines"] == 1 and found[1] is None and caplog.text.count("disagrees with") == 1
    result = run("quantize", floats, tmp_path / "out", "--recipe", "log1", "--no-check", "--check", tmp_path / "text")
    assert result.code == 2 and "exclude each other" in result.err


@pytest.mark.parametrize(
    "budget, sentence",
    [
        ("3 parsecs", "budget is '3 parsecs', should be like 2.6bits (of each weight) or 3MB; units: B kB MB"),
        ("1bits", "but the weights of this model take"),
    ],
)
def test_budgets_that_cannot_be(run, floats, tmp_path, budget, sentence):
    text = tmp_path / "text"
    text.write_text("a dog\n" * 20)
    result = run("quantize", floats, tmp_path / "out", "--budget", budget, "--calibration", text)
    assert result.code == 1 and sentence in result.err and result.out == "" and not (tmp_path / "out").exists()
