"""What an encoder loses with its weights in few bits: all of them under a preset, and one block of it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from subbyte.analysis.document import BlockEffect, Size, short
from subbyte.analysis.judging import Judge
from subbyte.arrays import Array
from subbyte.model import Model, Tensor
from subbyte.progress import Steps
from subbyte.quantization import dequantize, quantize_matrix, quantize_model
from subbyte.recipe import load_recipe, resolve, resolved
from subbyte.schemes import Normal
from subbyte.store import weights_size

PRESETS = ("int8", "normal4", "uniform4", "normal3", "uniform3", "uniform2")
BLOCK_BITS = (4, 2)


def sizes_and_blocks(model: Model, judge: Judge, progress: Steps | None = None) -> tuple[list[Size], list[BlockEffect]]:
    """Of a float32 encoder. Weights go to the nearest level: keeping outputs on a text takes ten times as long.

    Presets have activations as they say, blocks have them in float32, and levels for normally distributed weights.
    """
    grouped = blocks_of(model)
    done, total = 0, len(PRESETS) + len(BLOCK_BITS) * len(grouped)

    def step() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    sizes: list[Size] = []
    for preset in PRESETS:
        packed = with_preset(model, preset)
        sizes.append(size(preset, model, weights_size(packed)) | {"measured": judge(packed)})
        step()
    blocks: list[BlockEffect] = []
    for block, names in grouped.items():
        lost = {}
        for bits in BLOCK_BITS:
            changed: dict[str, Tensor] = dict(model.tensors)
            for name in names:
                w = np.asarray(model.tensors[name], np.float32)
                changed[name] = dequantize(quantize_matrix(w, Normal(bits)))
            lost[str(bits)] = judge(replace(model, tensors=changed))["distance"]
            step()
        blocks.append({"block": block, "weights": weights_of(model, names), "lost": lost, "given": {}})
    return sizes, blocks


def with_preset(model: Model, preset: str, sums: Mapping[str, Array] | None = None) -> Model:
    """The model as `subbyte quantize --recipe PRESET` makes it, with the sums of a calibration text if there are."""
    recipe = load_recipe(preset)
    schemes = resolve(recipe, model)
    packed = quantize_model(model, schemes, grams=sums)
    return replace(packed, activations=recipe.activations, recipe=resolved(recipe, schemes))


def size(name: str, model: Model, count: int) -> Size:
    """Of `count` bytes, with nothing known of its quality."""
    parameters = sum(int(np.prod(tensor.shape)) for tensor in model.tensors.values())
    return {"name": name, "bytes": count, "bits": short(8 * count / parameters), "expected": None, "measured": None}


def blocks_of(model: Model) -> dict[str, list[str]]:
    """Block -> the matrices in it: those of the same role in the same layer."""
    found: dict[str, list[str]] = {}
    for name, role in model.roles.items():
        found.setdefault(str(role), []).append(name)
    return found


def weights_of(model: Model, names: Sequence[str]) -> int:
    """How many weights these matrices have."""
    return sum(int(np.prod(model.tensors[name].shape)) for name in names)
