"""A fault in the middle of a text: what was read before it is answered and written, then the sentence comes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

import subbyte
from builders.encoder_folders import classifier_folder, sentence_folder

GOOD = 40  # lines before the one at fault: one batch and a part of the next
LINES = [f"a dog {'runs ' * (i % 7)}." for i in range(GOOD)]
TEXT = "".join(f"{line}\n" for line in LINES).encode()
BAD = b"M\xe4nner\n" + TEXT
COMMANDS = ["translate", "translate --split", "translate --document", "encode", "classify"]


@pytest.fixture(scope="module")
def folders(compressed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("folders")
    encoder = sentence_folder(folder / "encoder", num_hidden_layers=1)
    return {
        "translate": compressed, "encode": encoder,
        "classify": classifier_folder(folder / "classifier", num_hidden_layers=1),
    }  # fmt: skip


def command_of(name: str, folders: dict[str, Path], *more: Any) -> list[Any]:
    command, *options = name.split()
    return [command, folders[command], *more, *options]


@pytest.mark.parametrize("form", ["stdin", "file", "packed"])
@pytest.mark.parametrize("name", COMMANDS)
def test_lines_before_one_that_is_not_utf_8_are_written(run, folders, tmp_path, name, form):
    (tmp_path / "text").write_bytes(TEXT + BAD)
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEXT + BAD))
    given = {"stdin": ([], TEXT + BAD), "file": ([tmp_path / "text"], b""), "packed": ([tmp_path / "text.gz"], b"")}
    more, stdin = given[form]
    result = run(*command_of(name, folders, *more), stdin=stdin)
    assert result.code == 1 and result.err.count("\n") == 1
    where = "stdin" if form == "stdin" else str(more[0])
    assert f"subbyte: {where}: line {GOOD + 1} is not UTF-8" in result.err
    expected = run(*command_of(name, folders), stdin=TEXT)
    assert expected.code == 0 and expected.out.count("\n") == GOOD and result.out == expected.out
    document = run(*command_of(name, folders, *more), "--json", stdin=stdin)
    assert document.code == 1 and document.out == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_lines_before_a_break_in_a_packed_file_are_written(run, folders, tmp_path, name):
    text = "".join(f"a dog {i * 7919 % 1009} .\n" for i in range(400)).encode()
    packed = gzip.compress(text)
    (tmp_path / "text.gz").write_bytes(packed[: len(packed) // 2])
    result = run(*command_of(name, folders, tmp_path / "text.gz"))
    assert result.code == 1 and "text.gz: cannot be read: Compressed file ended" in result.err
    whole = run(*command_of(name, folders), stdin=text)
    assert result.out.count("\n") > 32 and whole.out.startswith(result.out)


@pytest.mark.parametrize("name", COMMANDS)
def test_lines_before_one_that_the_model_cannot_read_are_written(run, folders, monkeypatch, name):
    """For instance a tokenizer that fails."""
    fault = subbyte.ModelError("the model's tokenizer fails")

    def one_at_a_time(self: Any, text: str, *more: Any) -> Any:
        if "Fault" in text:
            raise fault
        return marian(self, text, *more)

    def in_batches(self: Any, texts: Any) -> Any:
        if any("Fault" in part for text in texts for part in text):
            raise fault
        return bert(self, texts)

    from subbyte.text.encoder_tokenizer import EncoderTokenizer
    from subbyte.text.marian_tokenizer import MarianTokenizer

    marian, bert = MarianTokenizer.encode, EncoderTokenizer.encode
    expected = run(*command_of(name, folders), stdin=TEXT)
    monkeypatch.setattr(MarianTokenizer, "encode", one_at_a_time)
    monkeypatch.setattr(EncoderTokenizer, "encode", in_batches)
    result = run(*command_of(name, folders), stdin=TEXT + b"a dog. Fault.\n" + TEXT)
    assert result.code == 1 and result.err == f"subbyte: {fault}\n" and result.out == expected.out


@pytest.mark.parametrize("at_fault", ["source", "target", "both", "too long"])
def test_pairs_before_a_fault_are_scored(run, compressed, tmp_path, at_fault):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(TEXT + (BAD if at_fault in ("source", "both") else TEXT))
    target.write_bytes(TEXT + (BAD if at_fault in ("target", "both") else b"dog " * 500 + b"\n" + TEXT[:-20]))
    if at_fault == "too long":
        target.write_bytes(TEXT + b"dog " * 500 + b"\n" + TEXT)
        source.write_bytes(TEXT + b"dog\n" + TEXT)
    result = run("score", compressed, source, target)
    (tmp_path / "whole").write_bytes(TEXT)
    expected = run("score", compressed, tmp_path / "whole", tmp_path / "whole").out
    assert result.code == 1 and result.out == expected and expected.count("\n") == GOOD
    sentence = f"target {GOOD + 1} has" if at_fault == "too long" else f"line {GOOD + 1} is not UTF-8"
    assert sentence in result.err and result.err.count("\n") == 1
    document = run("score", compressed, source, target, "--json")
    assert document.code == 1 and document.out == ""


def test_vectors_for_a_file_are_all_there_or_none(run, folders, tmp_path):
    result = run("encode", folders["encode"], "--out", tmp_path / "v.npy", stdin=TEXT + BAD)
    assert result.code == 1 and "line 41 is not UTF-8" in result.err and [*tmp_path.iterdir()] == []
