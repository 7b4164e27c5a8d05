"""Reading the model.safetensors of a converted folder without trust.

Every array is compared with what the architecture and the manifest say before it is used, and all that does not fit is
reported at once. Nothing is allocated that the file's size does not bound.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from subbyte.folders.converted.weights_file import cluster_bits, suffixes
from subbyte.folders.converted.weights_manifest import LARGEST_LEVEL, PACKED, Described, described, expand_levels
from subbyte.folders.tensor_files import Header
from subbyte.models.model import Tensor
from subbyte.models.specification import Specification
from subbyte.numbers import entropy
from subbyte.numbers.bits import unpack
from subbyte.numbers.packed import Block, PackedMatrix

MOST_PLANES = 4  # of binary coding
COLUMN_BLOCK = 16  # group sizes are multiples of it, or all columns
LARGEST_HALF = 0x7BFF  # as bits: 1..0x7BFF are the finite float16 above zero

DTYPES: Mapping[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"), "I8": np.dtype("i1"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4")
}  # fmt: skip


Check = tuple[Callable[[np.ndarray], object], str]  # whether an array can be, and what is wrong if it cannot
FINITE: Check = (lambda found: np.isfinite(found).all(), "holds a value that is not a finite number")
LEVELS: Check = (lambda found: found.min() >= -LARGEST_LEVEL, "holds a level of -128")
ALPHAS: Check = (
    lambda found: found.sum(-1, dtype=np.uint16).max() <= LARGEST_LEVEL, f"a sum is above {LARGEST_LEVEL}"
)  # fmt: skip
SCALES: Check = (
    lambda found: 1 <= found.view("<u2").min() and found.view("<u2").max() <= LARGEST_HALF,
    "holds a scale that is not a finite number above zero",
)


def tensors_of(
    header: Header,
    body: np.ndarray,
    manifest: Mapping[str, Any],
    spec: Specification,
    recipe: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors that `spec` lists, as views of `body`, and every fault found; with faults, tensors are missing.

    body    uint8, the bytes of the file behind the header
    recipe  of config.json, which names schemes
    """
    reader = _Reader(header, body, packed=manifest.get("format_version") == PACKED)
    tensors: dict[str, Tensor] = {}
    matrices = described(manifest, spec, recipe, reader.faults)
    added = {name: shape for name, shape in spec.added.items() if name in header.entries}
    for name, shape in {**spec.shapes, **added}.items():
        if name not in spec.roles:
            vector = reader.vector(name, shape)
            if vector is not None:
                tensors[name] = vector
        elif name not in matrices:
            reader.faults.append(f"missing tensor {name} {list(shape)} in the manifest")
            reader.disown(name)
        elif matrix := _matrix(reader, name, matrices[name], (shape[0], shape[1])):
            tensors[name] = matrix
        else:
            reader.disown(name)
    reader.faults += [f"unexpected tensor {name} in the manifest" for name in matrices if name not in spec.roles]
    reader.faults += [f"unexpected array {name}" for name in header.entries if name not in reader.claimed]
    reader.decode()
    return tensors, reader.faults


