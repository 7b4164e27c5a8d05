"""Labelled texts: tab-separated lines under one header line, one or two sentences and a label each.

There is no quoting: a quotation mark is text, and neither a tab nor a line feed can be in a sentence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from subbyte.errors import UsageError
from subbyte.text.lines import read_lines

LABELS = ("label", "score")  # the first of these that there is
TEXTS = ("sentence", "sentence1", "sentence2", "question", "text", "premise", "hypothesis")
LABELLED = (".tsv", ".tsv.gz")  # how the names of such files end
MOST_ROWS = 1 << 24
LONGEST_LINE = 1 << 20  # characters


@dataclass(frozen=True)
class LabelledText:
    """Texts of one sentence each, or of two each, and their labels as they are written."""

    texts: list[tuple[str, ...]]
    labels: list[str]


def read_labelled(path: str | Path) -> LabelledText:
    """The rows of a .tsv or .tsv.gz file, in their order.

    The label is the column `label`, else `score`; the sentences are the columns of TEXTS that are there, one or two, in
    the header's order. Other columns are not read. Raises UsageError, with the number of the line.
    """
    lines = _lines(path)
    header = next(lines, "").removeprefix("\ufeff").split("\t")
    label, sentences = _columns(header, str(path))
    read = LabelledText([], [])
    for number, line in enumerate(lines, start=2):
        fields = line.split("\t")
        if len(fields) != len(header):
            many = "" if len(fields) == 1 else "s"
            raise UsageError(
                f"{path}: line {number} has {len(fields)} field{many}, the header has {len(header)}; there should be a "
                "tab between fields, no quoting, and none in a text"
            )
        if not fields[label].strip():
            raise UsageError(f"{path}: line {number} has no {header[label]}")
        read.texts.append(tuple(fields[i] for i in sentences))
        read.labels.append(fields[label].strip())
    if not read.texts:
        raise UsageError(f"{path}: has a header and no other line")
    return read


def plain_texts(path: str | Path) -> Iterator[tuple[str, ...]]:
    """The texts of any other file, one a line, a tab between those of a pair."""
    for line in read_lines(path):
        first, tab, second = line.partition("\t")
        yield (first, second) if tab else (first,)


def unlabelled_lines(path: str | Path) -> Iterator[str]:
    """The lines of a text; of a .tsv (.gz too) whose header names a label and texts these alone, a tab between two."""
    if str(path).endswith(LABELLED):
        names = next(read_lines(path), "").removeprefix("\ufeff").split("\t")
        if {*LABELS} & {*names} and {*TEXTS} & {*names}:
            yield from map("\t".join, read_labelled(path).texts)
            return
    yield from read_lines(path)


def class_numbers(labels: list[str], names: list[str], where: str) -> list[int]:
    """The number of each label: its place among `names`, or what it says itself ("1", "LABEL_1"). Raises UsageError."""
    places = {text: i for i, name in enumerate(names) for text in (str(i), f"LABEL_{i}")}
    places |= {name: i for i, name in enumerate(names)}
    for number, label in enumerate(labels, start=2):
        if label not in places:
            raise UsageError(f"{where}: line {number} has the label {label!r}; the model knows {' '.join(names)}")
    return [places[label] for label in labels]


def numbers(labels: list[str], where: str) -> list[float]:
    """Labels that are finite numbers. Raises UsageError."""
    found = []
    for number, label in enumerate(labels, start=2):
        try:
            value = float(label)
        except ValueError:
            value = float("inf")
        if abs(value) > 1e30 or value != value:
            raise UsageError(f"{where}: line {number} has the label {label!r}, should be a number")
        found.append(value)
    return found


def _lines(path: str | Path) -> Iterator[str]:
    for number, line in enumerate(read_lines(path), start=1):
        if number > MOST_ROWS or len(line) > LONGEST_LINE:
            raise UsageError(
                f"{path}: line {number} is too much; {MOST_ROWS:,} lines of {LONGEST_LINE:,} characters are read"
            )
        yield line


def _columns(header: list[str], where: str) -> tuple[int, list[int]]:
    """The place of the label, and those of the sentences."""
    for name in chain(LABELS, TEXTS):
        if header.count(name) > 1:
            raise UsageError(f"{where}: line 1 names the column {name} twice")
    labels = [header.index(name) for name in LABELS if name in header]
    sentences = [i for i, name in enumerate(header) if name in TEXTS]
    if not labels or not 1 <= len(sentences) <= 2:
        raise UsageError(
            f"{where}: line 1 names the columns {' '.join(map(repr, header))}; there should be {' or '.join(LABELS)}, "
            f"and one or two of {' '.join(TEXTS)}"
        )
    return labels[0], sentences
