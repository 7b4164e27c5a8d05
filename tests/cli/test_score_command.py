"""`subbyte score`: how likely given translations are."""

from __future__ import annotations

import pytest

import subbyte

SOURCES = ["A dog runs.", "", "Two men are here."]


@pytest.fixture
def pair(tmp_path, compressed):
    """A source file, and what the model itself makes of it."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("".join(f"{line}\n" for line in SOURCES))
    target.write_text(
        "".join(f"{line}\n" for line in subbyte.Translator.from_pretrained(compressed).translate(SOURCES))
    )
    return source, target


def scores(folder, pair, **options):
    return subbyte.Translator.from_pretrained(folder).score(*(p.read_text().split("\n")[:-1] for p in pair), **options)


def test_a_line_each(run, compressed, pair):
    result = run("score", compressed, *pair)
    assert result.code == 0 and result.err == ""
    assert result.out == "".join(f"{score:.4f}\n" for score in scores(compressed, pair))
    assert result.out.split("\n")[1] == "0.0000"


def test_batches_threads_and_instruction_sets_change_nothing(run, compressed, pair):
    expected = run("score", compressed, *pair).out
    for options in (["--batch-size", 1], ["--threads", 2], ["--isa", "reference"]):
        assert run("score", compressed, *pair, *options).out == expected
    assert run("score", compressed, *pair, "--activations", "float32").out != expected


def test_normalized_is_a_token(run, compressed, pair):
    out = run("score", compressed, *pair, "--normalize").out
    assert out == "".join(f"{score:.4f}\n" for score in scores(compressed, pair, normalize=True))


def test_json_is_one_document(run, floats, pair):
    document = run("score", floats, *pair, "--json").json
    assert document["model"] == str(floats)
    assert [one["source"] for one in document["scores"]] == SOURCES
    assert [[*one] for one in document["scores"]] == [["source", "target", "score", "tokens"]] * 3
    first, empty, _ = run("score", floats, *pair, "--json", "--tokens").json["scores"]
    assert empty["tokens"] == 0 and empty["token_scores"] == []
    assert len(first["token_scores"]) == first["tokens"] and first["token_scores"][-1]["token"] == "</s>"
    assert sum(one["score"] for one in first["token_scores"]) == pytest.approx(first["score"])


def test_files_of_different_length_are_refused(run, compressed, pair):
    with pair[1].open("a") as file:
        file.write("one more\n")
    result = run("score", compressed, *pair)
    assert result.code == 1 and "has 3 lines and" in result.err and "has 4; line i" in result.err


def test_tokens_are_for_the_document(run, compressed, pair):
    result = run("score", compressed, *pair, "--tokens")
    assert result.code == 2 and "add --json" in result.err


def test_a_target_that_is_too_long_is_named(run, compressed, pair):
    pair[1].write_text("\n\n" + "hund " * 100 + "\n")
    result = run("score", compressed, *pair)
    assert result.code == 1 and "target 3 has" in result.err and "the model writes at most 64" in result.err
