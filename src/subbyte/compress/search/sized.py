"""A model of a given size with entropy coded matrices: their steps by what the model minds, rounded until it fits."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from subbyte.compress.recipes.budgets import Budget, parse_budget
from subbyte.compress.recipes.recipe import Recipe, resolve, resolved
from subbyte.compress.recipes.writing import recipe_text
from subbyte.compress.rounding import in_few_bytes, quantize_model
from subbyte.compress.search.budget import HELD_OUT, Found
from subbyte.compress.search.probes import Lost, code_bits, measured, plain, ranged, unmeasured
from subbyte.compress.search.steps import Share, allot, scheme_at
from subbyte.errors import UsageError
from subbyte.folders.converted.saving import weights_size
from subbyte.models.model import Model, Tensor, activations_of
from subbyte.numbers.arrays import Array
from subbyte.numbers.matrices import blank_matrix
from subbyte.numbers.output_rounding import Columns
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, EntropyCoded, Scheme
from subbyte.progress import Progress, phase

AIM = 0.995  # of the budget, which a file may miss by as much again before it is rounded anew
MOST_OFF = 0.02  # of the budget, that a file may miss it by in the end
ROUNDINGS = 5  # at most

Shares = Mapping[str, Sequence[Share]]
T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """What a text says of a model.

    sums  as the grams of `rounding.quantize_model`, of the whole text
    seen  the same without what is held out
    lost  a model -> what changed ones lose against it on what is held out
    name  of that in report.json
    unit  of that, for people
    on    what is held out, for people
    lines that are held out
    """

    sums: Mapping[str, Columns]
    seen: Mapping[str, Columns]
    lost: Callable[[Model], Lost]
    name: str
    unit: str
    on: str
    lines: int


def apart(texts: Sequence[T]) -> tuple[list[T], list[T]]:
    """Two thirds to round for, and the third between to measure on."""
    return [one for i, one in enumerate(texts) if i % HELD_OUT != HELD_OUT - 1], [*texts[HELD_OUT - 1 :: HELD_OUT]]


def to_size(
    recipe: Recipe,
    model: Model,
    reading: Callable[[], Reading] | None = None,
    frequencies: Mapping[str, Array] | None = None,
    progress: Progress | None = None,
) -> Found:
    """The model under a recipe with a budget: within 2 % of it.

    recipe       its rules say all but the steps of entropy coded matrices, their clusters, which are found;
                 other matrices are as they say
    reading      asked once a budget was found to be possible; without a text every weight counts alike, and goes to the
                 nearest level
    frequencies  matrix name -> counts of its words

    Raises UsageError for a budget out of reach, before anything is measured.
    """
    model = replace(model, activations=activations_of(recipe.activations, model.activations.grids))
    schemes = resolve(recipe, model)
    coded = ranged(model, schemes)
    limit = parse_budget(recipe.budget, model.parameters)
    shares: Shares = unmeasured(model, coded, frequencies)
    fixed = other_bytes(model, {**schemes, **coded})
    _refuse(limit, model, shares, fixed)
    how = reading() if reading else None
    if how:
        told = phase(progress, "measuring")
        shares = measured(model, coded, how.seen, how.lost, frequencies, told)
    for _ in range(ROUNDINGS):
        places = _places(shares, 8 * (AIM * limit.bytes - fixed))
        chosen = {**schemes, **_schemes(coded, places)}
        packed = quantize_model(
            model, chosen, frequencies, how.sums if how else None, phase(progress, f"rounding to {recipe.name}")
        )
        size = weights_size(packed)
        if abs(size - AIM * limit.bytes) <= (1 - AIM) * limit.bytes:
            break
        shares, taken = _corrected(shares, places, packed)
        fixed = size - taken
    if abs(size - limit.bytes) > MOST_OFF * limit.bytes:
        raise UsageError(
            f"budget {limit.text}: the nearest file has {size:,} bytes ({8 * size / model.parameters:.2f}bits), which "
            "is more than 2 % away from it; take that, or leave small matrices out of the entropy coded ones"
        )
    losses = {
        name: [float(share.losses()[at]) for share, at in zip(of_matrix, places[name], strict=True)]
        for name, of_matrix in shares.items()
    }
    plain_recipe = resolved(recipe, chosen)
    packed = replace(packed, recipe=plain_recipe)
    loss = sum(map(sum, losses.values())) if how else None
    head = _head(limit, model, size, loss, how)
    notes = {name: _notes(name, packed, of_matrix, how) for name, of_matrix in losses.items()}
    expected = {how.name: float(f"{loss:.4g}"), "lines": how.lines} if how and loss is not None else {}
    return Found(recipe_text(plain_recipe, head, notes), expected, packed)


def other_bytes(model: Model, schemes: Mapping[str, Scheme | Clustered]) -> float:
    """What all takes but the codes of entropy coded matrices, about."""
    blank: dict[str, Tensor] = {
        name: blank_matrix(model.tensors[name].shape, scheme) for name, scheme in schemes.items()
    }
    codes = sum(
        block.codes.nbytes
        for matrix in blank.values()
        if isinstance(matrix, PackedMatrix) and matrix.entropy_coded
        for block in matrix.blocks
    )
    whole = in_few_bytes(replace(model, tensors={**model.tensors, **blank}))
    return float(weights_size(whole, packed=True) - codes)


def _places(shares: Shares, room: float) -> dict[str, list[int]]:
    """The place of each share's step."""
    found = iter(allot([share for of_matrix in shares.values() for share in of_matrix], room))
    return {name: [next(found) for _ in of_matrix] for name, of_matrix in shares.items()}


