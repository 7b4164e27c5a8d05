"""Recipes: TOML that says which matrix gets which scheme. Reading them, and resolving them against a model.

description = "4 bits, the embedding in 8"
activations = "int8"            # or "float32"

[[tensors]]                     # rules, in order: of those that cover a matrix, the last one holds
match = "*"                     # a pattern of tensor names, or several
family = "uniform"              # from here on, the scheme: see schemes/
bits = 4
granularity = "row"

[[tensors]]
role = "embedding"              # or by role, stack and layer; a rule covers what fits all that it names
family = "uniform"
bits = 8
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from subbyte.errors import RecipeError, SchemeError
from subbyte.files import fault_list
from subbyte.model import Model, Role, RoleKind
from subbyte.schemes import SCHEMES, Clustered, Scheme, from_plain, to_plain

SIZE_LIMIT = 1 << 17  # bytes
# a.b.c..., of 16 parts and more: Python's reader takes the square of their number for them
LONG_KEY = re.compile(r"""(?<![\w-])(?:(?:"[^"\n]*"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){15}""")
ROLES: tuple[str, ...] = get_args(RoleKind)
STACKS = ("encoder", "decoder", "shared")
ACTIVATIONS = ("int8", "float32")
KEYS = ("name", "description", "activations", "tensors", "finetune")
SELECTORS = ("match", "role", "stack", "layer")

Schemes = Mapping[str, Scheme | Clustered]


@dataclass(frozen=True)
class Rule:
    """A scheme for the matrices that fit every selector that is not empty."""

    match: tuple[str, ...]  # patterns of names, as the shell's
    role: tuple[str, ...]
    stack: tuple[str, ...]
    layer: tuple[int, ...]
    scheme: Scheme | Clustered

    def covers(self, name: str, role: Role) -> bool:
        """Whether the rule is about this matrix."""
        return (
            (not self.match or any(fnmatchcase(name, pattern) for pattern in self.match))
            and (not self.role or role.kind in self.role)
            and (not self.stack or role.stack in self.stack)
            and (not self.layer or role.layer in self.layer)
        )


@dataclass(frozen=True)
class Recipe:
    """A recipe that was read and checked.

    activations  how the inputs of matrix products are rounded
    finetune     the [finetune] table as it came; training/settings.py checks it, and nothing but finetuning reads it
    """

    name: str
    description: str
    activations: Literal["int8", "float32"]
    rules: tuple[Rule, ...]
    finetune: Mapping[str, Any] = field(default_factory=dict)


