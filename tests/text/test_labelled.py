"""Labelled texts: which columns are read, and faults by the number of their line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from subbyte.errors import UsageError
from subbyte.text import labelled
from subbyte.text.labelled import LabelledText, class_numbers, numbers, read_labelled, unlabelled_lines

FILES = {
    "sst2": ("label\tsentence\n0\tno wit\n1\tfun", [("no wit",), ("fun",)], ["0", "1"]),
    "cola": ('label\tsentence\tsource\n1\tA "b.\tgj04\n', [('A "b.',)], ["1"]),
    "stsb": ("score\tsentence1\tsentence2\tgenre\n5.000\ta\tb\tnews\n", [("a", "b")], ["5.000"]),
    "sick": ("label\trelatedness\tsentence1\tsentence2\r\nNEUTRAL\t4.5\ta\t\r\n", [("a", "")], ["NEUTRAL"]),
    "qnli": ("label\tquestion\tsentence\nentailment\tq\ts\n", [("q", "s")], ["entailment"]),
    "order": ("\ufeffhypothesis\tlabel\tpremise\nh\t1 \tp\n", [("h", "p")], ["1"]),
    "both": ("score\tlabel\ttext\n0.5\t1\tt\n", [("t",)], ["1"]),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_columns_are_found_by_name(tmp_path: Path, name: str, packed: bool) -> None:
    content, texts, labels = FILES[name]
    path = tmp_path / ("a.tsv.gz" if packed else "a.tsv")
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    assert read_labelled(path) == LabelledText(texts, labels)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "line 1 names the columns ''; there should be label or score, and one or two of sentence "),
        ("label\tsource\n", "line 1 names the columns 'label' 'source'"),
        ("sentence\n", "line 1 names the columns 'sentence'"),
        ("label\tsentence\ttext\tquestion\n", "one or two of"),
        ("label\tsentence\tsentence\n", "line 1 names the column sentence twice"),
        ("label\tsentence\n", "has a header and no other line"),
        ("label\tsentence\n1\ta\n1\n", "line 3 has 1 field, the header has 2"),
        ("label\tsentence\n1\ta\tb\n", "line 2 has 3 fields, the header has 2"),
        ("label\tsentence\n\n", "line 2 has 1 field"),
        ("label\tsentence\n1\ta\n \tb\n", "line 3 has no label"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_labelled(path)


@pytest.mark.parametrize("limit, most", [("MOST_ROWS", 2), ("LONGEST_LINE", 14)])
def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("label\tsentence\n1\ta\n1\tlong long long\n")
    monkeypatch.setattr(labelled, limit, most)
    with pytest.raises(UsageError, match="line 3 is too much"):
        read_labelled(path)


def test_labels_are_names_or_numbers_of_classes() -> None:
    assert class_numbers(["yes", "0", "LABEL_1"], ["no", "yes"], "a.tsv") == [1, 0, 1]
    assert class_numbers(["0", "1"], ["1", "0"], "a.tsv") == [1, 0]  # a name goes first
    with pytest.raises(UsageError, match=r"a\.tsv: line 3 has the label '2'; the model knows no yes"):
        class_numbers(["yes", "2"], ["no", "yes"], "a.tsv")


def test_labels_of_regression_are_finite_numbers() -> None:
    assert numbers(["5.000", "-1"], "a.tsv") == [5.0, -1.0]
    for label in ("nan", "inf", "x", "1e99"):
        with pytest.raises(UsageError, match=f"a.tsv: line 3 has the label '{label}', should be a number"):
            numbers(["1", label], "a.tsv")


def test_a_labelled_text_that_is_calibrated_on_is_its_texts_and_no_label(tmp_path):
    """`analyze --data train.tsv` recommends `quantize --calibration train.tsv`."""
    labelled, pairs = tmp_path / "a.tsv", tmp_path / "b.tsv"
    labelled.write_text("score\tsentence1\tsentence2\tgenre\n5.000\ta plane\tb\tnews\n", "utf-8")
    pairs.write_text("a plane\tb\n", "utf-8")
    assert [*unlabelled_lines(labelled)] == [*unlabelled_lines(pairs)] == ["a plane\tb"]
    assert [*unlabelled_lines(labelled.rename(tmp_path / "a.txt"))][1] == "5.000\ta plane\tb\tnews"
