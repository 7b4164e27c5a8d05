"""Recipes: TOML that says which matrix gets which scheme. Reading them, and resolving them against a model.

description = "4 bits, the embedding in 8"
models = ["translation"]        # or "student", "encoder": what it is made for; by default for all
activations = "int8"            # or "float32"; or "static", for encoders, with [[points]]
budget = "3bits"                # or "6MB": the size of the weights, for which entropy coded matrices get their steps

[[tensors]]                     # rules, in order: of those that cover a matrix, the last one holds
match = "*"                     # a pattern of tensor names, or several
family = "uniform"              # from here on, the scheme: see schemes/
bits = 4
granularity = "row"

[[tensors]]
role = "embedding"              # or by role, stack, layer, and half = "lower" or "upper" of the layers of a stack;
family = "uniform"              # a rule covers what fits all that it names
bits = 8

Static activations are rounded by rules too: those of point_rules.py.

permute = true                  # the embedding axis is ordered by range before groups are formed (models/axis_order.py)

[[points]]
match = "*"                     # or by layer and half
bits = 8                        # 2 to 8, or 16; 32: not rounded
groups = 1                      # of consecutive columns with a scale each
symmetric = false
range = "running"               # the estimator of the range: numbers/ranges.py
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

from subbyte.compress.candidates import candidates
from subbyte.compress.recipes import point_rules
from subbyte.compress.recipes.budgets import parse_budget
from subbyte.compress.recipes.point_rules import PointRule, Rounding
from subbyte.compress.recipes.selectors import HALVES, check_keys, did_you_mean, in_half, layers, words
from subbyte.compress.recipes.writing import toml
from subbyte.errors import RecipeError, SchemeError, UsageError, fault_list
from subbyte.models.families import encoder_of
from subbyte.models.kinds import NAMES, Kind, described, kind
from subbyte.models.model import Activations, Model, Role, RoleKind
from subbyte.numbers.schemes import SCHEMES, Clustered, EntropyCoded, Scheme, from_plain, to_plain

FOLDER = files(__package__) / "presets"
SIZE_LIMIT = 1 << 17  # bytes
# a.b.c..., of 16 parts and more: Python's reader takes the square of their number for them
LONG_KEY = re.compile(r"""(?<![\w-])(?:(?:"[^"\n]*"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){15}""")
ROLES: tuple[str, ...] = get_args(RoleKind)
STACKS = ("encoder", "decoder", "shared")
ACTIVATIONS: tuple[str, ...] = get_args(Activations)
KINDS: tuple[Kind, ...] = get_args(Kind)
KEYS = ("name", "description", "models", "activations", "budget", "permute", "tensors", "points", "finetune")
SELECTORS = ("match", "role", "stack", "layer", "half")
TOLD = 120  # characters of a rule, where it is told as the reason of something

Schemes = Mapping[str, Scheme | Clustered]
R = TypeVar("R")


@dataclass(frozen=True)
class Rule:
    """A scheme for the matrices that fit every selector that is not empty."""

    match: tuple[str, ...]  # patterns of names, as the shell's
    role: tuple[str, ...]
    stack: tuple[str, ...]
    layer: tuple[int, ...]
    scheme: Scheme | Clustered
    half: tuple[str, ...] = ()

    def covers(self, name: str, role: Role, count: int) -> bool:
        """Whether the rule is about this matrix, in a stack of `count` layers."""
        return (
            (not self.match or any(fnmatchcase(name, pattern) for pattern in self.match))
            and (not self.role or role.kind in self.role)
            and (not self.stack or role.stack in self.stack)
            and (not self.layer or role.layer in self.layer)
            and (not self.half or in_half(self.half, role.layer, count))
        )

    def __str__(self) -> str:
        """What it selects by, as TOML has it."""
        given = {key: getattr(self, key) for key in SELECTORS if getattr(self, key)}
        return ", ".join(f"{key} = {toml(one[0] if len(one) == 1 else one)}" for key, one in given.items())


