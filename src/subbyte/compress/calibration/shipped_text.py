"""The calibration and check texts that ship, by language, and which of them a model can read (shipped/README.md)."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import chain, zip_longest

FOLDER = files(__package__) / "shipped"
CALIBRATION, CHECK = ".calibration.txt", ".check.txt"
PROBED = 24  # lines of each language that a vocabulary is asked about, of so many characters at most, not to be cut
SHORT = 80
UNKNOWN = 3  # tokens more that what a vocabulary does not have should count as, by who counts them
MOST = 0.5  # tokens a character: a vocabulary that takes more was made for other languages
AS_WELL = 1.15  # a language that takes at most so many times the tokens of the best one is read as well

# ISO 639-2 codes, and those of Marian's and Mozilla's file names, where they are not the two letters
CODES: Mapping[str, str] = {"eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es", "por": "pt"}


@cache
def languages() -> tuple[str, ...]:
    """Two-letter codes of the languages that ship."""
    names = (path.name for path in FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(CALIBRATION) for name in names if name.endswith(CALIBRATION)))


def calibration_lines(chosen: Sequence[str]) -> list[str]:
    """What weights are rounded for, of several languages in turn."""
    return in_turn(*(_lines(language + CALIBRATION) for language in chosen))


def check_lines(chosen: Sequence[str]) -> list[str]:
    """What models are compared on, of several languages in turn."""
    return in_turn(*(_lines(language + CHECK) for language in chosen))


def named_language(code: object) -> str | None:
    """The language that ships under a code such as "en", "eng" or "en_GB"; None if there is none."""
    if not isinstance(code, str):
        return None
    short = re.split(r"[-_]", code.lower())[0]
    short = CODES.get(short, short)
    return short if short in languages() else None


def read_languages(tokens: Callable[[str], int]) -> tuple[str, ...]:
    """The languages that a vocabulary was made for, as far as they ship: those that it needs the fewest tokens for.

    tokens  how many tokens a line takes, a character that is not in the vocabulary counting as several
    """
    rates = {}
    for language in languages():
        lines = [line for line in check_lines([language]) if len(line) <= SHORT][:PROBED]
        rates[language] = sum(map(tokens, lines)) / sum(map(len, lines))
    most = min(MOST, AS_WELL * min(rates.values()))
    return tuple(language for language, rate in rates.items() if rate <= most)


def in_turn(*texts: Sequence[str]) -> list[str]:
    """The lines of several texts, one of each at a time."""
    return [line for line in chain.from_iterable(zip_longest(*texts)) if line is not None]


@cache
def _lines(name: str) -> list[str]:
    return FOLDER.joinpath(name).read_text("utf-8").splitlines()
