"""What the rules of a recipe select by: words, layers, and halves of a stack. Faults are RecipeErrors."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from subbyte.errors import RecipeError

HALVES = ("lower", "upper")


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`; did you mean 'int8'?` if a known word is near, else nothing."""
    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_keys(table: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a table that has another key than those known."""
    for key in table:
        if key not in known:
            raise RecipeError(f"{key!r} is not a key of a rule{did_you_mean(key, known)}; there are: {' '.join(known)}")


def words(table: Mapping[str, Any], key: str, known: Collection[str] | None) -> tuple[str, ...]:
    """The value of a selector, one word or a list of words; () where it is not given."""
    if key not in table:
        return ()
    value = table[key]
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(word, str) and word for word in listed):
        raise RecipeError(f"{key} is {value!r}, should be a word or a list of words")
    for word in listed:
        if known is not None and word not in known:
            raise RecipeError(f"{word!r} is not a {key}{did_you_mean(word, known)}; there are: {' '.join(known)}")
    return tuple(listed)


def layers(table: Mapping[str, Any]) -> tuple[int, ...]:
    """The value of `layer`, a number or a list of numbers; () where it is not given."""
    if "layer" not in table:
        return ()
    value = table["layer"]
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(type(layer) is int and layer >= 0 for layer in listed):
        raise RecipeError(f"layer is {value!r}, should be a number from 0 or a list of such")
    return tuple(listed)


def in_half(halves: Collection[str], layer: int | None, count: int) -> bool:
    """Whether a layer is in one of the halves of `count` layers, of which the upper one starts at count / 2."""
    return layer is not None and layer < count and ("upper" if 2 * layer >= count else "lower") in halves
