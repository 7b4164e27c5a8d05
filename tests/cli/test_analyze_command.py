"""`subbyte analyze`"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders.planted_bert import texts
from builders.tiny_bench_bert import tiny_bert_folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert_folder(tmp_path_factory.mktemp("analyze") / "model", num_hidden_layers=1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"{line}\n" for line in texts(12)), "utf-8")
    return path


def test_writes_the_page_and_the_numbers_beside_it_and_prints_what_was_found(run, encoder, data, tmp_path):
    result = run("analyze", encoder, "--data", data, "--out", tmp_path / "report.html", "--threads", 1)
    assert result.code == 0
    assert all("%" in line or "is done" in line for line in result.err.splitlines())  # where it takes long
    document = json.loads((tmp_path / "report.json").read_text("utf-8"))
    command, *sentences = document["findings"]
    assert result.out == f"{command}\n\n" + "".join(f"- {sentence}\n" for sentence in sentences)
    assert command == document["recommended"]["command"] and command.startswith(f"subbyte quantize {encoder} model-")
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "texts.txt"]


def test_json_is_one_document(run, encoder, data):
    result = run("analyze", encoder, "--data", data, "--texts", 12, "--json", "--threads", 1)
    assert result.code == 0 and result.json["texts"] == 12 and len(result.json["points"]) == 16


@pytest.mark.parametrize("there", ["report.html", "report.json"])
def test_replaces_nothing_unasked(run, encoder, data, tmp_path, there):
    (tmp_path / there).write_text("mine")
    arguments = ("analyze", encoder, "--data", data, "--out", tmp_path / "report.html", "--threads", 1)
    result = run(*arguments)
    assert result.code == 1 and f"{there}: already exists" in result.err and "--force" in result.err
    assert (tmp_path / there).read_text() == "mine" and len([*tmp_path.iterdir()]) == 2
    result = run(*arguments, "--force")
    assert result.code == 1 and f"{there}: was not written by this command" in result.err
    assert (tmp_path / there).read_text() == "mine" and len([*tmp_path.iterdir()]) == 2
    (tmp_path / there).unlink()
    for force in ([], ["--force"]):  # its own it replaces
        assert run(*arguments, *force).code == 0


def test_what_is_missing_or_wrong_is_said(run, encoder, data, tmp_path):
    assert run("analyze", encoder, "--data", data).code == 2
    assert run("analyze", encoder, "--out", tmp_path / "a.html").code == 2
    result = run("analyze", encoder, "--data", data, "--out", tmp_path / "a.txt")
    assert result.code == 1 and "should end in .html" in result.err
    result = run("analyze", tmp_path / "none", "--data", data, "--json")
    assert result.code == 1 and "there is no such folder" in result.err
    result = run("analyze", encoder, "--data", tmp_path / "none.txt", "--json")
    assert result.code == 1 and "cannot be read" in result.err
