"""The texts that an analysis reads: the first of a labelled TSV, or of plain text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from subbyte.errors import UsageError
from subbyte.text.labelled import LABELLED, plain_texts, read_labelled

FEWEST = 12
DEFAULT = 200
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

    In plain text a tab divides a pair, and lines with an empty text are left out. A text that was there before is, too:
    what is calibrated on is not to be judged on, and saying it twice makes nothing surer. Raises UsageError.
    """
    if most < FEWEST:
        raise UsageError(f"{most} texts are too few; {FEWEST} at least are analyzed")
    pairs: Iterable[tuple[tuple[str, ...], str | None]]
    if str(path).endswith(LABELLED):
        read = read_labelled(path)
        pairs = zip(read.texts, read.labels, strict=True)
    else:
        pairs = ((text, None) for text in plain_texts(path) if all(map(str.strip, text)))
    kept: dict[tuple[str, ...], str | None] = {}
    for text, label in pairs:
        kept.setdefault(text, label)
        if len(kept) == most:
            break
    texts = [*kept]
    labels = [label for label in kept.values() if label is not None] or None
    if len(texts) < FEWEST:
        raise UsageError(
            f"{path}: has {len(texts)} different texts; {FEWEST} at least are analyzed, and a few hundred are good"
        )
    return Texts(texts, labels, str(path))
