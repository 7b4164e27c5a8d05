"""The safetensors container: its header, checked whole, and float tensors read from it. What names mean is not here.

Why not the safetensors library's own reader: it maps files into memory, so that a file cut short while it is open kills
the process; its numpy interface knows no bfloat16; and it copies. It writes our files, and tests compare the two.
"""

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from subbyte.errors import ModelError, SubbyteError, fault_list
from subbyte.folders.files import open_regular, parse_json

ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
MAX_DIMENSIONS = 8
PIECE = 1 << 22  # bytes read at a time
READERS = 4  # threads
HEADER_LIMIT = 1 << 19  # bytes; ten times the header of the largest MarianMT
MOST_HEADER_VALUES = 1 << 16
MOST_TENSORS = 1 << 13


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies: bytes `start` to `stop` of the file, row-major, little-endian."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    """What a safetensors file says about itself. Its tensors lie in the bytes `start` to `stop`."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]
    start: int
    stop: int


def open_header(path: Path, error: type[SubbyteError]) -> Header:
    """The header of the safetensors file at a path."""
    try:
        with open_regular(path) as file:
            return read_header(file, str(path), error)
    except OSError as e:
        raise error(f"{path}: cannot be read: {e}") from None


def read_header(file: BinaryIO, where: str, error: type[SubbyteError]) -> Header:
    """The header of a safetensors file, of at most HEADER_LIMIT bytes and MOST_TENSORS tensors.

    Checked are what the format promises: tensors fill the rest of the file exactly, without holes or overlap, and every
    shape and type accounts for its bytes.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise error(f"{where}: is not a whole safetensors file: {size:,} bytes, and a header of {length:,} announced")
    if length > HEADER_LIMIT:
        raise error(f"{where}: has a header of {length:,} bytes, more than the {HEADER_LIMIT:,} we read")
    text = file.read(length)
    if len(text) < length:
        raise error(f"{where}: was cut short while it was read")
    document = parse_json(text, f"{where}: header", error, MOST_HEADER_VALUES)
    if len(document) > MOST_TENSORS:
        raise error(f"{where}: holds {len(document):,} tensors, more than the {MOST_TENSORS:,} we read")
    metadata = document.pop("__metadata__", {})
    faults, base = [], 8 + length
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        faults.append("__metadata__ is not an object of strings")
    entries = {}
    for name, fields in document.items():
        if fault := _entry_fault(fields):
            faults.append(f"{name}: {fault}")
        else:
            start, stop = fields["data_offsets"]
            entries[name] = Entry(fields["dtype"], tuple(fields["shape"]), base + start, base + stop)
    if not faults:
        faults = _tiling_faults(entries, base, size)
    if faults:
        raise error(fault_list(f"{where}: header", faults))
    return Header(entries, metadata, base, size)


def _entry_fault(fields: Any) -> str | None:
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        return "should have exactly dtype, shape and data_offsets"
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        return f"dtype {dtype!r} is unknown"
    if not _naturals(shape) or len(shape) > MAX_DIMENSIONS:
        return f"shape {shape!r} is not a list of at most {MAX_DIMENSIONS} sizes"
    if not _naturals(offsets) or len(offsets) != 2:
        return f"data_offsets {offsets!r} are not two positions"
    needed = math.prod(shape) * ITEM_BYTES[dtype]
    if offsets[1] - offsets[0] != needed:
        return f"{dtype} {shape} takes {needed} bytes, has {offsets[1] - offsets[0]}"
    return None


def _naturals(values: Any) -> bool:
    """Whether this is a list of integers from 0 to 2**53 (so that even products of a few stay cheap)."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= 1 << 53 for value in values)


def _tiling_faults(entries: Mapping[str, Entry], start: int, size: int) -> list[str]:
    faults = []
    reached = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != reached:
            faults.append(f"{name}: starts at byte {entry.start}, where the tensor before it ends at {reached}")
        reached = entry.stop
    if reached != size:
        faults.append(f"the tensors end at byte {reached}, the file at {size}")
    return faults


def read_array(path: Path, error: type[SubbyteError], start: int = 0, stop: int | None = None) -> np.ndarray:
    """The bytes `start` to `stop` (the end) of a file, uint8.

    Most of the time is spent on making the memory present, which cores do side by side.
    """
    try:
        with open_regular(path) as file:
            descriptor = file.fileno()
            data = np.empty((os.fstat(descriptor).st_size if stop is None else stop) - start, np.uint8)

            def read(first: int) -> int:
                return os.preadv(descriptor, [data[first : first + PIECE].data], start + first)

            if data.size <= PIECE:
                count = read(0)
            else:
                with ThreadPoolExecutor(READERS) as pool:
                    count = sum(pool.map(read, range(0, data.size, PIECE)))
    except (OSError, MemoryError) as e:  # a file with holes can be larger than memory
        raise error(f"{path}: cannot be read: {e}") from None
    if count != data.size:
        raise error(f"{path}: was cut short while it was read")
    return data


def read_floats(path: Path, entry: Entry, name: str) -> np.ndarray:
    """One F32, F16 or BF16 tensor of a file, as float32 of its shape; values that are not finite are refused."""
    if entry.dtype not in ("F32", "F16", "BF16"):
        raise ModelError(f"{path}: {name} is {entry.dtype}; weights can be F32, F16 or BF16")
    raw = read_array(path, ModelError, entry.start, entry.stop)
    match entry.dtype:
        case "F32":
            values = raw.view("<f4")
        case "F16":
            values = raw.view("<f2").astype(np.float32)
        case _:  # bfloat16 is the upper half of a float32
            wide = raw.view("<u2").astype("<u4")
            wide <<= 16
            values = wide.view("<f4")
    if not np.isfinite(values).all():
        raise ModelError(f"{path}: {name} holds a value that is not a finite number")
    return values.reshape(entry.shape)
