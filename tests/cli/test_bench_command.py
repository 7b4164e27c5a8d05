"""`subbyte bench`"""

from __future__ import annotations

import pytest

KEYS = "engine version precision batch_size beam_size sequence_length median_seconds p25_seconds p75_seconds".split()
KEYS += "tokens_per_second bytes_on_disk peak_rss_bytes".split()
SMALL = ["--sentences", 2, "--rounds", 1, "--batch-sizes", "1,2", "--beam-sizes", 1, "--tokens", 3]


def test_prints_one_document(run, compressed, caplog):
    result = run("bench", compressed, *SMALL, "--json", "--isa", "reference", "--activations", "float32")
    assert result.code == 0 and [*result.json] == ["cpu", "threads", "runs"]
    assert [[*one][: len(KEYS)] for one in result.json["runs"]] == 4 * [KEYS]
    first = result.json["runs"][0]
    assert (first["engine"], first["precision"], first["sequence_length"]) == ("subbyte", "uniform4", 3)
    assert first["details"] == {"isa": "reference", "activations": "float32"}
    assert "English sentences over and over" in caplog.text


def test_prints_tables_for_people_and_draws(run, floats, tmp_path):
    (tmp_path / "text").write_text("A dog runs.\nTwo men are here.\n")
    result = run(
        "bench", floats, *SMALL, "--recipes", "int8, binary2", "--text", tmp_path / "text", "--plot", tmp_path / "a.svg"
    )
    assert result.code == 0 and result.err == ""
    assert "### batch 2, beam 1, 3 tokens each" in result.out and "| subbyte binary2" in result.out
    assert (tmp_path / "a.svg").read_text().startswith("<svg ")
    again = run("bench", floats, *SMALL, "--plot", tmp_path / "a.svg")
    assert again.code == 1 and "a.svg: is there already" in again.err


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_rivals_for_encoders_are_refused_for_translation(run, floats, name):
    pytest.importorskip(name, reason="the extra `bench` has it")
    result = run("bench", floats, "--against", name)
    assert result.code == 1 and f"{name} is measured with encoders only" in result.err and result.out == ""


@pytest.mark.parametrize("name", ["abacus", "subbyte"])
def test_unknown_rivals_are_refused(run, floats, name):
    result = run("bench", floats, "--against", f"torch,{name}")
    assert result.code == 1 and f"{name!r} is no rival to measure against; known are torch, " in result.err


def test_recipes_need_the_float_model(run, compressed):
    result = run("bench", compressed, "--recipes", "int8")
    assert result.code == 1 and "name that with --source-model FOLDER" in result.err


def test_what_a_worker_refuses_is_said(run, compressed):
    result = run("bench", compressed, *SMALL, "--isa", "abacus")
    assert result.code == 1 and "subbyte uniform4: its worker process ended" in result.err and "abacus" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch-sizes", "1;2"],
        ["--beam-sizes", "0"],
        ["--batch-sizes", ","],
        ["--plot", "a.png"],
        ["--rounds", 0],
        ["--sequence-lengths", "x"],
    ],
)
def test_wrong_usage(run, floats, arguments):
    result = run("bench", floats, *arguments)
    assert result.code == 2 and "Error: " in result.err