def presets() -> tuple[str, ...]:
    """The names of the recipes that ship, sorted."""
    names = (Path(file.name) for file in files("subbyte").joinpath("recipes").iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".toml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """The preset of this name, or the recipe in this TOML file."""
    name = str(name_or_path)
    if name in presets():
        text = files("subbyte").joinpath("recipes", f"{name}.toml").read_text("utf-8")
        return parse_recipe(text, f"recipe {name}", name)
    path = Path(name)
    if not path.is_file():
        if path.suffix == ".toml" or len(path.parts) > 1:
            raise RecipeError(f"{path}: there is no such recipe file")
        raise RecipeError(
            f"there is no recipe {name!r}{did_you_mean(name, presets())}; there are: {' '.join(presets())}"
        )
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise RecipeError(f"{path}: is larger than {SIZE_LIMIT:,} bytes")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise RecipeError(f"{path}: cannot be read: {e}") from None
    return parse_recipe(text, str(path), path.stem)


def parse_recipe(text: str, where: str, name: str) -> Recipe:
    """The recipe that a TOML document holds; all its faults in one RecipeError."""
    if LONG_KEY.search(text):
        raise RecipeError(f"{where}: holds a key of more than 15 parts with dots between them")
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as e:  # of numbers, not only TOMLDecodeError
        raise RecipeError(f"{where}: is not valid TOML: {e}") from None
    if not all(-(1 << 63) <= number < 1 << 63 for number in _whole_numbers(document)):
        raise RecipeError(f"{where}: is not valid TOML: a whole number does not fit 64 bits")
    faults = [f"{key!r} is not a key of a recipe{did_you_mean(key, KEYS)}" for key in document if key not in KEYS]
    for key in ("name", "description"):
        if not isinstance(document.get(key, ""), str):
            faults.append(f"{key} is {document[key]!r}, should be text")
    activations = document.get("activations", "int8")
    if activations not in ACTIVATIONS:
        faults.append(f"activations is {activations!r}, should be one of {' '.join(ACTIVATIONS)}")
    finetune = document.get("finetune", {})
    if not isinstance(finetune, dict):
        faults.append("finetune should be a [finetune] table")
    rules = []
    tables = document.get("tensors")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        faults.append("a recipe needs at least one [[tensors]] table")
    else:
        for i, table in enumerate(tables):
            try:
                rules.append(_rule(table))
            except (RecipeError, SchemeError) as e:
                faults.append(f"[[tensors]] number {i + 1}: {e}")
    if faults:
        raise RecipeError(fault_list(where, faults))
    return Recipe(document.get("name", name), document.get("description", ""), activations, tuple(rules), finetune)


def _whole_numbers(document: Mapping[str, Any]) -> Iterator[int]:
    """Every whole number in a document, however deep."""
    left: list[Any] = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict | list):
            left += value.values() if isinstance(value, dict) else value
        elif type(value) is int:
            yield value


def _rule(table: Mapping[str, Any]) -> Rule:
    plain = {key: value for key, value in table.items() if key not in SELECTORS}
    family = plain.get("family", "")
    if not isinstance(family, str):
        raise RecipeError(f"family is {family!r}, should be a word")
    families = [SCHEMES[family]] if family in SCHEMES else SCHEMES.values()
    options = {field.name for kind in families for field in fields(kind)}
    known = [*SELECTORS, "family", "clusters", *sorted(options)]
    for key in table:
        if key not in known:
            raise RecipeError(f"{key!r} is not a key of a rule{did_you_mean(key, known)}; there are: {' '.join(known)}")
    if not any(key in table for key in SELECTORS):
        raise RecipeError(f'names no tensors; give one of {" ".join(SELECTORS)}, such as match = "*"')
    return Rule(
        match=_words(table, "match", None),
        role=_words(table, "role", ROLES),
        stack=_words(table, "stack", STACKS),
        layer=_layers(table),
        scheme=from_plain(plain),
    )


def _words(table: Mapping[str, Any], key: str, known: Collection[str] | None) -> tuple[str, ...]:
    """The value of a selector, one word or a list of words; () where it is not given."""
    if key not in table:
        return ()
    value = table[key]
    words = value if isinstance(value, list) else [value]
    if not words or not all(isinstance(word, str) and word for word in words):
        raise RecipeError(f"{key} is {value!r}, should be a word or a list of words")
    for word in words:
        if known is not None and word not in known:
            raise RecipeError(f"{word!r} is not a {key}{did_you_mean(word, known)}; there are: {' '.join(known)}")
    return tuple(words)


def _layers(table: Mapping[str, Any]) -> tuple[int, ...]:
    if "layer" not in table:
        return ()
    value = table["layer"]
    layers = value if isinstance(value, list) else [value]
    if not layers or not all(type(layer) is int and layer >= 0 for layer in layers):
        raise RecipeError(f"layer is {value!r}, should be a number from 0 or a list of such")
    return tuple(layers)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`; did you mean 'int8'?` if a known word is near, else nothing."""
    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def resolve(recipe: Recipe, model: Model) -> dict[str, Scheme | Clustered]:
    """Tensor name -> scheme, for every matrix of the model: that of the last rule that covers it.

    Raises RecipeError with the name of every matrix that no rule covers.
    """
    schemes = {}
    faults = []
    for name, role in model.roles.items():
        covering = [rule.scheme for rule in recipe.rules if rule.covers(name, role)]
        if covering:
            schemes[name] = covering[-1]
        else:
            faults.append(f"{name} ({role})")
    if faults:
        raise RecipeError(fault_list(f"recipe {recipe.name}: no rule covers these tensors", faults))
    return schemes


def resolved(recipe: Recipe, schemes: Schemes) -> dict[str, Any]:
    """A resolved recipe as plain data, every tensor by name and every option written out; itself a recipe again."""
    names: dict[Scheme | Clustered, list[str]] = {}
    for name, scheme in schemes.items():
        names.setdefault(scheme, []).append(name)
    return {
        "name": recipe.name,
        "description": recipe.description,
        "activations": recipe.activations,
        "tensors": [{"match": covered, **to_plain(scheme)} for scheme, covered in names.items()],
    }
