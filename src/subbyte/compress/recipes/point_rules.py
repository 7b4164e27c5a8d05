"""The [[points]] tables of a recipe: which activation of an encoder is rounded how. See docs/activations.md."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from subbyte.compress.recipes.selectors import HALVES, check_keys, did_you_mean, in_half, layers, words
from subbyte.errors import RecipeError, fault_list
from subbyte.models.encoder import Point
from subbyte.numbers.grids import BITS
from subbyte.numbers.ranges import ESTIMATORS

NOT_ROUNDED = 32
SELECTORS = ("match", "layer", "half")
HEADS = ("pooler", "classifier")  # points that a bare encoder does not have; a rule may name them all the same


@dataclass(frozen=True)
class Rounding:
    """How one activation is rounded.

    bits       2..8, 16; 32: not at all
    groups     consecutive columns that share a scale are width / groups
    columns    as many consecutive columns share a scale, whatever the width; `resolve` puts groups in its place. What
               matrices multiply needs a multiple of 16
    symmetric  zero is code 0
    operand    rounded only where matrices read it; a residual sum takes the value as it was
    equalize   columns of an operand are made alike first (models/operands.py)
    rotate     blocks of columns of an operand are turned first, of 128 or as many as divide the width (likewise)
    range      the estimator of the range, one of ranges.ESTIMATORS
    """

    bits: int
    groups: int = 1
    columns: int = 0
    symmetric: bool = False
    operand: bool = False
    equalize: bool = False
    rotate: bool = False
    range: str = "running"

    def __post_init__(self) -> None:
        if type(self.bits) is not int or self.bits not in (*BITS, NOT_ROUNDED):
            raise RecipeError(f"bits are {self.bits!r}, should be 2 to 8, 16, or 32 where nothing is rounded")
        if type(self.groups) is not int or self.groups < 1:
            raise RecipeError(f"groups is {self.groups!r}, should be a number from 1")
        if type(self.columns) is not int or self.columns < 0 or (self.columns and self.groups > 1):
            raise RecipeError(f"columns is {self.columns!r}, should be a number from 1, and stand without groups")
        for name in ("symmetric", "operand", "equalize", "rotate"):
            if type(getattr(self, name)) is not bool:
                raise RecipeError(f"{name} is {getattr(self, name)!r}, should be true or false")
        if (self.equalize or self.rotate) and not self.operand:
            raise RecipeError(
                "equalize and rotate change what matrices read, and nothing else: they need operand = true"
            )
        if self.rotate and (self.groups > 1 or self.columns):
            raise RecipeError("rotate mixes columns, so it stands without groups")
        if not isinstance(self.range, str):
            raise RecipeError(f"range is {self.range!r}, should be a word")
        words({"range": self.range}, "range", ESTIMATORS)


@dataclass(frozen=True)
class PointRule:
    """A rounding for the points that fit every selector that is not empty.

    `layer` is that of the name. `half` goes by the layer whose matrices read the value: layers.2.output counts with
    layer 3, embeddings.output with layer 0, and the last output with none, so that a half is what its layers multiply.
    """

    match: tuple[str, ...]  # patterns of names, as the shell's
    layer: tuple[int, ...]
    half: tuple[str, ...]
    rounding: Rounding

    def covers(self, point: Point, count: int) -> bool:
        """Whether the rule is about this point of an encoder of `count` layers."""
        return (
            (not self.match or any(fnmatchcase(point.name, pattern) for pattern in self.match))
            and (not self.layer or point.layer in self.layer)
            and (not self.half or in_half(self.half, point.reading_layer, count))
        )

    def to_plain(self) -> dict[str, Any]:
        """The table that says the same, every option written out."""
        selectors = {key: list(getattr(self, key)) for key in SELECTORS if getattr(self, key)}
        return {**selectors, **asdict(self.rounding)}


def parse(table: Mapping[str, Any]) -> PointRule:
    """The rule that a [[points]] table holds; a RecipeError says what is wrong with it."""
    options = [field.name for field in fields(Rounding)]
    check_keys(table, (*SELECTORS, *options))
    if not any(key in table for key in SELECTORS):
        raise RecipeError(f'names no points; give one of {" ".join(SELECTORS)}, such as match = "*"')
    if "bits" not in table:
        raise RecipeError("bits is missing")
    return PointRule(
        match=words(table, "match", None),
        layer=layers(table),
        half=words(table, "half", HALVES),
        rounding=Rounding(**{key: table[key] for key in options if key in table}),
    )


def resolve(rules: Sequence[PointRule], points: Mapping[str, Point], where: str) -> dict[str, Rounding]:
    """Point -> how it is rounded, for every point that is: that of the last rule that covers it.

    points  those of the model, by name

    Raises RecipeError with all that is wrong: patterns that fit no point, points that no rule covers, and roundings
    that do not fit the width. So nothing is left unrounded by accident.
    """
    faults = []
    known = (*points, *HEADS)
    for pattern in dict.fromkeys(pattern for rule in rules for pattern in rule.match):
        if not any(fnmatchcase(point, pattern) for point in known):
            faults.append(f"{pattern!r} is no point of this model{did_you_mean(pattern, known)}")
    count = 1 + max((point.layer for point in points.values() if point.layer is not None), default=-1)
    roundings = {}
    for name, point in points.items():
        covering = [rule.rounding for rule in rules if rule.covers(point, count)]
        if not covering:
            faults.append(f"{name}: no rule covers it; bits = {NOT_ROUNDED} is for what is not rounded")
        elif covering[-1].bits != NOT_ROUNDED:
            last = covering[-1]
            width = point.width
            groups = width // last.columns if last.columns and width % last.columns == 0 else last.groups
            roundings[name] = replace(last, groups=groups, columns=0)
            if last.columns and width % last.columns:
                faults.append(f"{name}: {width} columns do not divide into groups of {last.columns}")
            faults += _misfits(point, roundings[name])
    if faults:
        raise RecipeError(fault_list(where, faults))
    return roundings


def _misfits(point: Point, rounding: Rounding) -> list[str]:
    faults = []
    if point.width % rounding.groups:
        faults.append(f"{point.name}: {point.width} columns do not divide into {rounding.groups} groups")
    if rounding.operand and not point.multiplied:
        faults.append(f"{point.name}: no matrix reads it, so it cannot be an operand")
    if rounding.range == "cross_entropy" and (point.name != "classifier" or point.width == 1 or rounding.groups > 1):
        faults.append(f"{point.name}: cross_entropy is for the logits of two labels and more, in one group")
    return faults
