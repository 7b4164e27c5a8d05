"""The texts that an analysis reads: the first of a labelled TSV, or of plain text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from subbyte.errors import UsageError
from subbyte.labelled_text import read_labelled
from subbyte.text_lines import read_lines

FEWEST = 12
DEFAULT = 200
LABELLED = (".tsv", ".tsv.gz")
HALF = 2  # one text of so many gives ranges and sums, the others are judged on


@dataclass(frozen=True)
class Texts:
    """Texts of one sentence or of a pair, and their labels as written; None without any."""

    texts: list[tuple[str, ...]]
    labels: list[str] | None
    path: str

    def seen(self) -> list[tuple[str, ...]]:
        """Those that ranges and sums are from."""
        return self.texts[::HALF]

    def held_out(self) -> Texts:
        """The others."""
        kept = [i for i in range(len(self.texts)) if i % HALF]
        labels = None if self.labels is None else [self.labels[i] for i in kept]
        return Texts([self.texts[i] for i in kept], labels, self.path)


def read_texts(path: str | Path, most: int) -> Texts:
    """The first `most` texts: of a .tsv (.gz too) with a header, or of any other file a text a line.

    In plain text a tab divides a pair, and lines with an empty text are left out. Raises UsageError.
    """
    if most < FEWEST:
        raise UsageError(f"{most} texts are too few; {FEWEST} at least are analyzed")
    if str(path).endswith(LABELLED):
        read = read_labelled(path)
        texts, labels = read.texts[:most], read.labels[:most]
    else:
        pairs = (tuple(line.split("\t", 1)) for line in read_lines(path))
        texts, labels = [*islice((pair for pair in pairs if all(map(str.strip, pair))), most)], None
    if len(texts) < FEWEST:
        raise UsageError(f"{path}: has {len(texts)} texts; {FEWEST} at least are analyzed, and a few hundred are good")
    return Texts(texts, labels, str(path))
