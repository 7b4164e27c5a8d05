"""What an encoder has on the way when it reads a calibration text: inputs of matrices, and ranges of activations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from subbyte.compress.calibration.grids import ORDERING_BATCHES, Calibrated, calibrate
from subbyte.compress.calibration.texts import enough
from subbyte.compress.recipes.point_rules import Rounding
from subbyte.models.encoder import equalizer
from subbyte.models.model import Model
from subbyte.models.operands import block, turned
from subbyte.numbers.arrays import Array
from subbyte.numbers.gram_sums import GramSums
from subbyte.progress import Steps, counting
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.text.encoder_tokenizer import EncoderTokenizer

BATCH = 16  # texts; running ranges see them so many at a time

Batch = tuple[list[list[int]], list[list[int]]]  # ids and types of texts


def readable(tokenizer: EncoderTokenizer, texts: Iterable[tuple[str, ...]]) -> list[Batch]:
    """The first texts as batches of ids, as many as are enough, without empty ones."""
    whole = (text for text in texts if all(part.strip() for part in text))
    chosen = enough(((text, len(tokenizer.encode([text])[0][0])) for text in whole), "texts")
    return [tokenizer.encode(chosen[first : first + BATCH]) for first in range(0, len(chosen), BATCH)]


def grams(
    model: Model, batches: Sequence[Batch], names: Sequence[str], progress: Steps | None = None
) -> dict[str, Array]:
    """Name -> float64 [cols, cols], the sum of x x' over the inputs x that the float model multiplies with these.

    Embeddings are only looked up, and left out.
    """
    names = [name for name in names if model.roles[name].kind != "embedding"]
    if not names:
        return {}
    engine = EncoderEngine(model, activations="float32")
    sums = GramSums()
    read = counting(progress, len(batches))
    for ids, types in batches:
        sums.add(zip(names, engine.inputs(ids, types, names), strict=True))
        read()
    return sums.sums()


def mean_squares(model: Model, batches: Sequence[Batch], points: Sequence[str]) -> dict[str, Array]:
    """Point -> float64 [width], the mean of the squares of each column of what the float model has there."""
    engine = EncoderEngine(model, activations="float32")
    sums: dict[str, Array] = {}
    rows = 0
    for ids, types in batches:
        values = engine.observe(ids, types, points)
        rows += sum(map(len, ids))
        for point, x in zip(points, values, strict=True):
            found = np.square(x, dtype=np.float64).sum(0)
            sums[point] = sums[point] + found if point in sums else found
    return {point: of_columns / rows for point, of_columns in sums.items()}


def ranges(
    model: Model,
    batches: Sequence[Batch],
    roundings: Mapping[str, Rounding],
    *,
    permute: bool = False,
    threads: int | None = None,
    progress: Steps | None = None,
) -> Calibrated:
    """Static grids for these points, from what the float model has there, or what matrices are to read of it."""
    engine = EncoderEngine(model, threads=threads, activations="float32")
    equalizers = {point: equalizer(point) for point in roundings}
    factors = {point: np.asarray(model.tensors[e]) for point, e in equalizers.items() if e in model.tensors}
    rotations = {point: block(engine.points[point].width) if one.rotate else 1 for point, one in roundings.items()}
    observed = counting(progress, len(batches) + (len(batches[:ORDERING_BATCHES]) if permute else 0))

    def observe(batch: Batch, points: list[str]) -> dict[str, Array]:
        values = {}
        for point, x in zip(points, engine.observe(*batch, points), strict=True):
            equal = x * factors[point] if point in factors else x
            values[point] = turned(equal, rotations[point]) if rotations[point] > 1 else equal
        observed()
        return values

    axis = [point.name for point in engine.points.values() if point.on_axis] if permute else None
    found = calibrate(observe, batches, roundings, axis)
    grids = {point: replace(grid, rotation=rotations[point]) for point, grid in found.grids.items()}
    return found._replace(grids=grids)
