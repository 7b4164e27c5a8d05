"""What a caller may say about a search for a translation, each option declared once.

The checks, the options of `subbyte translate`, the ranges of generation_config.json and the table in docs/search.md
follow these declarations.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypedDict, get_type_hints

from subbyte.errors import UsageError

MOST_BEAMS = 256
MOST_PENALTY = 100.0  # a length to this power is still a float64
MOST_LENGTH = 1 << 30
MOST_NGRAM = 1 << 16
LEAST_FACTOR, MOST_FACTOR = 1e-6, 1e6  # of the repetition penalty and the temperature
TOP_K = 50  # of transformers, where tokens are drawn and the folder does not say among how many


class Whole(NamedTuple):
    """A whole number."""

    least: int
    most: int
    note: str = ""

    def fault(self, value: Any) -> str:
        """What a value should be; "" if that is what it is."""
        if not isinstance(value, bool) and hasattr(value, "__index__") and self.least <= value <= self.most:
            return ""
        return f"{self.least} to {self.most:,}{self.note}"


class Real(NamedTuple):
    """A finite number; `above`: the least itself is none."""

    least: float
    most: float
    note: str = ""
    above: bool = False

    def fault(self, value: Any) -> str:
        number = not isinstance(value, bool) and hasattr(value, "__float__") and math.isfinite(value)
        if number and self.least <= value <= self.most and not (self.above and value == self.least):
            return ""
        if self.above:
            return f"above {self.least:g} and at most {self.most:g}"
        return f"a finite number from {self.least:g} to {self.most:,g}{self.note}"


class Choice(NamedTuple):
    """One of some words."""

    words: tuple[bool | str, ...]

    def fault(self, value: Any) -> str:
        if isinstance(value, bool | str) and value in self.words:
            return ""
        *others, last = map(repr, self.words)
        return f"{', '.join(others)} or {last}"


class Option(NamedTuple):
    """One option of a search."""

    takes: Whole | Real | Choice  # the values that it may have
    does: str  # what it does, for people
    default: str = ""  # where neither the caller nor the folder says anything, for people
    key: str | None = None  # its name in generation_config.json; None: the same; "": it has none there
    drawing: bool = False  # whether it is about drawing tokens only


# fmt: off
class SearchOptions(TypedDict, total=False):
    """What a caller may say about a search; what is missing or None is as the folder says."""

    beam_size: Annotated[int | None, Option(
        Whole(1, MOST_BEAMS), "Beams, up to 256; 1 is greedy.", "1", key="num_beams")]
    max_length: Annotated[int | None, Option(
        Whole(2, MOST_LENGTH, " (it counts the start token)"),
        "Longest translation, in tokens, start token and prefix included.", "what it can write")]
    max_new_tokens: Annotated[int | None, Option(
        Whole(1, MOST_LENGTH), "The same, without start token and prefix.")]
    min_length: Annotated[int | None, Option(
        Whole(0, MOST_LENGTH), "Shortest translation, in tokens, start token and prefix included.", "0")]
    min_new_tokens: Annotated[int | None, Option(
        Whole(0, MOST_LENGTH), "The same, without start token and prefix.")]
    length_penalty: Annotated[float | None, Option(
        Real(-MOST_PENALTY, MOST_PENALTY),
        "Scores of beam search are divided by the number of new tokens to this power.", "1")]
    early_stopping: Annotated[bool | Literal["never"] | None, Option(
        Choice((True, False, "never")),
        "Beam search ends when as many translations as beams are found (true), when better ones are unlikely (false), "
        "or impossible (never).", "false")]
    no_repeat_ngram_size: Annotated[int | None, Option(
        Whole(0, MOST_NGRAM), "No run of so many tokens twice; 0 allows all.", "0")]
    repetition_penalty: Annotated[float | None, Option(
        Real(LEAST_FACTOR, MOST_FACTOR),
        "Above 1, tokens that are there already become less likely; 1 is none.", "1")]
    do_sample: Annotated[bool | None, Option(
        Choice((True, False)), "Draw tokens by their probabilities; --num-hypotheses then draws so many.", "false")]
    temperature: Annotated[float | None, Option(
        Real(LEAST_FACTOR, MOST_FACTOR, "; for no chance at all leave do_sample out"),
        "With --sample: below 1 likely tokens become likelier, above 1 less.", "1", drawing=True)]
    top_k: Annotated[int | None, Option(
        Whole(0, MOST_LENGTH, " (0 for all words)"),
        "With --sample: among the K likeliest tokens; 0: all.", str(TOP_K), drawing=True)]
    top_p: Annotated[float | None, Option(
        Real(0, 1, above=True),
        "With --sample: among the likeliest tokens with this probability together.", "1", drawing=True)]
    seed: Annotated[int | None, Option(
        Whole(0, (1 << 64) - 1),
        "With --sample: other seeds draw others, the same draws the same.", "0", key="", drawing=True)]
# fmt: on


_HINTS = get_type_hints(SearchOptions, include_extras=True)
OPTIONS: Mapping[str, Option] = {name: hint.__metadata__[0] for name, hint in _HINTS.items()}


def ranges(kind: type[Whole] | type[Real], *, drawing: bool) -> dict[str, tuple[float, float]]:
    """Key of generation_config.json -> least and most, of options of this kind."""
    return {
        option.key or name: (option.takes.least, option.takes.most)
        for name, option in OPTIONS.items()
        if isinstance(option.takes, kind) and option.key != "" and option.drawing is drawing
    }


def check(given: Mapping[str, Any]) -> None:
    """Raise UsageError for options that are none, or are not what they should be; None is not given."""
    if unknown := given.keys() - OPTIONS.keys():
        raise UsageError(
            f"{', '.join(sorted(unknown))}: no such search option; there are {', '.join(OPTIONS)}, num_hypotheses and "
            "prefix"
        )
    for name, value in given.items():
        if wanted := OPTIONS[name].takes.fault(value):
            said = name if name == "do_sample" else name.replace("_", " ")
            raise UsageError(f"{said} is {value!r}, should be {wanted}")
    for which in ("max", "min"):
        if f"{which}_length" in given and f"{which}_new_tokens" in given:
            raise UsageError(f"{which} length and {which} new tokens say the same thing; give one of them")
