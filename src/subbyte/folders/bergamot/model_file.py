"""Marian's binary container: named arrays, one behind the other. What the names mean is in `student`.

    u64 version = 1, u64 n
    n x (u64 bytes of the name, u64 type, u64 rank, u64 bytes of the data)
    the names, each with a zero byte at its end
    the shapes, i32
    u64 bytes of padding, the padding
    the data

All of it adds up to the size of the file exactly, or is refused; before that, no number of it makes us allocate.
`docs/bergamot.md` has the types.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from subbyte.errors import ModelError, fault_list
from subbyte.folders.compressed_file import SUFFIXES, unpacked
from subbyte.folders.files import regular_file
from subbyte.folders.tensor_files import read_array

VERSION = 1
MOST_ITEMS = 1 << 16
MOST_DIMENSIONS = 8
MOST_NAME_BYTES = 1 << 10
ALIGNMENT = 256  # data may be filled up to a multiple of it

BYTES = 0x0101
FLOAT16 = 0x0402
FLOAT32 = 0x0404
INTGEMM8 = 0x4101  # int8, and one float32 behind them: weight = value / that number
TYPES: Mapping[int, tuple[str, int, int]] = {  # type -> what it is called, bytes a value, bytes behind them
    BYTES: ("int8", 1, 0),
    FLOAT16: ("float16", 2, 0),
    FLOAT32: ("float32", 4, 0),
    INTGEMM8: ("intgemm8", 1, 4),
}
OTHER_TYPES = {0x0102: "int16", 0x0104: "int32", 0x0408: "float64", 0x4102: "intgemm16"}


@dataclass(frozen=True)
class Item:
    """One array of a file: bytes `start` and on, of which `data` is a view; type and shape account for them."""

    name: str
    type: int
    shape: tuple[int, ...]
    start: int
    data: np.ndarray


def read_items(folder: Path, name: str) -> dict[str, Item]:
    """Everything in a file by name; it may be packed. Raises ModelError if it is not whole, or not of this kind."""
    path = regular_file(folder, name, ModelError)
    if name.endswith(SUFFIXES):
        return parse_items(np.frombuffer(unpacked(path, ModelError), np.uint8), str(path))
    return parse_items(read_array(path, ModelError), str(path))


class _Reader:
    """Takes numbers and bytes from the front of a buffer, never beyond its end."""

    def __init__(self, data: np.ndarray, where: str) -> None:
        self.data = data
        self.where = where
        self.at = 0

    def take(self, count: int, what: str) -> np.ndarray:
        left = self.data.size - self.at
        if count > left:
            raise ModelError(f"{self.where}: is not whole: {what} take {count:,} bytes, {left:,} are left in the file")
        self.at += count
        return self.data[self.at - count : self.at]

    def numbers(self, code: str, count: int, what: str) -> tuple[int, ...]:
        return struct.unpack(f"<{count}{code}", self.take(count * struct.calcsize(f"<{code}"), what).tobytes())


def parse_items(data: np.ndarray, where: str) -> dict[str, Item]:
    """What `read_items` does, for bytes that are read already: uint8 [size of the file]."""
    reader = _Reader(data, where)
    version, count = reader.numbers("Q", 2, "version and number of tensors")
    if version != VERSION:
        raise ModelError(f"{where}: is not a Marian model: it starts with {version}, should with version {VERSION}")
    if not 1 <= count <= MOST_ITEMS:
        raise ModelError(f"{where}: announces {count:,} tensors, should 1 to {MOST_ITEMS:,}")
    fields = reader.numbers("Q", 4 * count, "the headers")
    headers = [fields[i : i + 4] for i in range(0, len(fields), 4)]
    faults = [f"number {i} has a name of {length:,} bytes" for i, (length, _, _, _) in enumerate(headers)
              if not 2 <= length <= MOST_NAME_BYTES]  # fmt: skip
    faults += [f"number {i} has {rank:,} dimensions" for i, (_, _, rank, _) in enumerate(headers)
               if not 1 <= rank <= MOST_DIMENSIONS]  # fmt: skip
    if faults:
        raise ModelError(fault_list(f"{where}: tensors that cannot be", faults))
    names = [_name(reader.take(length, "the names").tobytes(), where) for length, _, _, _ in headers]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < 1000 else "..."
        raise ModelError(f"{where}: names that are there twice: {twice}")
    shapes = [reader.numbers("i", rank, "the shapes") for _, _, rank, _ in headers]
    (padding,) = reader.numbers("Q", 1, "the padding")
    reader.take(padding, "the padding")

    types = [type for _, type, _, _ in headers]
    lengths = [length for _, _, _, length in headers]
    left = data.size - reader.at
    faults = list(filter(None, map(_fault, names, types, shapes, lengths)))
    if not faults and sum(lengths) != left:
        faults = [f"the tensors take {sum(lengths):,} bytes, {left:,} are left in the file"]
    if faults:
        raise ModelError(fault_list(where, faults))
    return {
        name: Item(name, type, shape, reader.at, reader.take(length, name))
        for name, type, shape, length in zip(names, types, shapes, lengths, strict=True)
    }


def _name(data: bytes, where: str) -> str:
    try:
        name = data[:-1].decode("utf-8")
    except UnicodeDecodeError:
        name = "\0"
    if data[-1:] != b"\0" or not name.isprintable():
        raise ModelError(f"{where}: {data!r} is not the name of a tensor")
    return name


def _fault(name: str, type: int, shape: Sequence[int], length: int) -> str | None:
    if type not in TYPES:
        return f"{name} is of type {OTHER_TYPES.get(type, hex(type))}; read are float32, float16 and intgemm8"
    kind, size, behind = TYPES[type]
    if min(shape) < 1:
        return f"{name} is {list(shape)}"
    needed = math.prod(shape) * size + behind
    if not needed <= length <= -(-needed // ALIGNMENT) * ALIGNMENT:
        return f"{name}: {kind} {list(shape)} takes {needed:,} bytes, has {length:,}"
    return None


def int8_codes(item: Item, where: str) -> tuple[np.ndarray, np.float32]:
    """The values of an intgemm8 item, int8 [elements] as they are stored (a view), and the weight that 1 stands for."""
    count = math.prod(item.shape)
    multiplier = item.data[count : count + 4].view("<f4")[0].astype(np.float32)
    with np.errstate(all="ignore"):
        step = np.float32(1) / multiplier  # Bergamot, too, multiplies by it
        largest = step * np.float32(128)
    if not (multiplier > 0 and step > 0 and np.isfinite(largest)):
        raise ModelError(f"{where}: {item.name} has the multiplier {multiplier}, should be a positive number")
    return item.data[:count].view(np.int8), step


def floats(item: Item, where: str) -> np.ndarray:
    """The values of an item in float32, row-major as they are stored, [elements]; all of them finite."""
    count = math.prod(item.shape)
    match item.type:
        case 0x0404:
            values = item.data[: 4 * count].view("<f4").astype(np.float32)
        case 0x0402:
            values = item.data[: 2 * count].view("<f2").astype(np.float32)
        case 0x4101:
            codes, step = int8_codes(item, where)
            values = codes * step
        case _:
            raise ModelError(f"{where}: {item.name} is {TYPES[item.type][0]}, should hold weights")
    if not np.isfinite(values).all():
        raise ModelError(f"{where}: {item.name} holds a value that is not a finite number")
    return values
