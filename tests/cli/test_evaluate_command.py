"""`subbyte evaluate`"""

from __future__ import annotations

import pytest

import subbyte

KEYS = "task metrics examples seconds tokens_per_second peak_rss_bytes isa threads activations model".split()
SOURCES = ["A dog runs.", "Two men are here."]


@pytest.fixture
def pair(tmp_path, compressed):
    """A source file, and as its reference what the model itself makes of it."""
    source, reference = tmp_path / "source", tmp_path / "reference"
    source.write_text("".join(f"{line}\n" for line in SOURCES))
    translations = subbyte.Translator.from_pretrained(compressed).translate(SOURCES)
    reference.write_text("".join(f"{line}\n" for line in translations), "utf-8")
    return ["--source", source, "--reference", reference]


def test_a_model_agrees_with_itself(run, compressed, pair):
    document = run("evaluate", compressed, *pair, "--json", "--task", "translation", "--threads", 1).json
    assert [*document] == KEYS
    assert document["metrics"]["chrf"] == pytest.approx(100)
    assert document["metrics"]["bleu_signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert (document["task"], document["examples"], document["threads"]) == ("translation", 2, 1)
    assert document["activations"] == "int8" and document["model"] == str(compressed)


def test_prints_scores_for_people(run, compressed, pair):
    result = run("evaluate", compressed, *pair, "--activations", "float32", "--batch-size", 1, "--beam-size", 2)
    assert result.code == 0 and "BLEU" in result.out and "chrF" in result.out and "float32 activations" in result.out


def test_files_of_different_length_are_refused(run, compressed, pair, tmp_path):
    with (tmp_path / "reference").open("a") as file:
        file.write("one more\n")
    result = run("evaluate", compressed, *pair)
    assert result.code == 1 and "source has 2 lines" in result.err and "reference has 3" in result.err
