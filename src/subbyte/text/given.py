"""What callers give as texts: one or many, every item checked by number before the batch that it is in is run."""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from subbyte.errors import UsageError

Text = str | tuple[str, ...]  # a sentence, or a tuple of one or of two


def one_or_many(texts: Any, what: str = "text", *, pairs: bool = False) -> tuple[list[Any], bool]:
    """The texts as a list, all of them checked, and whether they were one string (or with `pairs` one pair).

    Any iterable of strings will do: a list, a generator, an array of numpy, a column of pandas. Raises UsageError that
    names the first item that is no text, and how many more there are.
    """
    if isinstance(texts, str) or (pairs and _is_pair(texts)):
        return [checked_text(texts, what, pairs=pairs)], True
    found: list[Any] = []
    faults: list[UsageError] = []
    for number, item in enumerate(_items(texts, what), start=1):
        try:
            found.append(checked_text(item, f"{what} {number}", pairs=pairs))
        except UsageError as fault:
            faults.append(fault)
    if len(faults) > 1:
        raise UsageError(f"{faults[0]} (and {len(faults) - 1:,} more {what}s have faults)")
    if faults:
        raise faults[0]
    return found, False


def checked(texts: Any, what: str = "text", *, pairs: bool = False) -> Iterator[Any]:
    """The texts as they come, each checked. Raises UsageError for one that is none, and for one string instead."""
    if isinstance(texts, str):
        raise UsageError(f"a list of {what}s is needed, not one string")
    return (
        checked_text(item, f"{what} {number}", pairs=pairs) for number, item in enumerate(_items(texts, what), start=1)
    )


def checked_pairs(pairs: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, str]]:
    """Sources and targets as they come, each checked."""
    for number, pair in enumerate(pairs, start=1):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise UsageError(f"pair {number} is {_named(pair)}; it should be a source and a target")
        yield checked_text(pair[0], f"source {number}"), checked_text(pair[1], f"target {number}")


def checked_text(item: Any, what: str, *, pairs: bool = False) -> Any:
    """The text, or with `pairs` the tuple of one or two. UsageError for what is none; `what` is its name."""
    if isinstance(item, str):
        try:
            item.encode()
        except UnicodeEncodeError as fault:
            raise UsageError(
                f"{what} has half of a surrogate pair, U+{ord(item[fault.start]):04X}, as its character "
                f"{fault.start + 1}: it was decoded wrongly or cut inside a character; decode it anew, or take that out"
            ) from None
        return item if type(item) is str else str.__str__(item)
    if pairs and isinstance(item, tuple) and len(item) in (1, 2):
        sides = ("first", "second")
        return tuple(checked_text(text, f"{what}, the {sides[i]} of its pair,") for i, text in enumerate(item))
    wanted = "a string, or a pair of two in a tuple" if pairs else "a string"
    raise UsageError(f"{what} is {_named(item)}; it should be {wanted}")


def _is_pair(texts: Any) -> bool:
    return isinstance(texts, tuple) and len(texts) == 2 and all(isinstance(text, str) for text in texts)


def _items(texts: Any, what: str) -> Iterable[Any]:
    """What is given, if going through it gives texts in an order."""
    if isinstance(texts, bytes | bytearray | memoryview):
        raise UsageError(f"the {what}s are {_named(texts)}; give a string or a list of strings")
    if isinstance(texts, Mapping | Set) or hasattr(texts, "columns"):
        kind = "a table" if hasattr(texts, "columns") else f"a {type(texts).__name__}"
        raise UsageError(f"the {what}s are {kind}; give a string, a list of strings or one column of a table")
    try:
        iter(texts)
    except TypeError:
        raise UsageError(f"the {what}s are {_named(texts)}; give a string or a list of strings") from None
    return texts  # type: ignore[no-any-return]


def _named(item: Any) -> str:
    """What something is that is no string."""
    if item is None:
        return "None"
    if isinstance(item, bytes | bytearray | memoryview):
        return f"{type(item).__name__}, not decoded (text.decode('utf-8') makes a string of it)"
    if isinstance(item, tuple | list):
        return f"a {type(item).__name__} of {len(item)}"
    shown = repr(item)
    return f"a {type(item).__name__} ({shown if len(shown) <= 40 else f'{shown[:40]}...'})"
