"""Float matrices to packed ones and back. Pure: arrays in, arrays out; which matrix gets which scheme is told."""

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from subbyte.errors import SchemeError
from subbyte.numbers.arrays import Array
from subbyte.numbers.bits import pack, unpack
from subbyte.numbers.granularity import PerTensor, group_size, grouped
from subbyte.numbers.output_rounding import Columns
from subbyte.numbers.packed import Block, PackedMatrix
from subbyte.numbers.schemes import Clustered, Params, Scheme, to_plain

CHUNK = 1 << 17  # weights worked on at a time, so that what is computed on the way stays in the cache
CHUNKS_COMPENSATED = 8  # as many where columns are rounded one by one: each is a call, and little of it is in use


def quantize_matrix(
    w: Array, scheme: Scheme | Clustered, cluster: Array | None = None, gram: Array | Columns | None = None
) -> PackedMatrix:
    """The matrix under this scheme.

    w        float32 [rows, cols]
    cluster  uint8 [rows], for a clustered scheme only: the cluster of each row. Without it rows count as sorted by
             falling frequency, which is the order of sentencepiece vocabularies.
    gram     float64 [cols, cols], the sum of x x' over inputs x, or what was made of it: then w x is kept, not w (see
             output_rounding.py)
    """
    rows, cols = w.shape
    if not np.isfinite(w).all():
        raise SchemeError(f"{np.count_nonzero(~np.isfinite(w))} of {w.size} weights are not finite")
    columns = Columns.of(gram) if isinstance(gram, np.ndarray) else gram
    if isinstance(scheme, Clustered):
        if cluster is None:
            cluster = scheme.clusters.assign(np.arange(rows, 0, -1))
        elif cluster.shape != (rows,) or cluster.max(initial=0) >= scheme.clusters.count:
            raise SchemeError(f"expected a cluster below {scheme.clusters.count} for each of {rows} rows")
        blocks = tuple(_quantize_rows(w[cluster == i], one, columns) for i, one in enumerate(scheme.schemes))
    elif cluster is not None:
        raise SchemeError("clusters were given for a scheme without any")
    else:
        blocks = (_quantize_rows(w, scheme, columns),)
    return PackedMatrix((rows, cols), group_size(scheme.granularity, cols), blocks, cluster, to_plain(scheme))


def pack_block(codes: Array, params: Params, scheme: Scheme) -> Block:
    """The block of these codes, uint8 [rows, cols], and parameters: nothing is fitted."""
    stored = (codes.astype(np.int16) - 127).astype(np.int8) if scheme.bits == 8 else pack(codes, scheme.bits)
    levels = None if scheme.bits == 8 else scheme.levels
    return Block(scheme.bits, stored, params["scale"], levels, params.get("alphas"), params.get("zero"))


def blank_matrix(shape: tuple[int, int], scheme: Scheme | Clustered) -> PackedMatrix:
    """A matrix of zeros as it would be packed, quickly: what its file takes depends on nothing else."""
    rows, cols = shape
    size = group_size(scheme.granularity, cols)
    if isinstance(scheme, Clustered):
        schemes, sizes = scheme.schemes, scheme.clusters.sizes(rows)
    else:
        schemes, sizes = (scheme,), (rows,)
    clustered = isinstance(scheme, Clustered)
    cluster = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes) if clustered else None
    blocks = []
    for one, count in zip(schemes, sizes, strict=True):
        shared = (1, 1) if one.granularity == PerTensor() else (count, cols // size)
        hashable: Any = one
        spread = {key: np.broadcast_to(p[0, 0], (*shared, *p.shape[2:])) for key, p in _zero(hashable).items()}
        row = pack_block(np.zeros((1, cols), np.uint8), spread, one)
        codes = np.broadcast_to(row.codes, (*row.codes.shape[:-2], count, row.codes.shape[-1]))
        blocks.append(replace(row, codes=codes))
    return PackedMatrix(shape, size, tuple(blocks), cluster, to_plain(scheme))


@cache
def _zero(scheme: Any) -> Params:
    """The parameters of one weight, which is zero."""
    params: Params = scheme.fit(np.zeros((1, 1, 1), np.float32))
    return params


def dequantize(packed: PackedMatrix) -> Array:
    """The float32 matrix [rows, cols] that the packed one stands for, by the formula in `model.Block`."""
    if packed.cluster is None:
        return _dequantize_rows(packed.blocks[0], packed)
    w = np.empty(packed.shape, np.float32)
    for i, block in enumerate(packed.blocks):
        w[packed.cluster == i] = _dequantize_rows(block, packed)
    return w


def sqnr_db(w: Array, packed: PackedMatrix) -> float:
    """Signal to quantization noise in dB: 10 log10(sum w^2 / sum (w - dequantized)^2); inf where nothing is lost."""
    noise = float(np.square(w - dequantize(packed), dtype=np.float64).sum())
    signal = float(np.square(w, dtype=np.float64).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def _quantize_rows(w: Array, scheme: Scheme, columns: Columns | None) -> Block:
    rows, cols = w.shape
    chunk = CHUNKS_COMPENSATED * CHUNK if columns else CHUNK
    step = max(1, rows if scheme.granularity == PerTensor() else chunk // cols)
    parts: list[Params] = []
    codes = np.empty((rows, cols), np.uint8)
    for start in range(0, rows, step):
        these = np.asarray(w[start : start + step], np.float32)
        part = grouped(these, scheme.granularity)
        parts.append(scheme.fit(part))
        if columns:
            codes[start : start + step] = columns.encode(these, parts[-1], scheme)
        else:
            codes[start : start + step] = scheme.encode(part, parts[-1]).reshape(-1, cols)
    return pack_block(codes, {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}, scheme)


def _dequantize_rows(block: Block, packed: PackedMatrix) -> Array:
    cols, size = packed.shape[1], packed.group_size
    codes = block.codes if block.bits == 8 else unpack(block.codes, cols)
    scale = block.scale.astype(np.float32)[..., None]  # [rows or 1, groups or 1, 1]
    codes = codes.reshape(len(codes), -1, size)
    if block.alphas is not None:
        level = np.zeros(codes.shape, np.float32)
        for plane in range(block.bits):
            alpha = block.alphas[..., plane, None].astype(np.float32)
            level += np.where(codes >> plane & 1, alpha, -alpha)
    else:
        level = codes.astype(np.float32) if block.levels is None else np.array(block.levels, np.float32)[codes]
    if block.zero is not None:
        level -= block.zero[..., None]
    return (level * scale).reshape(-1, cols)
