"""What an encoder loses with one block of its weights in few bits, all others in float32."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from subbyte.measure.analysis.document import BlockEffect
from subbyte.measure.analysis.quality import Judge
from subbyte.models.model import Model, Tensor
from subbyte.numbers.matrices import dequantize, quantize_matrix
from subbyte.numbers.schemes import Normal
from subbyte.progress import Steps, counting

BLOCK_BITS = (4, 2)


def blocks(model: Model, judge: Judge, progress: Steps | None = None) -> list[BlockEffect]:
    """Of a float32 encoder: to the nearest of the levels for normally distributed weights, activations in float32."""
    grouped = blocks_of(model)
    measured = counting(progress, len(BLOCK_BITS) * len(grouped))
    found: list[BlockEffect] = []
    for block, names in grouped.items():
        lost, noise = {}, {}
        for bits in BLOCK_BITS:
            changed: dict[str, Tensor] = dict(model.tensors)
            for name in names:
                w = np.asarray(model.tensors[name], np.float32)
                changed[name] = dequantize(quantize_matrix(w, Normal(bits)))
            quality = judge(replace(model, tensors=changed))
            lost[str(bits)], noise[str(bits)] = quality["distance"], quality["noise"]["distance"]
            measured()
        found.append({"block": block, "weights": weights_of(model, names), "lost": lost, "noise": noise, "given": {}})
    return found


def blocks_of(model: Model) -> dict[str, list[str]]:
    """Block -> the matrices in it: those of the same role in the same layer."""
    found: dict[str, list[str]] = {}
    for name, role in model.roles.items():
        found.setdefault(str(role), []).append(name)
    return found


def weights_of(model: Model, names: Sequence[str]) -> int:
    """How many weights these matrices have."""
    return sum(int(np.prod(model.tensors[name].shape)) for name in names)
