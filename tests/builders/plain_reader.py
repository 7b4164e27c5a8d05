"""A reader of the weights of a converted folder in plain Python, written from docs/format.md alone: slow and short.

It trusts what it reads. Nothing of subbyte is imported, and no numpy: it shows that the page is enough.
"""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path
from typing import Any

SCALE = re.compile(r"\.scale(\.\d+)?$")
TYPES = {"U8": "B", "I8": "b", "F16": "e", "F32": "f"}
Arrays = dict[str, tuple[str, list[int], bytes]]  # name -> type, shape, bytes


def read(path: Path) -> dict[str, Any]:
    """Name -> the values of a vector, or the rows of a matrix."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    manifest = json.loads(header.pop("__metadata__")["subbyte"])
    arrays: Arrays = {}
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        arrays[name] = entry["dtype"], entry["shape"], data[8 + length + start : 8 + length + stop]
    found: dict[str, Any] = {}
    scales = {name for name, (kind, _, _) in arrays.items() if kind == "F16" and SCALE.search(name)}
    matrices = sorted({SCALE.sub("", name) for name in scales})
    for name, index in zip(matrices, manifest["tensors"], strict=True):
        found[name] = matrix(arrays, name, manifest["formats"][index])
    for name, (kind, _, _) in arrays.items():
        if kind in ("F32", "F16") and name not in scales:
            found[name] = values(arrays, name)
    return found


def values(arrays: Arrays, name: str) -> list[Any]:
    """All values of an array, row-major."""
    kind, shape, data = arrays[name]
    return list(struct.unpack(f"<{math.prod(shape)}{TYPES[kind]}", data))


def matrix(arrays: Arrays, name: str, form: dict[str, Any]) -> list[list[float]]:
    """The rows of a matrix."""
    rows, cols = form["shape"]
    blocks = form["blocks"]
    cluster = [0] * rows
    if len(blocks) > 1:
        bits = (len(blocks) - 1).bit_length()
        planes = arrays[f"{name}.cluster"][2]
        cluster = from_planes(planes, bits, 1, rows)[0]
    made = []
    for number, block in enumerate(blocks):
        suffix = f".{number}" if len(blocks) > 1 else ""
        count = cluster.count(number)
        made.append(iter(block_rows(arrays, name, suffix, block, count, cols, form["group_size"])))
    return [next(made[number]) for number in cluster]


def block_rows(
    arrays: Arrays, name: str, suffix: str, block: dict[str, Any], rows: int, cols: int, group_size: int
) -> list[list[float]]:
    """The rows of a block: scale * (level - zero)."""
    bits, groups = block["bits"], cols // group_size
    if f"{name}.coded{suffix}" in arrays:
        symbols = decoded(arrays[f"{name}.coded{suffix}"][2], rows, cols)
        codes = [[s - 128 for s in row] for row in symbols] if bits == 8 else symbols
    elif bits == 8:
        flat = values(arrays, f"{name}.codes{suffix}")
        codes = [flat[row * cols : (row + 1) * cols] for row in range(rows)]
    else:
        codes = from_planes(arrays[f"{name}.codes{suffix}"][2], bits, rows, cols)
    scale = values(arrays, f"{name}.scale{suffix}")
    zero = values(arrays, f"{name}.zero{suffix}") if block.get("zero") else [0] * len(scale)
    alphas = values(arrays, f"{name}.alphas{suffix}") if block.get("alphas") else []
    one_for_all = arrays[f"{name}.scale{suffix}"][1] == [1, 1]

    def level(code: int, at: int) -> int:
        if block.get("alphas"):
            return sum(alphas[at * bits + b] * (1 if code >> b & 1 else -1) for b in range(bits))
        if bits == 8:
            return code
        levels = block["levels"]
        if isinstance(levels, list):
            return levels[code]
        return min(levels["first"] + levels["step"] * code, levels["last"])

    out = []
    for row in range(rows):
        places = [0 if one_for_all else row * groups + col // group_size for col in range(cols)]
        out.append([scale[at] * (level(codes[row][col], at) - zero[at]) for col, at in enumerate(places)])
    return out


def from_planes(planes: bytes, bits: int, rows: int, cols: int) -> list[list[int]]:
    """Codes of 1 to 7 bits."""
    width = -(-cols // 8)
    return [
        [
            sum((planes[(b * rows + row) * width + col // 8] >> col % 8 & 1) << b for b in range(bits))
            for col in range(cols)
        ]
        for row in range(rows)
    ]


def decoded(data: bytes, rows: int, cols: int) -> list[list[int]]:
    """The symbols of a coded block."""
    low, high = data[0], data[1]
    at = 2
    frequency, first, symbol_at = {}, {}, []
    for symbol in range(low, high + 1):
        f = data[at]
        at += 1
        if f >= 128:
            f = (f - 128) * 256 + data[at]
            at += 1
        frequency[symbol], first[symbol] = f, len(symbol_at)
        symbol_at += [symbol] * f
    step = max(1, 65536 // cols)
    chunks = -(-rows // step)
    lengths = struct.unpack(f"<{chunks}I", data[at : at + 4 * chunks])
    at += 4 * chunks
    flat: list[int] = []
    for chunk, length in enumerate(lengths):
        states = list(struct.unpack("<8I", data[at : at + 32]))
        words = iter(struct.unpack(f"<{(length - 32) // 2}H", data[at + 32 : at + length]))
        for i in range(min(step, rows - chunk * step) * cols):
            x = states[i % 8]
            place = x % 16384
            symbol = symbol_at[place]
            x = frequency[symbol] * (x // 16384) + place - first[symbol]
            if x < 65536:
                x = x * 65536 + next(words)
            states[i % 8] = x
            flat.append(symbol)
        assert states == [65536] * 8 and next(words, None) is None
        at += length
    assert at == len(data)
    return [flat[row * cols : (row + 1) * cols] for row in range(rows)]
