"""A model's tensors as the core holds them in memory, and what this machine and this process allow."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np

import subbyte._core as _core
from subbyte.errors import KernelError, SubbyteError
from subbyte.models.model import SENTENCE, Model
from subbyte.numbers.packed import Block, PackedMatrix
from subbyte.run.runtime import Runtime

Core = TypeVar("Core", _core.Translation, _core.Encoder)


class Resident(Generic[Core]):
    """A model that the core holds, and what it says of itself.

    about         its architecture and the width of its weights, for people
    activations   how inputs of products are rounded: int8, float32 or static
    isa           the instruction set in use
    threads       that work together on a call
    few_inputs    up to so many rows of inputs, int8 products unpack codes in registers; above, a block at a time
    weight_bytes  resident bytes of the weight matrices, and of what was folded for static ranges
    """

    def __init__(
        self, model: Model, *, isa: str = "best", threads: int | None = None, activations: str | None = None
    ) -> None:
        """The arguments are those of `Runtime`. KernelError for a machine that cannot run it so."""
        runtime = Runtime(threads, isa, activations)
        self.about = about(model)
        self.activations = runtime.activations_of(model)
        try:
            self._core: Core = self._laid_out(model, runtime)
        except SubbyteError:  # of the model itself, and a ValueError too
            raise
        except ValueError as error:
            raise KernelError(str(error)) from None
        self.isa, self.threads = str(self._core.isa), int(self._core.threads)
        self.few_inputs, self.weight_bytes = int(_core.few_inputs(self.isa)), int(self._core.weight_bytes)

    def _laid_out(self, model: Model, runtime: Runtime) -> Core:
        """The model as the core holds it."""
        raise NotImplementedError


def instruction_sets() -> list[tuple[str, bool]]:
    """Instruction sets this build knows, best first, and whether this machine runs each."""
    return [(str(name), bool(runs)) for name, runs, _ in _core.isas()]


def about(model: Model) -> str:
    """The architecture of a model, and the bits of a weight in its matrices, in the mean over them."""
    if not model.compressed:
        return f"{model.architecture}, float32 weights"
    matrices = [model.tensors[name] for name in model.roles]
    sizes = [math.prod(matrix.shape) for matrix in matrices]
    bits = [32 if isinstance(matrix, np.ndarray) else matrix.bits for matrix in matrices]
    mean = sum(size * wide for size, wide in zip(sizes, bits, strict=True)) / sum(sizes)
    return f"{model.architecture}, {mean:.3g}-bit weights"


def laid_out(model: Model, threads: int) -> dict[str, _core.Matrix]:
    """Every matrix by its name and its aliases, laid out by this many threads."""
    with ThreadPoolExecutor(threads) as pool:  # laying out leaves the interpreter to the others
        made = pool.map(_matrix, [model.tensors[name] for name in model.roles])
        matrices = dict(zip(model.roles, made, strict=True))
    return matrices | {alias: matrices[name] for alias, name in model.aliases.items()}


def vectors(model: Model) -> dict[str, np.ndarray]:
    """Every tensor that is no matrix, float32 [n]; those behind the pooling are not the core's."""
    kept = {name: tensor for name, tensor in model.tensors.items() if not name.startswith(SENTENCE)}
    return {name: _vector(tensor) for name, tensor in kept.items() if name not in model.roles}


def _vector(tensor: np.ndarray | PackedMatrix) -> np.ndarray:
    assert isinstance(tensor, np.ndarray)
    return np.ascontiguousarray(tensor, np.float32)


def _matrix(tensor: np.ndarray | PackedMatrix) -> _core.Matrix:
    if isinstance(tensor, np.ndarray):
        return _core.Matrix.dense(np.ascontiguousarray(tensor, np.float32))
    rows, cols = tensor.shape
    cluster = None if tensor.cluster is None else np.ascontiguousarray(tensor.cluster, np.uint8)
    return _core.Matrix.packed(rows, cols, tensor.group_size, [_block(block) for block in tensor.blocks], cluster)


def _block(block: Block) -> tuple[Any, ...]:
    """The arrays of a block as the core wants them: contiguous, the scale in float32."""
    levels = None if block.levels is None else np.array(block.levels, np.int8)
    arrays = [None if a is None else np.ascontiguousarray(a) for a in (block.alphas, block.zero)]
    return (block.bits, np.ascontiguousarray(block.codes), block.scale.astype(np.float32), levels, *arrays)
