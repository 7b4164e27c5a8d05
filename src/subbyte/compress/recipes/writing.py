"""A recipe as a TOML text that a person can read, and `recipe.parse_recipe` too."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WIDTH = 118


def recipe_text(plain: Mapping[str, Any], head: Sequence[str], notes: Mapping[str, Sequence[str]]) -> str:
    """The text of a recipe that is plain data (`recipe.resolved`).

    head   paragraphs of a comment at the top
    notes  tensor name -> comment; of one line it stands behind the name, of more above its table
    """
    lines = [line for paragraph in head for line in [*_comment(paragraph), "#"]][:-1]
    for key in ("name", "description", "activations", "permute"):
        lines += [f"{key} = {toml(plain[key])}"] if key in plain else []
    for table in plain["tensors"]:
        names = table["match"]
        width = max(map(len, names))
        lines += ["", *(f"# {line}" for name in names for line in notes.get(name, ()) if len(notes[name]) > 1)]
        lines += ["[[tensors]]", "match = ["]
        for name in names:
            behind = notes.get(name, ())
            comment = f"  {' ' * (width - len(name))}# {behind[0]}" if len(behind) == 1 else ""
            lines.append(f"  {toml(name)},{comment}")
        lines += ["]", *(f"{key} = {toml(value)}" for key, value in table.items() if key != "match")]
    for table in plain.get("points", ()):
        lines += ["", "[[points]]", *(f"{key} = {toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _comment(paragraph: str) -> Iterator[str]:
    yield from (f"# {line}".rstrip() for line in textwrap.wrap(paragraph, WIDTH) or [""])


def toml(value: Any) -> str:
    """Words, numbers, lists and flat tables as TOML has them."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value).replace("\x7f", "\\u007f")
