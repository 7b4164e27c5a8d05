"""What is in the model.safetensors of a converted folder: named arrays and a manifest. Reading it is `weights_reader`.

`docs/format.md` has the bytes.
"""

import json
from typing import Any

import numpy as np
from safetensors.numpy import save

from subbyte.errors import FormatError, ModelError
from subbyte.folders.files import parse_json
from subbyte.folders.tensor_files import MOST_HEADER_VALUES, Header
from subbyte.models.model import Model
from subbyte.numbers.bits import pack
from subbyte.numbers.packed import Block, PackedMatrix

FORMAT_VERSION = 1
METADATA_KEY = "subbyte"
LARGEST_LEVEL = 127
MANIFEST_KEYS = {"format_version", "producer", "architecture", "activations", "aliases", "formats", "tensors"}


def file_of(model: Model, producer: str, *, packed: bool = False) -> bytes:
    """The whole file: the arrays, with the manifest as one JSON string in the metadata; `packed` as in `save`."""
    manifest = json.dumps(manifest_of(model, producer), separators=(",", ":"))
    data: bytes = save(arrays_of(model), metadata={METADATA_KEY: manifest})
    return data


def arrays_of(model: Model) -> dict[str, np.ndarray]:
    """The arrays of a converted model by the names they are stored under."""
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in model.tensors.items():
        if isinstance(tensor, PackedMatrix):
            arrays |= arrays_of_matrix(name, tensor)
        elif name in model.roles:
            raise ModelError(f"{name}: is still float32; only models whose matrices are all quantized can be saved")
        else:
            arrays[name] = np.ascontiguousarray(tensor, np.float32)
    return arrays


def arrays_of_matrix(name: str, matrix: PackedMatrix) -> dict[str, np.ndarray]:
    arrays = {}
    if matrix.cluster is not None and len(matrix.blocks) > 1:
        arrays[f"{name}.cluster"] = pack(matrix.cluster[None], cluster_bits(len(matrix.blocks)))[:, 0]
    for suffix, block in zip(suffixes(len(matrix.blocks)), matrix.blocks, strict=True):
        for part in ("codes", "scale", "alphas", "zero"):
            if (array := getattr(block, part)) is not None:
                arrays[f"{name}.{part}{suffix}"] = array
    return {key: np.ascontiguousarray(array) for key, array in arrays.items()}


def suffixes(blocks: int) -> list[str]:
    """What is put behind the array names of each block."""
    return [""] if blocks == 1 else [f".{i}" for i in range(blocks)]


def cluster_bits(blocks: int) -> int:
    """Bits of a cluster id."""
    return (blocks - 1).bit_length()


def manifest_of(model: Model, producer: str) -> dict[str, Any]:
    """What the names and shapes of the arrays do not say. Matrices of one kind share an entry of `formats`."""
    formats: list[dict[str, Any]] = []
    tensors = {}
    for name, tensor in model.tensors.items():
        if not isinstance(tensor, PackedMatrix):
            continue
        format = {"scheme": dict(tensor.scheme), "blocks": [_describe(block) for block in tensor.blocks]}
        if format not in formats:
            formats.append(format)
        tensors[name] = {
            "shape": list(tensor.shape),
            "role": str(model.roles[name]),
            "group_size": tensor.group_size,
            "format": formats.index(format),
        }
    return {
        "format_version": FORMAT_VERSION,
        "producer": producer,
        "architecture": model.architecture,
        "activations": model.activations.word,
        "aliases": dict(model.aliases),
        "formats": formats,
        "tensors": tensors,
    }


def _describe(block: Block) -> dict[str, Any]:
    levels = {} if block.levels is None else {"levels": compact_levels(block.levels)}
    flags = {part: True for part in ("alphas", "zero") if getattr(block, part) is not None}
    return {"bits": block.bits, **levels, **flags}


def compact_levels(levels: tuple[int, ...]) -> dict[str, int] | list[int]:
    """Evenly spaced levels as first, step and last (which later codes repeat), others as they are."""
    compact = {"first": levels[0], "step": levels[1] - levels[0], "last": levels[-1]}
    return compact if compact["step"] > 0 and _spaced(len(levels), **compact) == levels else list(levels)


def _spaced(count: int, first: int, step: int, last: int) -> tuple[int, ...]:
    return tuple(min(first + step * code, last) for code in range(count))


def expand_levels(plain: object, bits: int) -> tuple[int, ...] | None:
    """The 2**bits levels of a manifest, or None if these are not such."""
    if isinstance(plain, dict) and plain.keys() == {"first", "step", "last"}:
        first, step, last = (plain[key] for key in ("first", "step", "last"))
        if not all(map(_is_level, (first, last))) or first > last or type(step) is not int or not 1 <= step <= 254:
            return None
        return _spaced(2**bits, first, step, last)
    if isinstance(plain, list) and len(plain) == 2**bits and all(map(_is_level, plain)):
        return tuple(plain)
    return None


def _is_level(value: object) -> bool:
    return type(value) is int and -LARGEST_LEVEL <= value <= LARGEST_LEVEL


def read_manifest(header: Header, where: str) -> dict[str, Any]:
    """The manifest of a file, of our version and with the right keys; what the keys hold is still unchecked."""
    text = header.metadata.get(METADATA_KEY)
    if text is None:
        raise FormatError(f"{where}: has no {METADATA_KEY!r} in its metadata, so it is not a file of ours")
    manifest = parse_json(text.encode("utf-8"), f"{where}: metadata {METADATA_KEY!r}", FormatError, MOST_HEADER_VALUES)
    check_version(manifest.get("format_version"), where)
    if manifest.keys() != MANIFEST_KEYS:
        wrong = ", ".join(sorted(manifest.keys() ^ MANIFEST_KEYS))
        raise FormatError(f"{where}: the manifest lacks or should not have: {wrong}")
    return manifest


def check_version(version: object, where: str) -> None:
    """Refuse every format version but ours."""
    if type(version) is not int or version < 1:
        raise FormatError(f"{where}: format_version is {version!r}, should be {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise FormatError(
            f"{where}: was written by a later subbyte, in format version {version}; this one reads version "
            f"{FORMAT_VERSION}: upgrade subbyte"
        )


WEIGHTS = "model.safetensors"
