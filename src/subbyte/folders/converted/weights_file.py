"""What is in the model.safetensors of a converted folder: named arrays and a manifest. Reading it is `weights_reader`.

`docs/format.md` has the bytes.
"""

import json

import numpy as np
from safetensors.numpy import save

from subbyte.errors import ModelError
from subbyte.folders.converted.weights_manifest import METADATA_KEY, manifest_of
from subbyte.models.model import Model
from subbyte.numbers.bits import pack
from subbyte.numbers.entropy import encode
from subbyte.numbers.packed import PackedMatrix

WEIGHTS = "model.safetensors"


def file_of(model: Model, producer: str, *, packed: bool = False) -> bytes:
    """The whole file: the arrays, with the manifest as one JSON string in the metadata; `packed` as in `save`."""
    manifest = json.dumps(manifest_of(model, producer, packed=packed), separators=(",", ":"))
    data: bytes = save(arrays_of(model, packed=packed), metadata={METADATA_KEY: manifest})
    return data


def arrays_of(model: Model, *, packed: bool = False) -> dict[str, np.ndarray]:
    """The arrays of a converted model by the names they are stored under."""
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in model.tensors.items():
        if isinstance(tensor, PackedMatrix):
            arrays |= arrays_of_matrix(name, tensor, packed=packed)
        elif name in model.roles:
            raise ModelError(f"{name}: is still float32; only models whose matrices are all quantized can be saved")
        else:
            vector = np.ascontiguousarray(tensor, np.float32)
            arrays[name] = half if packed and (half := as_half(name, vector)) is not None else vector
    return arrays


def as_half(name: str, vector: np.ndarray) -> np.ndarray | None:
    """A vector as float16, if that loses nothing; what is called a scale would be taken for that of a matrix."""
    with np.errstate(over="ignore"):
        half = vector.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), vector) and not name.endswith(".scale") else None


def arrays_of_matrix(name: str, matrix: PackedMatrix, *, packed: bool = False) -> dict[str, np.ndarray]:
    """Those of one matrix; packed, codes that an entropy coder makes smaller lie coded."""
    arrays = {}
    if matrix.cluster is not None and len(matrix.blocks) > 1:
        arrays[f"{name}.cluster"] = pack(matrix.cluster[None], cluster_bits(len(matrix.blocks)))[:, 0]
    for suffix, block in zip(suffixes(len(matrix.blocks)), matrix.blocks, strict=True):
        coded = encode(block.codes, matrix.shape[1]) if packed else None
        if coded is not None:
            arrays[f"{name}.coded{suffix}"] = coded
        for part in ("scale", "alphas", "zero") if coded is not None else ("codes", "scale", "alphas", "zero"):
            if (array := getattr(block, part)) is not None:
                arrays[f"{name}.{part}{suffix}"] = array
    return {key: np.ascontiguousarray(array) for key, array in arrays.items()}


def suffixes(blocks: int) -> list[str]:
    """What is put behind the array names of each block."""
    return [""] if blocks == 1 else [f".{i}" for i in range(blocks)]


def cluster_bits(blocks: int) -> int:
    """Bits of a cluster id."""
    return (blocks - 1).bit_length()