@dataclass(frozen=True)
class Recipe:
    """A recipe that was read and checked.

    activations  how the inputs of matrix products are rounded
    points       with static activations, how those of an encoder are rounded; else ()
    permute      whether the embedding axis is ordered before groups of it are formed
    models       the kinds of model it is for; () for all
    budget       how large the weights are to be (budgets.py), by the steps of entropy coded matrices; "": as they come
    finetune     the [finetune] table as it came; training/settings.py checks it, and nothing but finetuning reads it
    """

    name: str
    description: str
    activations: Activations
    rules: tuple[Rule, ...]
    finetune: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[PointRule, ...] = ()
    permute: bool = False
    models: tuple[Kind, ...] = ()
    budget: str = ""

    @property
    def entropy_coded(self) -> bool:
        """Whether some of its matrices are, so that it can be made for a budget."""
        return any(
            isinstance(scheme.scheme if isinstance(scheme, Clustered) else scheme, EntropyCoded)
            for scheme in (rule.scheme for rule in self.rules)
        )


def with_budget(recipe: Recipe, budget: str) -> Recipe:
    """The recipe for another size, if some of its matrices are entropy coded; others do not hold for a size.

    Raises UsageError for what is no budget.
    """
    text = parse_budget(budget, 1).text
    if not recipe.entropy_coded:
        return recipe
    return replace(recipe, name=f"budget-{text}", description=f"entropy coded in {text}", budget=text)


