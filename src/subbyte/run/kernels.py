"""Which kernels a model would run on, on this machine."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from subbyte.models.model import Model
from subbyte.numbers.packed import PackedMatrix
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.resident import instruction_sets
from subbyte.run.translation_engine import Engine

# How codes meet inputs (sentences times beams, or source tokens), few and many of them.
IN_REGISTERS = "codes unpacked in registers"
EXPANDED = "blocks of 16 rows expanded to int8 in the cache"
DENSE = "float32 weights as they are"


class KernelPath(TypedDict):
    """How matrices of one width are multiplied: with at most `few` inputs at once, and with more."""

    bits: int
    resident_bits: int
    few: int
    few_inputs: str
    many_inputs: str


class Kernels(TypedDict):
    """The instruction set that would run, all that this build and machine have or lack, and the path of each width."""

    isa: str
    available: list[str]
    unavailable: list[str]
    activations: str
    paths: list[KernelPath]


def kernels_of(model: Model, engine: Engine | EncoderEngine) -> Kernels:
    """What runs the products of a model that this engine holds."""
    few = engine.few_inputs if engine.activations != "float32" else 0
    paths: list[KernelPath] = []
    matrices = [model.tensors[name] for name in model.roles]
    blocks = [block for tensor in matrices if isinstance(tensor, PackedMatrix) for block in tensor.blocks]
    for bits in sorted({block.bits for block in blocks}):
        path = f"{EXPANDED}, {engine.activations} products"
        few_path = f"{IN_REGISTERS}, {engine.activations} products" if few else path
        resident = bits if bits <= 4 else 8
        paths.append({"bits": bits, "resident_bits": resident, "few": few, "few_inputs": few_path, "many_inputs": path})
    if any(isinstance(tensor, np.ndarray) for tensor in matrices):
        paths.append({"bits": 32, "resident_bits": 32, "few": 0, "few_inputs": DENSE, "many_inputs": DENSE})
    sets = instruction_sets()
    return {
        "isa": engine.isa,
        "available": [name for name, runs in sets if runs],
        "unavailable": [name for name, runs in sets if not runs],
        "activations": engine.activations,
        "paths": paths,
    }