@dataclass
class _Reader:
    """The arrays of one file, handed out once they are what was expected; what was wrong so far."""

    header: Header
    body: np.ndarray
    packed: bool
    coded: dict[str, entropy.Coded] = field(default_factory=dict)  # whose codes are still to be filled
    faults: list[str] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)

    def array(
        self, name: str, dtype: str, shape: tuple[int, ...], fits: Callable[[np.ndarray], object], fault: str
    ) -> np.ndarray | None:
        """The array of this name, a view; None (and a fault) if it is missing or another one, or does not fit."""
        self.claimed.add(name)
        entry = self.header.entries.get(name)
        if entry is None:
            self.faults.append(f"missing array {name} {dtype} {list(shape)}")
            return None
        if (entry.dtype, entry.shape) != (dtype, shape):
            self.faults.append(f"array {name} is {entry.dtype} {list(entry.shape)}, should be {dtype} {list(shape)}")
            return None
        offset = entry.start - self.header.start
        if offset % DTYPES[dtype].itemsize:
            self.faults.append(f"array {name} is not aligned to its type")
            return None
        found = self.body[offset : entry.stop - self.header.start].view(DTYPES[dtype]).reshape(shape)
        if not fits(found):
            self.faults.append(f"{name}: {fault}")
            return None
        return found

    def vector(self, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """An array that is no part of a matrix, float32."""
        entry = self.header.entries.get(name)
        dtype = "F16" if self.packed and entry is not None and entry.dtype == "F16" else "F32"
        found = self.array(name, dtype, shape, *FINITE)
        return None if found is None else found.astype(np.float32, copy=False)

    def codes(self, name: str, suffix: str, bits: int, rows: int, cols: int) -> np.ndarray | None:
        """The codes of a block of some bits; those that lie coded are empty until `decode`."""
        coded = f"{name}.coded{suffix}"
        if self.packed and coded in self.header.entries:
            shape = self.header.entries[coded].shape
            data = self.array(coded, "U8", shape if len(shape) == 1 else (0,), lambda _: True, "")
            if data is None:
                return None
            if fault := entropy.fault_of(data, bits, rows, cols):
                self.faults.append(f"{coded}: {fault}")
                return None
            codes = entropy.blank(bits, rows, cols)
            self.coded[coded] = entropy.Coded(data, codes, cols)
            return codes
        if bits == 8:
            return self.array(f"{name}.codes{suffix}", "I8", (rows, cols), *LEVELS)
        unpadded = (lambda found: not _padded(found, cols), f"has bits set beyond its {cols} columns")
        return self.array(f"{name}.codes{suffix}", "U8", (bits, rows, -(-cols // 8)), *unpadded)

    def decode(self) -> None:
        """Fill what lies coded, all of it side by side."""
        faults = entropy.decode(list(self.coded.values()))
        self.faults += [f"{name}: {fault}" for name, fault in zip(self.coded, faults, strict=True) if fault]

    def disown(self, name: str) -> None:
        """Count every array of a tensor that could not be read as expected: one fault is enough."""
        self.claimed |= {key for key in self.header.entries if key.startswith(f"{name}.")}


def _matrix(reader: _Reader, name: str, described: Described, shape: tuple[int, int]) -> PackedMatrix | None:
    """One matrix, or None (and faults)."""
    faults_before = len(reader.faults)
    rows, cols = shape
    group_size, described_blocks = described["group_size"], described["blocks"]
    if described["shape"] != list(shape):
        reader.faults.append(f"tensor {name} is {described['shape']}, should be {list(shape)}")
    if type(group_size) is not int or group_size < 1 or cols % group_size or (group_size % 16 and group_size != cols):
        reader.faults.append(
            f"{name}: group_size is {group_size!r}, should be {cols} or a multiple of {COLUMN_BLOCK} that divides it"
        )
    if len(reader.faults) > faults_before:
        return None

    cluster, counts = None, [rows]
    if len(described_blocks) > 1:
        cluster = _cluster(reader, name, rows, len(described_blocks))
        if cluster is None:
            return None
        counts = np.bincount(cluster, minlength=len(described_blocks)).tolist()
    blocks = [
        _block(reader, name, suffix, description, (count, cols), cols // group_size)
        for suffix, description, count in zip(suffixes(len(described_blocks)), described_blocks, counts, strict=True)
    ]
    found = tuple(block for block in blocks if block is not None)
    if len(reader.faults) > faults_before:
        return None
    return PackedMatrix(shape, group_size, found, cluster, described["scheme"])


def _cluster(reader: _Reader, name: str, rows: int, blocks: int) -> np.ndarray | None:
    """uint8 [rows], the block of each row; every block has rows."""
    bits = cluster_bits(blocks)
    planes = reader.array(
        f"{name}.cluster", "U8", (bits, -(-rows // 8)),
        lambda found: unpack(found[:, None], rows).max() < blocks and not _padded(found, rows),
        f"holds ids beyond the {blocks} clusters",
    )  # fmt: skip
    if planes is None:
        return None
    cluster: np.ndarray = unpack(planes[:, None], rows)[0]
    if empty := set(range(blocks)) - set(np.unique(cluster).tolist()):
        reader.faults.append(f"{name}.cluster: no row is in cluster {', '.join(map(str, sorted(empty)))}")
        return None
    return cluster


def _padded(planes: np.ndarray, cols: int) -> bool:
    """Whether a bit is set beyond the last column."""
    return bool(cols % 8) and bool((planes[..., -1] >> (cols % 8)).any())


def _outline(description: Any) -> tuple[int, tuple[int, ...] | None] | str:
    """Bits and levels of a block that is described as it should be, else the fault."""
    if not isinstance(description, dict) or type(description.get("bits")) is not int:
        return f"{description!r} does not describe a block"
    match description:
        case {"bits": 8, **rest} if _flags(rest, {"zero"}):
            return 8, None
        case {"bits": bits, "alphas": True, **rest} if 1 <= bits <= MOST_PLANES and not rest:
            return bits, None
        case {"bits": bits, "levels": plain, **rest} if 1 <= bits <= 7 and _flags(rest, {"zero"}):
            levels = expand_levels(plain, bits)
            return (bits, levels) if levels else f"levels {plain!r} are not {2**bits} whole numbers in -127..127"
    return f"{description!r} does not describe a block"


def _block(
    reader: _Reader, name: str, suffix: str, description: Any, shape: tuple[int, int], groups: int
) -> Block | None:
    """The block that a manifest describes, or None (and faults). shape [rows, cols] of the block."""
    rows, cols = shape
    outline = _outline(description)
    if isinstance(outline, str):
        reader.faults.append(f"{name}: {outline}")
        return None
    bits, levels = outline
    codes = reader.codes(name, suffix, bits, rows, cols)
    stored = reader.header.entries.get(f"{name}.scale{suffix}")
    per = (1, 1) if stored is not None and stored.shape == (1, 1) else (rows, groups)  # one scale for all, or for each
    scale = reader.array(f"{name}.scale{suffix}", "F16", per, *SCALES)
    alphas = zero = None
    if "alphas" in description:
        alphas = reader.array(f"{name}.alphas{suffix}", "U8", (*per, bits), *ALPHAS)
    if "zero" in description:
        zero = reader.array(f"{name}.zero{suffix}", "I8", per, *LEVELS)
    if codes is None or scale is None:
        return None
    return Block(bits, codes, scale, levels, alphas, zero)


def _flags(rest: Mapping[Any, Any], allowed: set[str]) -> bool:
    return rest.keys() <= allowed and all(value is True for value in rest.values())
