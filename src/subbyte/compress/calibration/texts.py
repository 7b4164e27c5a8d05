"""Which texts `quantize` rounds for and compares on: those that were given, or those that ship in its language."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from subbyte.compress.calibration import shipped_text
from subbyte.errors import UsageError
from subbyte.text.labelled import unlabelled_lines
from subbyte.text.lines import read_lines

CHECKED = 128  # lines that presets are compared on where one is to be chosen, at most
LOOKED_AT = 48  # and where somebody named one
HELD_OUT = 5  # one of so many lines of a calibration text is kept for the comparison, where a preset is chosen on it
ENOUGH_TOKENS = 10_000  # of a calibration text; more is not read, because it changes nothing that can be measured
FEWEST = 16  # texts, or sentences, to calibrate on
FILE_PAIR = re.compile(r"\.([a-z]{2,3}?)([a-z]{2})\.")  # as in vocab.enpt.spm
FOLDER_PAIR = re.compile(r"-([a-z]{2,3})-[a-z]{2,3}$")  # as in opus-mt-en-de

T = TypeVar("T")


@dataclass(frozen=True)
class Texts:
    """Lines, with a tab between those of a pair; and the names of what they are from, for the record.

    calibration  None: weights go to the nearest level
    check        none of them calibrated on; empty where there is no text in the model's language
    """

    calibration: tuple[str, ...] | None
    check: tuple[str, ...]
    calibration_name: str | None
    check_name: str | None


def texts_for_named(
    calibration: str | Path | None,
    check: str | Path | None,
    frequencies: str | Path | None,
    languages: Sequence[str],
    *,
    shipped: bool = False,
) -> Texts:
    """For a recipe that was named: calibrated is on the text that was given, or if `shipped` on what ships without one.

    Compared is on `check`, else on what ships in the languages of the model, else on the first lines of the others.
    """
    lines: tuple[str, ...] | None = None
    calibrated: str | None = None
    if shipped:
        lines, calibrated = tuple(shipped_text.calibration_lines(languages)) or None, _named(languages)
    if calibration is not None:
        lines, calibrated = tuple(unlabelled_lines(calibration)), Path(calibration).name
    kept, name = _check(check, languages, LOOKED_AT)
    if not kept and calibration is not None:
        kept, name = _first(lines or (), LOOKED_AT), Path(calibration).name
    if not kept and frequencies is not None:  # a line without a tab may be of either language
        pairs = (line.partition("\t") for line in read_lines(frequencies))
        kept = _first((source for source, tab, _ in pairs if tab), LOOKED_AT)
        name = Path(frequencies).name
    return Texts(lines, tuple(kept), calibrated, name if kept else None)


def texts_to_choose_on(calibration: str | Path | None, check: str | Path | None, languages: Sequence[str]) -> Texts:
    """For a preset that is to be chosen: what ships, and of a text that was given four lines of five with it.

    The fifth line is compared on, and so is what ships for that: an answer has to be kept on both.
    """
    ours, checked = shipped_text.calibration_lines(languages), shipped_text.check_lines(languages)
    shipped = _named(languages)
    if calibration is None:
        kept, name = _check(check, languages, CHECKED)
        return Texts(tuple(ours) or None, tuple(kept), shipped, name)
    lines = [*unlabelled_lines(calibration)]
    if not _first(lines, 1):
        raise UsageError(f"{calibration}: is empty; it should have sentences to round the weights for")
    mine = [line for i, line in enumerate(lines) if i % HELD_OUT != HELD_OUT - 1]
    held_out = lines[HELD_OUT - 1 :: HELD_OUT]
    if check is not None:
        kept, name = _check(check, languages, CHECKED)
    else:
        kept = _first(shipped_text.in_turn(held_out, checked), CHECKED)
        own = f"{Path(calibration).name} (a fifth)" if _first(held_out, 1) else None
        name = " and ".join(filter(None, [own, shipped])) or None
    names = " and ".join(filter(None, [Path(calibration).name, shipped]))
    return Texts(tuple(shipped_text.in_turn(mine, ours)), tuple(kept), names, name)


def translated_languages(names: Sequence[object], folder: Path, tokens: Callable[[str], int]) -> tuple[str, ...]:
    """The language that a translation model reads, as far as it ships.

    names   what its files call its language, or the files themselves, such as vocab.enpt.spm
    tokens  as of `shipped_text.read_languages`, which is asked where no name tells: a vocabulary that two languages
            share does not say which of them is read, and both are returned
    """
    for name in names:
        match = FILE_PAIR.search(name) if isinstance(name, str) else None
        if match or (isinstance(name, str) and "." not in name):
            found = shipped_text.named_language(match[1] if match else name)
            return (found,) if found else ()
    if match := FOLDER_PAIR.search(folder.resolve().name):
        found = shipped_text.named_language(match[1])
        return (found,) if found else ()
    return shipped_text.read_languages(tokens)


def enough(read: Iterable[tuple[T, int]], what: str) -> list[T]:
    """The first of what is read, each with the number of its tokens, as many as are enough. Raises UsageError."""
    found: list[T] = []
    tokens = 0
    for one, count in read:
        found.append(one)
        tokens += count
        if tokens >= ENOUGH_TOKENS:
            break
    if len(found) < FEWEST:
        raise UsageError(
            f"the calibration text has {len(found)} {what}; it should have {FEWEST} at least, and a few "
            "hundred are good"
        )
    return found


def _check(check: str | Path | None, languages: Sequence[str], most: int) -> tuple[list[str], str | None]:
    if check is None:
        return shipped_text.check_lines(languages)[:most], _named(languages)
    found = _first(unlabelled_lines(check), most)
    if not found:
        raise UsageError(f"{check}: is empty; it should have sentences to compare the models on")
    return found, Path(check).name


def _named(languages: Sequence[str]) -> str | None:
    return f"the text that ships ({', '.join(languages)})" if languages else None


def _first(lines: Iterable[str], most: int) -> list[str]:
    """The first lines with something in them."""
    return [*islice((line for line in lines if line.strip()), most)]
