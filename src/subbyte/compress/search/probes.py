"""What a model loses when one share of its weights after the other is rounded coarsely, for the choice of steps.

A share are the rows of a matrix that will have a step of their own: all of them, or a range of words. The other
matrices are in int8, which loses nearly nothing. Activations stay float32: rounded to int8 they fall otherwise wherever
anything before them changes at all, and that is more than most matrices lose.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from subbyte.compress.calibration.words import WORD_ROLES
from subbyte.compress.rounding import quantize_model
from subbyte.compress.search.steps import (
    BITS,
    PROBE,
    STEPS,
    Curve,
    Share,
    entropy,
    expected,
)
from subbyte.models.model import Model, Tensor, activations_of
from subbyte.numbers.arrays import Array
from subbyte.numbers.bits import unpack
from subbyte.numbers.granularity import RowClusters
from subbyte.numbers.matrices import dequantize, quantize_matrix
from subbyte.numbers.output_rounding import Columns
from subbyte.numbers.packed import Block, PackedMatrix
from subbyte.numbers.schemes import Clustered, EntropyCoded, Scheme, Uniform
from subbyte.progress import Steps, counting

LARGEST = 100.0  # what is worse than that, or has no number, has lost as much
FEWEST_WORDS = 1024  # of a matrix that is measured by ranges
RANGES = RowClusters(count=7, ratio=2)  # of words by falling frequency
BASE = Uniform(bits=8, range="minmax")
FINER = 0.5  # octaves: a range of words has half as many as the next, which occur twice as often, as if by Zipf's law

Lost = Callable[[Model], Array]  # a changed model -> float [tokens or texts], what each of them loses by the change


def ranged(model: Model, schemes: Mapping[str, Scheme | Clustered]) -> dict[str, EntropyCoded | Clustered]:
    """The entropy coded matrices among these, with words in the ranges that are to have steps of their own."""
    found: dict[str, EntropyCoded | Clustered] = {}
    for name, scheme in schemes.items():
        words = model.roles[name].kind in WORD_ROLES and model.tensors[name].shape[0] >= FEWEST_WORDS
        if isinstance(scheme, EntropyCoded):
            found[name] = Clustered(scheme, RANGES, each=((),) * RANGES.count) if words else scheme
        elif isinstance(scheme, Clustered) and isinstance(scheme.scheme, EntropyCoded):
            found[name] = Clustered(scheme.scheme, scheme.clusters, each=((),) * scheme.clusters.count)
    return found


def plain(scheme: EntropyCoded | Clustered) -> EntropyCoded:
    """The scheme, of clusters the one that they share."""
    one = scheme.scheme if isinstance(scheme, Clustered) else scheme
    assert isinstance(one, EntropyCoded)
    return one


def clusters_of(scheme: EntropyCoded | Clustered, rows: int, frequencies: Array | None) -> Array:
    """The share of each row, uint8 [rows]."""
    if not isinstance(scheme, Clustered):
        return np.zeros(rows, np.uint8)
    return scheme.clusters.assign(np.arange(rows, 0, -1) if frequencies is None else frequencies)


def unmeasured(
    model: Model, schemes: Mapping[str, EntropyCoded | Clustered], frequencies: Mapping[str, Array] | None = None
) -> dict[str, list[Share]]:
    """The shares of these matrices as they are expected without a text: every weight counts alike."""
    found = {}
    for name, scheme in schemes.items():
        w = np.asarray(model.tensors[name], np.float32)
        cluster = clusters_of(scheme, len(w), (frequencies or {}).get(name))
        parts = [w[cluster == i] for i in range(cluster.max(initial=0) + 1)]
        found[name] = [Share(part.size, Curve.of(part, plain(scheme)), float(part.size)) for part in parts]
    return found


def measured(
    model: Model,
    schemes: Mapping[str, EntropyCoded | Clustered],
    sums: Mapping[str, Array | Columns],
    asked: Callable[[Model], Lost],
    frequencies: Mapping[str, Array] | None = None,
    progress: Steps | None = None,
) -> dict[str, list[Share]]:
    """The same with what is lost by each, rounded alone.

    sums      as the grams of `rounding.quantize_model`
    asked     says what models lose against one, on another text than that of the sums
    progress  called with the shares measured so far and those in all
    """
    shares = unmeasured(model, schemes, frequencies)
    told = counting(progress, sum(map(len, shares.values())))
    base = quantize_model(model, {name: BASE for name in model.roles if isinstance(model.tensors[name], np.ndarray)})
    base = replace(base, activations=activations_of("float32"))
    lost = asked(base)
    losses, noise = [], []
    for name, scheme in schemes.items():
        coarse = replace(plain(scheme), bits=BITS, step=PROBE)
        steps = [PROBE * 2 ** (FINER * (i + 2 - len(shares[name]))) for i in range(len(shares[name]))]
        if isinstance(scheme, Clustered):
            probe: Scheme | Clustered = replace(scheme, scheme=coarse, each=tuple((("step", step),) for step in steps))
        else:
            probe, steps = coarse, [PROBE]
        packed = quantize_model(model, {name: probe}, frequencies, sums).tensors[name]
        assert isinstance(packed, PackedMatrix)
        told_of = zip(shares[name], steps, packed.blocks, _one_by_one(model, name, packed), strict=True)
        for i, (share, step, block, tensor) in enumerate(told_of):
            found = np.nan_to_num(lost(replace(base, tensors={**base.tensors, name: tensor})), nan=LARGEST)
            found = found.clip(-LARGEST, LARGEST) / share.curve.against_probe(step)
            losses.append(float(found.mean()))
            noise.append(float(found.std() / np.sqrt(len(found))))
            extra = code_bits(block, packed.shape[1]) - float(np.interp(step, STEPS, share.curve.bits))
            shares[name][i] = replace(share, extra=extra)
            told()
    weights = [share.weights for of_matrix in shares.values() for share in of_matrix]
    rest = iter(expected(losses, noise, weights))
    return {
        name: [replace(share, loss=loss) for share, loss in zip(of_matrix, rest, strict=False)]
        for name, of_matrix in shares.items()
    }


def code_bits(block: Block, cols: int) -> float:
    """Entropy of the codes of a block, in bits."""
    codes = block.codes.view(np.uint8) if block.bits == 8 else unpack(block.codes, cols)
    return entropy(np.bincount(codes.ravel()))


def _one_by_one(model: Model, name: str, packed: PackedMatrix) -> Iterator[Tensor]:
    """The matrix with only the rows of its first block rounded, only those of the next, and so on."""
    if packed.cluster is None:
        yield packed
        return
    exact, coarse = np.asarray(model.tensors[name], np.float32), dequantize(packed)
    for i in range(len(packed.blocks)):
        yield quantize_matrix(np.where((packed.cluster == i)[:, None], coarse, exact), BASE)
