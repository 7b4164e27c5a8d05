"""What can be said of a training, declared once: checks, options of the command and tables of docs come of it.

No torch here, nor in the `settings` of translation and of encoders, where the declarations are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from subbyte.errors import RecipeError

MOST = 10**9  # of numbers that may be as great as one likes
COUNT, SHARE = (1, MOST), (0.0, 1.0)

# of both kinds of model
BITS_HELP = "a weight, the whole file counted, that `entropy_coded` matrices are trained to; 0: as many as at first"
START_HELP = "Start from the codes and scales of this folder, made of MODEL by the same recipe."
STEP_HELP = "of the logarithms of the steps of `entropy_coded`, at its highest"


@dataclass(frozen=True)
class Declared:
    """What a field is, beside its type and its default: `Annotated[int, Declared(...)]`.

    help     what it is, with its unit; `...` is code
    limits   the least and the most of a number
    option   whether the command has an option for it, beside the key in the table
    path     what a path is that of
    """

    help: str
    limits: tuple[float, float] | None = None
    option: bool = False
    path: str = "FILE"


def declarations(kind: type[Any]) -> dict[str, tuple[Any, Declared]]:
    """Name -> type and declaration, of every field of a dataclass in a module whose annotations are no strings."""
    return {one.name: get_args(one.type) for one in fields(kind)}


def from_table(kind: type[Any], table: Mapping[str, Any]) -> Any:
    """The settings in a [finetune] table; `kind` has a field for each of its keys. Raises RecipeError."""
    known = [*declarations(kind)]
    for key in table:
        if key not in known:
            from subbyte.compress.recipes.selectors import did_you_mean  # not at the start of every command

            there = f"there are: {' '.join(known)} (for {kind.models})"
            raise RecipeError(f"[finetune]: {key!r} is not a key{did_you_mean(key, known)}; {there}")
    return kind(**table)


def check(settings: Any) -> None:
    """Raises RecipeError for a value that is not of its field's type: one of some words, a truth value, or a number."""
    for name, (hint, declaration) in declarations(type(settings)).items():
        value = getattr(settings, name)
        if fault := _fault(hint, declaration, value):
            raise RecipeError(f"[finetune]: {name} is {value!r}, should be {fault}")


def _fault(hint: Any, declaration: Declared, value: Any) -> str | None:
    """What the value should be; None if it is."""
    words = get_args(hint)
    if words:
        return None if value in words else f"one of {' '.join(words)}"
    if hint is bool:
        return None if isinstance(value, bool) else "true or false"
    assert declaration.limits
    least, most = declaration.limits
    number = type(value) is int or (hint is float and type(value) is float)
    if number and least <= value <= most:
        return None
    return f"{'a whole number' if hint is int else 'a number'} from {least:g} to {most:g}"