def presets() -> tuple[str, ...]:
    """The names of the recipes that ship, sorted."""
    names = (Path(file.name) for file in FOLDER.iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".toml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """The preset of this name, or the recipe in this TOML file."""
    name = str(name_or_path)
    if name in presets():
        text = FOLDER.joinpath(f"{name}.toml").read_text("utf-8")
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
    models: tuple[Any, ...] = ()
    try:
        models = words(document, "models", KINDS)
    except RecipeError as e:
        faults.append(str(e))
    activations = document.get("activations", "int8")
    if activations not in ACTIVATIONS:
        faults.append(f"activations is {activations!r}, should be one of {' '.join(ACTIVATIONS)}")
    finetune = document.get("finetune", {})
    if not isinstance(finetune, dict):
        faults.append("finetune should be a [finetune] table")
    rules = _each(document, "tensors", _rule, faults)
    points = _each(document, "points", point_rules.parse, faults) if activations == "static" else ()
    permute = document.get("permute", False)
    if type(permute) is not bool:
        faults.append(f"permute is {permute!r}, should be true or false")
    if activations != "static":
        faults += [f'{key} needs activations = "static"' for key in ("points", "permute") if key in document]
    if permute and any(rule.rounding.rotate for rule in points):
        faults.append("permute = true orders the embedding axis for groups, which rotate mixes; take one of them")
    if permute and points and all(rule.rounding.groups == 1 and not rule.rounding.columns for rule in points):
        faults.append("permute = true orders the embedding axis for groups; no [[points]] table has any")
    budget = document.get("budget", "")
    try:
        if "budget" in document:
            parse_budget(budget if isinstance(budget, str) else repr(budget), 1)
    except UsageError as e:
        faults.append(str(e))
    found = Recipe(
        document.get("name", name), document.get("description", ""), activations, rules, finetune, points, permute,
        models, budget,
    )  # fmt: skip
    if budget and rules and not found.entropy_coded:
        faults.append('budget is for steps of matrices of family "entropy_coded"; no [[tensors]] table has any')
    if faults:
        raise RecipeError(fault_list(where, faults))
    return found


def _each(
    document: Mapping[str, Any], key: str, parse: Callable[[Mapping[str, Any]], R], faults: list[str]
) -> tuple[R, ...]:
    """What `parse` makes of each of the tables [[key]]; what is wrong with them goes to `faults`."""
    tables = document.get(key)
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        static = " with static activations" if key == "points" else ""
        faults.append(f"a recipe{static} needs at least one [[{key}]] table")
        return ()
    rules = []
    for i, table in enumerate(tables):
        try:
            rules.append(parse(table))
        except (RecipeError, SchemeError) as e:
            faults.append(f"[[{key}]] number {i + 1}: {e}")
    return tuple(rules)


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
    check_keys(table, known)
    if not any(key in table for key in SELECTORS):
        raise RecipeError(f'names no tensors; give one of {" ".join(SELECTORS)}, such as match = "*"')
    return Rule(
        match=words(table, "match", None),
        role=words(table, "role", ROLES),
        stack=words(table, "stack", STACKS),
        layer=layers(table),
        scheme=from_plain(plain),
        half=words(table, "half", HALVES),
    )


def require_kind(recipe: Recipe, model: Model) -> None:
    """Raise RecipeError for a recipe that is made for another kind of model, though its rules may cover this one's."""
    if recipe.models and kind(model) not in recipe.models:
        raise RecipeError(
            f"recipe {recipe.name} is for {' or '.join(NAMES[one] for one in recipe.models)}, and {model.folder} is "
            f"{described(model)}; take {', '.join(candidates(model))}, or another that is for such or for all models"
        )


def resolve(recipe: Recipe, model: Model) -> dict[str, Scheme | Clustered]:
    """Tensor name -> scheme, for every matrix of the model: that of the last rule that covers it.

    Raises RecipeError with the name of every matrix that no rule covers, and for a recipe that is not for such a model.
    """
    if recipe.activations == "static" and kind(model) != "encoder":
        raise RecipeError(
            f"recipe {recipe.name} is for encoders: it has static activations, which a {model.architecture} does not; "
            f'take a recipe with activations = "int8", such as uniform4'
        )
    last = _last_rules(recipe, model)
    if faults := [f"{name} ({role})" for name, role in model.roles.items() if name not in last]:
        raise RecipeError(fault_list(f"recipe {recipe.name}: no rule covers these tensors", faults))
    schemes = {name: recipe.rules[at].scheme for name, at in last.items()}
    small = [
        f"{name}: {model.tensors[name].shape[0]} rows for {scheme.clusters.count} clusters"
        for name, scheme in schemes.items()
        if isinstance(scheme, Clustered) and model.tensors[name].shape[0] < scheme.clusters.count
    ]
    if small:
        where = f"recipe {recipe.name}: does not fit {model.folder}, {described(model)}; these tensors are too small"
        raise RecipeError(fault_list(where, small))
    return schemes


def reasons(recipe: Recipe, model: Model) -> dict[str, str]:
    """Tensor name -> the rule that chose its scheme, for people: nmt-mixed, [[tensors]] 2: role = "embedding"."""
    said = [f"{recipe.name}, [[tensors]] {at}: {rule}" for at, rule in enumerate(recipe.rules, start=1)]
    said = [text if len(text) <= TOLD else f"{text[:TOLD]}..." for text in said]
    return {name: said[at] for name, at in _last_rules(recipe, model).items()}


def _last_rules(recipe: Recipe, model: Model) -> dict[str, int]:
    """Tensor name -> place of the last rule that covers it, for every matrix that one does."""
    counts: dict[str, int] = {}
    for role in model.roles.values():
        counts[role.stack] = max(counts.get(role.stack, 0), 0 if role.layer is None else role.layer + 1)
    return {
        name: at
        for name, role in model.roles.items()
        for at, rule in enumerate(recipe.rules)
        if rule.covers(name, role, counts[role.stack])
    }


def resolve_points(recipe: Recipe, model: Model) -> dict[str, Rounding]:
    """Point -> how it is rounded, for every activation of an encoder that is, in the order in which they are computed.

    {} where activations are not static. Raises RecipeError with all that does not fit (point_rules.resolve).
    """
    if recipe.activations != "static":
        return {}
    points = encoder_of(model.config).points()
    return point_rules.resolve(recipe.points, points, f"recipe {recipe.name}")


def resolved(recipe: Recipe, schemes: Schemes) -> dict[str, Any]:
    """A resolved recipe as plain data, every tensor by name and every option written out; itself a recipe again."""
    names: dict[Scheme | Clustered, list[str]] = {}
    for name, scheme in schemes.items():
        names.setdefault(scheme, []).append(name)
    static = {"permute": recipe.permute, "points": [rule.to_plain() for rule in recipe.points]}
    return {
        "name": recipe.name,
        "description": recipe.description,
        "activations": recipe.activations,
        "tensors": [{"match": covered, **to_plain(scheme)} for scheme, covered in names.items()],
        **(static if recipe.activations == "static" else {}),
    }
