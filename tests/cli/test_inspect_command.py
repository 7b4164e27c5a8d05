"""`subbyte inspect`"""

from __future__ import annotations

import shutil


def test_shows_every_matrix_and_the_kernels(run, compressed):
    result = run("inspect", compressed)
    assert result.code == 0 and result.err == ""
    assert result.out.count("self_attn") == 12 and "runs on " in result.out
    assert '1  uniform  row        uniform4, [[tensors]] 1: match = "*"' in result.out
    assert max(len(line) for line in result.out.splitlines() if line.startswith("model.")) <= 100


def test_shows_a_float_folder(run, floats):
    result = run("inspect", floats)
    assert result.code == 0 and "float32" in result.out


def test_json_is_one_document(run, compressed):
    assert run("inspect", compressed, "--json").json["architecture"] == "MarianMTModel"


def test_verify_says_how_many_files_are_whole(run, compressed):
    result = run("inspect", compressed, "--verify", "--json")
    assert result.code == 0 and "files are as they were written" in result.err
    assert result.json["parameters"] > 0


def test_verify_names_a_file_that_was_altered(run, compressed, tmp_path):
    folder = shutil.copytree(compressed, tmp_path / "altered")
    with (folder / "vocab.json").open("a") as file:
        file.write(" ")
    assert run("inspect", folder).code == 0
    result = run("inspect", folder, "--verify")
    assert result.code == 1 and "vocab.json" in result.err and result.out == ""


def test_a_file_that_was_cut_short(run, compressed, tmp_path):
    folder = shutil.copytree(compressed, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    result = run("inspect", folder)
    assert result.code == 1 and "model.safetensors" in result.err and "Traceback" not in result.err


def test_a_folder_that_is_not_there(run, tmp_path):
    result = run("inspect", tmp_path / "none")
    assert result.code == 1 and "there is no such folder" in result.err
