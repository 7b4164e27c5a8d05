"""A recipe that fits into a budget: measured, chosen, and written down for people."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from subbyte.compress.calibration.translation import grams_of, readable
from subbyte.compress.recipes.budgets import Budget, parse_budget
from subbyte.compress.recipes.recipe import Recipe, resolve, resolved
from subbyte.compress.recipes.writing import recipe_text
from subbyte.compress.search.choosing import Cost, Option, choose, options, widths
from subbyte.compress.search.sensitivity import measure
from subbyte.errors import UsageError
from subbyte.folders.converted.saving import weights_size
from subbyte.folders.converted.weights_file import arrays_of_matrix
from subbyte.models.model import Model, activations_of
from subbyte.numbers.arrays import Array
from subbyte.numbers.matrices import blank_matrix
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.progress import Progress, phase
from subbyte.run.translation_engine import Engine
from subbyte.text.tokenizer import Tokenizer

ARRAY_HEADER = 70  # bytes, about, that an array takes in the header of the file, its name not counted
SLACK = 100  # bytes, of each matrix, that this may be wrong by
HELD_OUT = 3  # one of so many sentences is not rounded for, but measured on


@dataclass(frozen=True)
class Found:
    """A recipe for one model, and what is expected of it.

    recipe    as TOML
    expected  for report.json: what is expected to be lost, and what that was measured on
    packed    the model under it, if it was made on the way
    """

    recipe: str
    expected: Mapping[str, float | int]
    packed: Model | None = None


def offered(model: Model, recipe: Recipe) -> dict[str, list[Scheme]]:
    """Matrix name -> all that it may be stored as: the recipe's scheme at every width."""
    schemes = resolve(recipe, model)
    return {name: widths(one.scheme if isinstance(one, Clustered) else one) for name, one in schemes.items()}


def search(
    model: Model,
    tokenizer: Tokenizer,
    budget: str,
    lines: Iterable[str],
    recipe: Recipe,
    *,
    text: str = "the calibration text",
    frequencies: Mapping[str, Array] | None = None,
    progress: Progress | None = None,
) -> Found:
    """The recipe with the least expected loss whose weights file has at most `budget` bytes.

    lines        the calibration text, and `text` what it is called
    recipe       says what family, granularity and other options each matrix has, and the activations; its bits and
                 clusters count for nothing
    frequencies  matrix name -> counts of its words, for clusters
    progress     called while the text is read, then while models are measured
    """
    parameters = model.parameters
    limit = parse_budget(budget, parameters)
    schemes = offered(model, recipe)
    activations = recipe.activations
    model = replace(model, activations=activations_of(activations))  # the file says so, and every byte of it counts
    _refuse(limit, model, schemes, parameters)

    engine = Engine(model, activations="float32")
    sentences = readable(tokenizer, lines, engine.max_positions)
    seen = [ids for i, ids in enumerate(sentences) if i % HELD_OUT != HELD_OUT - 1]
    sums = grams_of(model, engine, seen, phase(progress, "reading the text"))
    del engine
    held_out = sentences[HELD_OUT - 1 :: HELD_OUT]
    measured = measure(model, held_out, sums, schemes, frequencies, activations, phase(progress, "measuring"))

    chosen = choice(model, schemes, measured.costs, limit.bytes)
    by_name = {name: option.scheme for name, option in chosen.items()}
    nats = sum(option.loss for option in chosen.values())
    size = blank_size(model, by_name)
    name = f"budget-{limit.text}"
    description = f"bits by what each matrix minds, {8 * size / parameters:.2f} bits per weight in all"
    plain = resolved(Recipe(name, description, activations, ()), dict(sorted(by_name.items(), key=_by_size)))
    head = [
        f"Found by subbyte quantize --budget {limit.text} for {json.dumps(model.folder.resolve().name)}: {size:,} "
        f"bytes of weights, {8 * size / parameters:.2f} bits per weight, scales and header included.",
        f"Expected to lose {nats:.3g} nats a token: what the matrices lose one by one, added up. That was measured on "
        f"the model's own translations of a third of {json.dumps(text)} ({measured.tokens:,} tokens), which the "
        "weights were not rounded for. Behind each name is what the matrix is expected to lose as it is here, and what "
        "it lost when it alone was rounded, to fewer and to more bits.",
    ]
    notes = {name: _notes(name, option, measured.costs[name]) for name, option in chosen.items()}
    return Found(recipe_text(plain, head, notes), {"nats": round(nats, 4), "tokens": measured.tokens})


