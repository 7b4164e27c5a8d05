"""The options of a search, as the command line has them: made of their declarations in models/search_options.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import Parameter
from typing import Annotated, Any, Literal, cast

import typer

from subbyte.models.search_options import OPTIONS, Choice, Option, Real, SearchOptions, Whole

LARGE = 1 << 16  # a range that ends there or later is not shown: it only keeps numbers out that nobody means


def search_options(*names: str) -> Iterator[Parameter]:
    """Parameters of a command for these options; None stands for what is not given."""
    for name in names:
        option = OPTIONS[name]
        flags, kind, range = _told(name, option)
        typed = Annotated[kind | None, typer.Option(*flags, help=_help(option), **range)]  # type: ignore[valid-type]
        yield Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=typed)


def in_python(search: Mapping[str, Any]) -> SearchOptions:
    """Options as they were given, with true and false for these words."""
    words = {"true": True, "false": False}
    return cast(SearchOptions, {name: words.get(value, value) for name, value in search.items()})


def _told(name: str, option: Option) -> tuple[list[str], Any, dict[str, Any]]:
    """Flags where they are not the name, the type, and the range where the parser is to keep it."""
    match option.takes:
        case Whole(least, most):
            return [], int, {"min": least, "max": most if most < LARGE else None}
        case Real():
            return [], float, {}
        case Choice((True, False)):
            plain = name.removeprefix("do_")
            return [f"--{plain}/--no-{plain}"], bool, {}
        case Choice(words):
            return [], Literal[tuple(str(word).lower() for word in words)], {}


def _help(option: Option) -> str:
    """What the option does, and what it is where it is not given."""
    defaults = [] if option.key == "" else ["as the model says"]
    defaults += [option.default] if option.default else []
    return f"{option.does}  [default: {', or '.join(defaults)}]"
