"""One matrix under its scheme while it is trained: fitted, rounded, and in the end packed as it was rounded.

The schemes are those of `numbers.schemes`, with torch's arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from subbyte.numbers.granularity import Granularity, PerTensor, group_size, grouped
from subbyte.numbers.matrices import CHUNK, dequantize, pack_block
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, EntropyCoded, Scheme, to_plain
from subbyte.numbers.schemes.fitting import TINY, half
from subbyte.numbers.schemes.uniform import Uniform

CELL = 0.45  # of a step: how far from its level a weight may start
PIECE = 1 << 15  # weights rounded at a time: what is computed on the way stays in the cache, and is not paged in anew


class Rounder:
    """Rounds a matrix; its parameters (scales and the like) stay until they are fitted again."""

    def __init__(self, shape: tuple[int, int], scheme: Scheme | Clustered, cluster: np.ndarray | None = None) -> None:
        """`cluster`: uint8 [rows], for a clustered scheme; default: rows are sorted by falling frequency."""
        self.shape, self.scheme = shape, scheme
        self.cluster: np.ndarray | None = None
        self._parts: list[_Part]
        if isinstance(scheme, Clustered):
            self.cluster = scheme.clusters.assign(np.arange(shape[0], 0, -1)) if cluster is None else cluster
            rows = [torch.from_numpy(np.flatnonzero(self.cluster == i)) for i in range(scheme.clusters.count)]
            self._parts = [_part(*part, shape) for part in zip(scheme.schemes, rows, strict=True)]
        else:
            self._parts = [_part(scheme, slice(None), shape)]

    @property
    def coded(self) -> list[CodedPart]:
        """Its parts, if they are entropy coded: these have steps that can be learned."""
        return [part for part in self._parts if isinstance(part, CodedPart)]

    def fit(self, w: Tensor) -> None:
        """Find the parameters for these weights, float32 [rows, cols]."""
        for part in self._parts:
            part.fit(w[part.rows])

    def adopt(self, packed: PackedMatrix) -> Tensor:
        """Take the parameters of a matrix that was packed under the same scheme; returns its values."""
        for part, block in zip(self._parts, packed.blocks, strict=True):
            arrays = {"scale": block.scale, "alphas": block.alphas, "zero": block.zero}
            part.params = {key: torch.from_numpy(a.copy()) for key, a in arrays.items() if a is not None}
        for coded in self.coded:
            coded.learn()
        return torch.from_numpy(dequantize(packed))

    def near(self, w: Tensor, values: Tensor) -> Tensor:
        """The weights that are nearest to `w` among those that are rounded to these values, not at a border."""
        near = torch.empty_like(w)
        for part in self.coded:
            reach = CELL * part.params["scale"].float()
            these = values[part.rows]
            near[part.rows] = torch.clamp(w[part.rows], these - reach, these + reach)
        return near

    def settle(self) -> None:
        """Make the steps what was learned, as they are stored."""
        for part in self.coded:
            part.settle()

    def of_steps(self, gradient: Tensor, rounded: Tensor) -> list[Tensor]:
        """The gradients of the logarithms of the steps, for that of the rounded weights."""
        return [part.of_step(gradient[part.rows], rounded[part.rows]) for part in self.coded]

    def rescale(self, w: Tensor) -> None:
        """Move the scales to the least squared error under the codes as they are: a small part of a fit."""
        for part in self._parts:
            part.rescale(w[part.rows])

    def round(self, w: Tensor, out: Tensor | None = None) -> Tensor:
        """The stored values that are nearest to these weights, float32 [rows, cols]; into `out`, if it is given."""
        rounded = torch.empty_like(w) if out is None else out
        if len(self._parts) == 1:
            return self._parts[0].round(w, rounded)
        for part in self._parts:
            rounded[part.rows] = part.round(w[part.rows], torch.empty_like(w[part.rows]))
        return rounded

    def ones(self) -> list[Tensor]:
        """A factor of 1 for every scale, by the parts of the matrix."""
        return [torch.ones(part.params["scale"].shape) for part in self._parts]

    def scaled(self, values: Tensor, factors: Sequence[Tensor]) -> Tensor:
        """Rounded values with every scale times its factor, as it would be stored; gradients go to the factors."""
        result = torch.empty_like(values)
        for part, factor in zip(self._parts, factors, strict=True):
            result[part.rows] = part.scaled(values[part.rows], factor)
        return result

    def pack(self, w: Tensor, factors: Sequence[Tensor] | None = None) -> PackedMatrix:
        """What `round` gives, or `scaled` of it, as it is stored: nothing is fitted again."""
        blocks = []
        for part, factor in zip(self._parts, factors or self.ones(), strict=True):
            arrays = {key: value.numpy() for key, value in part.params.items()}
            arrays["scale"] = part.stored(factor).numpy()
            blocks.append(pack_block(part.codes(w[part.rows]).numpy(), arrays, part.scheme))
        size = group_size(self._parts[0].scheme.granularity, self.shape[1])
        return PackedMatrix(self.shape, size, tuple(blocks), self.cluster, to_plain(self.scheme))

    def state_dict(self) -> list[dict[str, Tensor]]:
        """The parameters, for a checkpoint."""
        return [dict(part.params) for part in self._parts]

    def load_state_dict(self, state: list[dict[str, Tensor]]) -> None:
        """Take the parameters of a checkpoint."""
        for part, params in zip(self._parts, state, strict=True):
            part.params = params


class _Part:
    """The rows of a matrix that share a width, and their parameters."""

    def __init__(self, scheme: Scheme, rows: Tensor | slice) -> None:
        self.scheme, self.rows = scheme, rows
        self.params: dict[str, Tensor] = {}

    def fit(self, w: Tensor) -> None:
        step = len(w) if self.scheme.granularity == PerTensor() else max(1, CHUNK // w.shape[1])
        found: list[Any] = [self.scheme.fit(self._grouped(rows)) for rows in w.split(step)]
        self.params = {key: torch.cat([params[key] for params in found]) for key in found[0]}

    def rescale(self, w: Tensor) -> None:
        weights = self._grouped(w)
        values = self._grouped(self.round(w, torch.empty_like(w)))
        ratio = (weights * values).sum(-1) / (values * values).sum(-1).clamp(min=TINY)
        scale: Any = self.params["scale"].float() * ratio
        self.params = {**self.params, "scale": torch.as_tensor(half(scale))}

    def stored(self, factor: Tensor) -> Tensor:
        scale: Any = self.params["scale"].float() * factor
        return torch.as_tensor(half(scale))

    def scaled(self, values: Tensor, factor: Tensor) -> Tensor:
        ratio = self.stored(factor.detach()).float() / self.params["scale"].float()
        scaled: Tensor = self._grouped(values) * (factor + (ratio - factor).detach())[..., None]
        return scaled.reshape(values.shape)

    def codes(self, w: Tensor) -> Tensor:
        codes: Any = self.scheme.encode(self._grouped(w), self._known())
        return codes.reshape(w.shape)

    def round(self, w: Tensor, rounded: Tensor) -> Tensor:
        step = max(1, PIECE // w.shape[1])
        for start in range(0, len(w), step):
            rows = slice(start, start + step)
            rounded[rows] = self._values(self._grouped(w[rows]), self._known(rows)).reshape(rounded[rows].shape)
        return rounded

    def _values(self, w: Any, known: Any) -> Any:
        if isinstance(self.scheme, Uniform):
            return self.scheme.rounded(w, known)  # a third of the time
        return self.scheme.decode(self.scheme.encode(w, known), known)

    def _known(self, rows: slice = slice(None)) -> Any:  # Params, but torch's
        return self.params if self.scheme.granularity == PerTensor() else {k: p[rows] for k, p in self.params.items()}

    def _grouped(self, w: Any) -> Any:
        return grouped(w, self.scheme.granularity)


class CodedPart(_Part):
    """Rows that will be entropy coded. Their step can be learned, by its logarithm; the nearest level is what counts.

    Levels are integers, so all borders are multiples of a half: a level is looked up by the half that a weight is in.
    """

    def __init__(self, scheme: EntropyCoded, rows: Tensor | slice, shape: tuple[int, int]) -> None:
        super().__init__(replace(scheme, dead_zone=0.0), rows)
        self.levels = torch.unique(torch.tensor(scheme.levels))  # int64, rising
        self._first, last = 2 * int(self.levels[0]), 2 * int(self.levels[-1])
        self._most = last - self._first
        halves = torch.arange(self._first, last + 1) / 2
        borders = (self.levels[1:] + self.levels[:-1]) / 2
        self._code = torch.searchsorted(borders, halves, right=True)
        self._level = self.levels[self._code].float()
        self._gap = torch.searchsorted(self.levels, halves + 0.25, right=True)  # between which two levels a half is
        self.log_step = nn.Parameter(torch.zeros(scales_of(scheme.granularity, shape)))

    def fit(self, w: Tensor) -> None:
        super().fit(w)
        self.learn()

    def learn(self) -> None:
        """Begin to learn the step, as it is."""
        self.log_step.data = self.params["scale"].float().log()

    def settle(self) -> None:
        scale: Any = self.log_step.detach().exp()
        self.params = {**self.params, "scale": torch.as_tensor(half(scale))}

    def counts(self, w: Tensor) -> Tensor:
        """How often each level is the nearest, int64 [levels]."""
        halves = torch.zeros(self._most + 1, dtype=torch.int64)
        step = max(1, PIECE // w.shape[1])
        for start in range(0, len(w), step):
            rows = slice(start, start + step)
            found = self._halves(self._grouped(w[rows]), self._known(rows))
            halves += torch.bincount(found.flatten(), minlength=len(halves))
        return torch.zeros(len(self.levels), dtype=torch.int64).index_add_(0, self._code, halves)

    def pull(self, w: Tensor, slopes: Tensor, pace: float) -> None:
        """Move the weights of these rows of `w` down the slopes between levels, by `pace` in the mean."""
        slope = torch.cat([slopes[:1], slopes, slopes[-1:]])[self._gap].float()
        rows = w[self.rows]
        halves = self._halves(self._grouped(rows), self._known())
        moved = slope[halves].reshape(rows.shape)
        w[self.rows] = rows.sub_(moved, alpha=pace / max(float(moved.abs().mean()), TINY))

    def of_step(self, gradient: Tensor, rounded: Tensor) -> Tensor:
        """With s the step and q a level: s q, as codes stay where they are for a small change of the step.

        (Esser et al. 2020 have s (q - w / s), as if every weight were at a border. Weights that start near their levels
        are not, so that steps would go astray: for a student at 3 bits the loss rose from 0.34 to 1.5 in 70 updates.)
        """
        return (self._grouped(gradient) * self._grouped(rounded)).sum(-1)

    def _values(self, w: Any, known: Any) -> Any:
        return self._level[self._halves(w, known)] * known["scale"].float()[..., None]

    def _halves(self, w: Tensor, known: Any) -> Tensor:
        level = w / known["scale"].float()[..., None]
        return level.mul_(2).floor_().clamp_(self._first, self._first + self._most).to(torch.int64).sub_(self._first)


def _part(scheme: Scheme, rows: Tensor | slice, shape: tuple[int, int]) -> _Part:
    if not isinstance(scheme, EntropyCoded):
        return _Part(scheme, rows)
    return CodedPart(scheme, rows, (shape[0] if isinstance(rows, slice) else len(rows), shape[1]))


def scales_of(granularity: Granularity, shape: tuple[int, int]) -> tuple[int, int]:
    """The shape of the scales of a matrix."""
    return (1, 1) if granularity == PerTensor() else (shape[0], shape[1] // group_size(granularity, shape[1]))


class Stepped(torch.autograd.Function):
    """Rounded weights whose gradient is passed on as that of the weights, and to the steps of `rounder`."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, rounded: Tensor, rounder: Rounder, *steps: Tensor) -> Tensor:
        """The rounded weights."""
        ctx.rounder = rounder
        ctx.save_for_backward(rounded)
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the rounded weights, as that of the weights; those of the logarithms of steps."""
        return gradient, None, None, *ctx.rounder.of_steps(gradient, *ctx.saved_tensors)


class Rounded(torch.autograd.Function):
    """Rounded weights whose gradient is passed on as that of the weights (the straight-through estimator)."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, rounded: Tensor) -> Tensor:
        """The rounded weights."""
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient of the rounded weights, as that of the weights."""
        return gradient, None
