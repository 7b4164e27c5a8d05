"""`subbyte encode`"""

from __future__ import annotations

import json

import numpy as np
import pytest

import subbyte
from builders.encoder_folders import LINES, classifier_folder, sentence_folder

TEXT = "".join(f"{line}\n" for line in LINES).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sentence_folder(tmp_path_factory.mktemp("encode") / "m")


@pytest.fixture(scope="module")
def vectors(folder):
    return subbyte.Encoder.from_pretrained(folder, threads=1).encode(LINES)


def test_a_list_each_line(run, folder, vectors, tmp_path):
    (tmp_path / "text").write_bytes(TEXT)
    for result in (run("encode", folder, tmp_path / "text"), run("encode", folder, stdin=TEXT)):
        assert result.code == 0 and result.err == ""
        found = np.array([json.loads(line) for line in result.out.split("\n")[:-1]])
        assert np.array_equal(found.astype(np.float32), vectors)  # to the bit
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_a_npy_file(run, folder, vectors, tmp_path):
    out = tmp_path / "v.npy"
    result = run("encode", folder, "--out", out, "--batch-size", 1, "--threads", 1, stdin=TEXT)
    assert (result.code, result.out) == (0, "")
    found = np.load(out)
    assert found.dtype == np.float32 and np.array_equal(found, vectors)
    result = run("encode", folder, "--out", out, stdin=TEXT)
    assert result.code == 1 and "already exists" in result.err
    assert run("encode", folder, "--out", out, "--force", "--no-normalize", stdin=TEXT).code == 0
    lengths = np.linalg.norm(np.load(out), axis=1)
    assert not np.allclose(lengths, 1)
    np.testing.assert_allclose(np.load(out) / lengths[:, None], vectors, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]  # nothing else is left


def test_no_lines_are_no_vectors(run, folder, tmp_path):
    assert run("encode", folder).out == ""
    assert run("encode", folder, "--out", tmp_path / "v.npy").code == 0
    assert np.load(tmp_path / "v.npy").shape == (0, 32)


def test_json_is_one_document(run, folder, vectors):
    document = run("encode", folder, "--json", stdin=TEXT).json
    assert [*document] == ["model", "vectors"] and document["model"] == str(folder)
    assert np.array_equal(np.array(document["vectors"], np.float32), vectors)


def test_prompts_and_fewer_values(run, folder, tmp_path):
    (tmp_path / "m").mkdir()
    for path in folder.rglob("*"):
        if path.is_file():
            (tmp_path / "m" / path.relative_to(folder)).parent.mkdir(exist_ok=True)
            (tmp_path / "m" / path.relative_to(folder)).write_bytes(path.read_bytes())
    settings = {"prompts": {"query": "the cat "}, "default_prompt_name": "query"}
    (tmp_path / "m" / "config_sentence_transformers.json").write_text(json.dumps(settings))
    encoder = subbyte.Encoder.from_pretrained(tmp_path / "m", threads=1)
    for options, asked in (
        ([], {}),
        (["--prompt", ""], {"prompt": ""}),
        (["--prompt-name", "document"], {"prompt_name": "document"}),
        (["--truncate-dim", 5], {"truncate_dim": 5}),
        (["--truncate-dim", 5, "--normalize"], {"truncate_dim": 5, "normalize_embeddings": True}),
    ):
        found = [json.loads(line) for line in run("encode", tmp_path / "m", *options, stdin=TEXT).out.splitlines()]
        assert np.array_equal(np.array(found, np.float32), encoder.encode(LINES, **asked))
    assert run("encode", tmp_path / "m", "--truncate-dim", 0).code == 2
    assert "no prompt named 'x'" in run("encode", tmp_path / "m", "--prompt-name", "x", stdin=TEXT).err
    assert run("encode", tmp_path / "m", "--truncate-dim", 5, "--out", tmp_path / "v.npy").code == 0
    assert np.load(tmp_path / "v.npy").shape == (0, 5)


def test_settings_change_nothing_but_rounding(run, folder, tmp_path):
    subbyte.quantize(folder, tmp_path / "q", "int8")
    expected = run("encode", tmp_path / "q", stdin=TEXT).out
    for options in (["--batch-size", 3], ["--threads", 2], ["--isa", "reference"]):
        assert run("encode", tmp_path / "q", *options, stdin=TEXT).out == expected
    assert run("encode", tmp_path / "q", "--activations", "float32", stdin=TEXT).out != expected


def test_what_cannot_be_is_refused(run, folder, floats, tmp_path):
    for out in ("v.txt", "v"):
        assert run("encode", folder, "--out", tmp_path / out).code == 2
    assert run("encode", folder, "--out", tmp_path / "v.npy", "--json").code == 2
    assert run("encode", folder, "--activations", "int4").code == 2
    result = run("encode", floats)
    assert result.code == 1 and "is a MarianMTModel, which translates; this needs an encoder" in result.err
    result = run("encode", tmp_path / "nothing")
    assert result.code == 1 and "nothing" in result.err
    result = run("encode", folder, "--out", tmp_path / "none" / "v.npy", stdin=TEXT)
    assert result.code == 1 and "cannot be written" in result.err
    result = run("encode", folder, stdin=b"\xff\n")
    assert result.code == 1 and "line 1 is not UTF-8" in result.err


def test_a_file_is_there_whole_or_not_at_all(run, folder, tmp_path):
    result = run("encode", folder, "--out", tmp_path / "v.npy", stdin=TEXT * 20 + b"\xff\n")
    assert result.code == 1 and [*tmp_path.iterdir()] == []


def test_a_classifier_makes_vectors_too_but_no_encoder_labels(run, folder, tmp_path):
    assert run("encode", classifier_folder(tmp_path / "c"), stdin=TEXT).out.count("\n") == len(LINES)
    result = run("classify", folder, stdin=TEXT)
    assert result.code == 1 and "is an encoder without a classifier" in result.err
    result = run("translate", folder, stdin=TEXT)
    assert result.code == 1 and "Traceback" not in result.err