def choice(
    model: Model, schemes: Mapping[str, Sequence[Scheme]], costs: Mapping[str, Sequence[Cost]], limit: int
) -> dict[str, Option]:
    """The options with the least loss whose weights file has at most `limit` bytes; the smallest if there are none."""
    blanks: dict[tuple[str, Scheme | Clustered], PackedMatrix] = {}

    def blank(name: str, scheme: Scheme | Clustered) -> PackedMatrix:
        if (name, scheme) not in blanks:
            blanks[name, scheme] = blank_matrix(model.tensors[name].shape, scheme)
        return blanks[name, scheme]

    def size_of(name: str, scheme: Scheme | Clustered) -> int:
        """About."""
        arrays = arrays_of_matrix(name, blank(name, scheme))
        return sum(len(key) + ARRAY_HEADER + array.nbytes for key, array in arrays.items())

    def size(chosen: Mapping[str, Option]) -> int:
        matrices = {name: blank(name, option.scheme) for name, option in chosen.items()}
        return weights_size(replace(model, tensors={**model.tensors, **matrices}))

    found = {name: options(costs[name], several, partial(size_of, name)) for name, several in schemes.items()}
    smallest = {name: several[0] for name, several in found.items()}
    overhead = size(smallest) - sum(option.bytes for option in smallest.values())
    room = limit - overhead + SLACK * len(found)
    return choose(found, room, lambda chosen: size(chosen) - limit) or smallest


def blank_size(model: Model, schemes: Mapping[str, Scheme | Clustered]) -> int:
    """Bytes of the weights file of the model under these schemes, one for every matrix."""
    blank = {name: blank_matrix(model.tensors[name].shape, scheme) for name, scheme in schemes.items()}
    return weights_size(replace(model, tensors={**model.tensors, **blank}))


def _refuse(limit: Budget, model: Model, schemes: Mapping[str, Sequence[Scheme]], parameters: int) -> None:
    """Raise UsageError if nothing fits into the budget, before anything is measured."""
    ends = []
    for end in (min, max):
        extreme = {name: end(several, key=lambda one: one.bits) for name, several in schemes.items()}
        ends.append(blank_size(model, extreme))
    if limit.bytes < ends[0]:
        bits = [8 * size / parameters for size in ends]
        raise UsageError(
            f"budget {limit.text} is {limit.bytes:,} bytes, but the weights of this model take {ends[0]:,} to "
            f"{ends[1]:,} bytes ({math.ceil(100 * bits[0]) / 100:.2f}bits to {bits[1]:.2f}bits)"
        )


def _by_size(named: tuple[str, Scheme | Clustered]) -> tuple[bool, int, str, str]:
    """Clusters first, then narrow matrices before wide ones."""
    name, scheme = named
    clustered = isinstance(scheme, Clustered)
    plain = scheme.scheme if isinstance(scheme, Clustered) else scheme
    return not clustered, plain.bits, type(plain).__name__, name


def _notes(name: str, option: Option, costs: Sequence[Cost]) -> list[str]:
    def measured(cost: Cost) -> str:
        by_bits = sorted((scheme.bits, nats) for scheme, nats in cost.losses.items())
        return ", ".join(f"{nats:.2g} at {bits}" for bits, nats in by_bits) + (" bits" if by_bits else "")

    expected = f"{option.loss:.2g} nats"
    if len(costs) == 1:
        return [f"{expected}; {measured(costs[0])}"]
    first, lines = 1, [f"{name}: {expected}. Words by falling frequency:"]
    for cost in costs:
        last = first + cost.rows - 1
        lines.append(f"  {first} to {last}: {measured(cost)}")
        first = last + 1
    return lines