def _schemes(
    coded: Mapping[str, EntropyCoded | Clustered], places: Mapping[str, Sequence[int]]
) -> dict[str, Scheme | Clustered]:
    found: dict[str, Scheme | Clustered] = {}
    for name, scheme in coded.items():
        several = [scheme_at(plain(scheme), at) for at in places[name]]
        if isinstance(scheme, Clustered):
            each = tuple((("bits", one.bits), ("step", one.step)) for one in several)
            found[name] = replace(scheme, scheme=several[-1], each=each)
        else:
            (found[name],) = several
    return found


def _corrected(shares: Shares, places: Mapping[str, Sequence[int]], packed: Model) -> tuple[Shares, float]:
    """The shares with the bits that their codes were found to take, and the bytes of all of them."""
    found, taken = {}, 0.0
    for name, of_matrix in shares.items():
        matrix = packed.tensors[name]
        assert isinstance(matrix, PackedMatrix)
        bits = [code_bits(block, matrix.shape[1]) for block in matrix.blocks]
        rows = zip(of_matrix, places[name], bits, strict=True)
        found[name] = [replace(share, extra=one - float(share.curve.bits[at])) for share, at, one in rows]
        taken += sum(share.weights * one for share, one in zip(of_matrix, bits, strict=True)) / 8
    return found, taken


def _refuse(limit: Budget, model: Model, shares: Shares, fixed: float) -> None:
    """Raise UsageError for a budget that is out of reach."""
    every = [share for of_matrix in shares.values() for share in of_matrix]
    ends = [fixed + sum(share.weights * share.bits()[step] for share in every) / 8 for step in (-1, 0)]
    if not ends[0] <= AIM * limit.bytes <= ends[1]:
        bits = [8 * end / model.parameters for end in ends]
        raise UsageError(
            f"budget {limit.text} is {limit.bytes:,} bytes, but the weights of this model take {ends[0]:,.0f} to "
            f"{ends[1]:,.0f} bytes ({bits[0]:.2f}bits to {bits[1]:.2f}bits), entropy coded"
        )


def _head(limit: Budget, model: Model, size: int, loss: float | None, how: Reading | None) -> list[str]:
    found = (
        f"Found by subbyte quantize for {json.dumps(model.folder.resolve().name)} and a budget of {limit.text}: "
        f"{size:,} bytes of weights, {8 * size / model.parameters:.2f} bits per weight, scales and header included."
    )
    if not how:
        return [found, "There was no text to measure on: every weight counts alike."]
    return [
        found,
        f"Expected to lose {loss:.3g} {how.unit}: what the matrices lose one by one, added up. That was measured on "
        f"{how.on}, which the weights were not rounded for. Behind each name are the bits that its codes are worth, "
        "and what it is expected to lose.",
    ]


def _notes(name: str, packed: Model, losses: Sequence[float], how: Reading | None) -> list[str]:
    matrix = packed.tensors[name]
    assert isinstance(matrix, PackedMatrix)
    lines = []
    for block, loss in zip(matrix.blocks, losses, strict=True):
        lines.append(f"{code_bits(block, matrix.shape[1]):.2f} bits" + (f", {loss:.2g} {how.unit}" if how else ""))
    if len(lines) == 1:
        return lines
    return [
        f"{name}, words by falling frequency:",
        *(f"  {b.rows} rows: {line}" for b, line in zip(matrix.blocks, lines, strict=True)),
    ]
