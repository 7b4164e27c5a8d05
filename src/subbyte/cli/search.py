"""The options of a search, as the command line has them: made of their declarations in models/search_options.py."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

import typer

from subbyte.models.search_options import OPTIONS, Choice, Option, Real, SearchOptions, Whole

Command = TypeVar("Command", bound=Callable[..., None])

LARGE = 1 << 16  # a range that ends there or later is not shown: it only keeps numbers out that nobody means


def with_search_options(*names: str, behind: str) -> Callable[[Command], Command]:
    """Give a command these options in the place of its parameter **search; None stands for what is not given.

    behind  the parameter that they follow in --help
    """

    def changed(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for one in signature.parameters.values():
            if one.kind is not inspect.Parameter.VAR_KEYWORD:
                parameters.append(one)
            if one.name == behind:
                parameters += map(_parameter, names)
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return changed


def in_python(search: Mapping[str, Any]) -> SearchOptions:
    """Options as they were given, with true and false for these words."""
    words = {"true": True, "false": False}
    return cast(SearchOptions, {name: words.get(value, value) for name, value in search.items()})


def _parameter(name: str) -> inspect.Parameter:
    option = OPTIONS[name]
    flags, kind, range = _told(name, option)
    typed = Annotated[kind | None, typer.Option(*flags, help=_help(option), show_default=False, **range)]  # type: ignore[valid-type]
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=typed)


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
