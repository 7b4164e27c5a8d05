"""Activations rounded to a grid while it is trained: its scales and zeros are parameters.

A grid is that of grids.py, and what comes out in float32 is bit for bit what it gives there. With g = dL/dx_hat
the gradients are (Bondarenko et al. 2021; LSQ+, Bhalgat et al. 2020)

    dL/dx = g inside, 0 outside
    dL/ds = sum g * (round(x/s) - x/s inside;  -limit - z below;  limit - z above)
    dL/dz = sum over outside of -s g

The other gradient of scales follows the error of rounding itself, E = mean (x_hat - x)^2, whatever the loss says (what
MKQ-BERT is believed to do; with q = x_hat / s and d = x_hat - x):

    exact (M1)   dE/ds = 2/N sum d q
    LSQ's (M2)   dE/ds = 2/N sum d (q - x/s inside;  q outside)
    both         dE/dz = 2/N sum over outside of -s d

An element is inside where its code is not clipped (Bondarenko et al.) or, half a step less, where x / s + z is not
(LSQ, and all but `learned` here). All sums are by group, of N elements. `learned` trains s and z themselves, as
Bondarenko et al.; all others train log s and z / limit, so that one learning rate serves all points. `lsq` divides
by sqrt(N limit) (Esser et al. 2020).
"""

import math
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from subbyte.numbers.grids import LEAST_SCALE, MOST_SCALE, Grid, limit
from subbyte.training.encoders.settings import Gradient

GRADIENTS: tuple[str, ...] = get_args(Gradient)
OF_ERROR = ("mse", "mse_exact", "blend")  # these use the error's gradient
DECAY = 0.999  # of the mean squares that blended gradients are divided by
TINY = 1e-30


class Span(NamedTuple):
    """A grid with numbers for one group, and with tensors of a number a column for several."""

    scale: Any
    inverse: Any  # of the scale
    low: Any  # least code less the zero: codes are counted from the zero here
    high: Any
    strict: bool  # what is inside goes by x, not by its code


class FakeQuantize(torch.autograd.Function):
    """x on a grid, and its codes before they are clipped, counted from the zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: Tensor, limit: int, strict: bool) -> tuple[Tensor, Tensor]:
        """x float32 [..., width]; scale and zero float32 [K], zero whole; strict: what is inside goes by x."""
        span = _span(scale, zero, limit, x.shape[-1], strict)
        codes = x * span.inverse
        codes.round_()
        rounded = codes.clamp(span.low, span.high)
        rounded *= span.scale
        ctx.span = span
        ctx.save_for_backward(x, rounded, codes, scale)
        ctx.mark_non_differentiable(codes)
        return rounded, codes

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None, None]:
        """Gradients of x, scale and zero."""
        x, rounded, codes, scale = ctx.saved_tensors
        inside = _inside(gradient, x, codes, ctx.span)
        if not ctx.needs_input_grad[1]:
            return inside, None, None, None, None
        outside, groups = gradient - inside, len(scale)
        of_scale = (_dot(inside, rounded - x, groups) + _dot(outside, rounded, groups)) / scale
        of_zero = -scale * _sum(outside, groups) if ctx.needs_input_grad[2] else None
        return inside, of_scale, of_zero, None, None


def error_gradients(
    x: Tensor, rounded: Tensor, codes: Tensor, scale: Tensor, zero: Tensor, limit: int, exact: bool
) -> tuple[Tensor, Tensor]:
    """dE/d(log scale) and dE/dzero, [K] each; E is the mean squared error of each group.

    rounded, codes  what FakeQuantize gave for x
    exact           M1, else M2
    """
    groups, span = len(scale), _span(scale, zero, limit, x.shape[-1], True)
    error = rounded - x
    inside = _inside(error, x, codes, span)
    outside = error - inside
    share = 2 * groups / x.numel()
    of_inside = _dot(inside, rounded if exact else inside, groups)
    return share * (of_inside + _dot(outside, rounded, groups)), -share * scale * _sum(outside, groups)


def _span(scale: Tensor, zero: Tensor, limit: int, width: int, strict: bool) -> Span:
    if len(scale) == 1:
        shift = float(zero)
        return Span(float(scale), float(scale.reciprocal()), -limit - shift, limit - shift, strict)
    parts = (scale, scale.reciprocal(), zero)
    columns, inverse, zeros = (part.repeat_interleave(width // len(scale)) for part in parts)
    return Span(columns, inverse, -limit - zeros, limit - zeros, strict)


def _inside(gradient: Tensor, x: Tensor, codes: Tensor, span: Span) -> Tensor:
    """The gradient where x is not clipped, else 0."""
    at, low, high = (x, span.low * span.scale, span.high * span.scale) if span.strict else (codes, span.low, span.high)
    if isinstance(low, float):  # in one pass; what is on the border itself is clipped there, so half a code on
        margin = 0.0 if span.strict else 0.5
        inside: Tensor = torch.ops.aten.hardtanh_backward(gradient, at, low - margin, high + margin)
        return inside
    return gradient * ((at >= low) & (at <= high))


def _sum(x: Tensor, groups: int) -> Tensor:
    """The sum of each group of columns, [K]."""
    return x.sum().view(1) if groups == 1 else x.flatten(0, -2).sum(0).view(groups, -1).sum(1)


def _dot(x: Tensor, y: Tensor, groups: int) -> Tensor:
    """The sum of x * y of each group of columns, [K]."""
    return torch.dot(x.flatten(), y.flatten()).view(1) if groups == 1 else _sum(x * y, groups)


class Quantizer(nn.Module):
    """The grid of one point while it is trained. A grid whose zeros are all 0 counts as symmetric, and stays so.

    Parameters are float64 [K], so that the grid a run starts with is the one that was given, logarithm or not.
    """

    squares: Tensor
    steps: Tensor

    def __init__(self, grid: Grid, gradient: Gradient = "learned", blend: float = 0.5) -> None:
        """`blend`: the share of the loss's gradient, for "blend"."""
        super().__init__()
        self.bits, self.limit, self.operand, self.rotation = grid.bits, limit(grid.bits), grid.operand, grid.rotation
        self.gradient, self.blend = gradient, blend
        self.linear = gradient in ("learned", "fixed")  # parameters are s and z themselves
        scale, zero = torch.tensor(grid.scale, dtype=torch.float64), torch.tensor(grid.zero, dtype=torch.float64)
        trained = gradient != "fixed"
        self.scale = nn.Parameter(scale if self.linear else scale.log(), requires_grad=trained)
        self.zero = nn.Parameter(zero if self.linear else zero / self.limit, requires_grad=trained and any(grid.zero))
        self.register_buffer("squares", torch.zeros(2, 2, len(scale)))  # running means: scale, zero; of loss, of error
        self.register_buffer("steps", torch.zeros(()))
        self._error: tuple[Tensor, Tensor] | None = None
        self._elements = 1

    def forward(self, x: Tensor) -> Tensor:
        """x, float32 [..., width], on the grid."""
        scale, zero = self._values()
        rounded: Tensor
        rounded, codes = FakeQuantize.apply(x, scale, zero, self.limit, not self.linear)
        self._elements = x.numel() // len(scale)
        if self.gradient in OF_ERROR and torch.is_grad_enabled():
            with torch.no_grad():
                exact = self.gradient == "mse_exact"
                self._error = error_gradients(x, rounded, codes, scale, zero, self.limit, exact=exact)
        return rounded

    def grid(self) -> Grid:
        """The grid as it stands."""
        with torch.no_grad():
            scale, zero = self._values()
        zeros = tuple(int(z) for z in zero.tolist())
        return Grid(self.bits, tuple(scale.tolist()), zeros, self.operand, self.rotation)

    @torch.no_grad()
    def settle(self) -> None:
        """After a backward pass: make the gradients of the parameters those that were asked for."""
        if self.gradient == "lsq":
            for parameter in (self.scale, self.zero):
                if parameter.grad is not None:
                    parameter.grad = parameter.grad / math.sqrt(self._elements * self.limit)
        elif self._error:
            self.steps += 1
            of_error = (self._error[0], self._error[1] * self.limit)  # z is limit times its parameter
            for parameter, error, squares in zip((self.scale, self.zero), of_error, self.squares, strict=True):
                if parameter.requires_grad:
                    blended = self._blended(_given(parameter), error.double(), squares)
                    parameter.grad = blended if self.gradient == "blend" else error.double()
            self._error = None

    def _blended(self, loss: Tensor, error: Tensor, squares: Tensor) -> Tensor:
        """Both gradients in units of their own size, as Adam takes it; else the larger one would decide alone."""
        both = torch.stack([loss, error])
        squares.mul_(DECAY).add_(both.square(), alpha=1 - DECAY)
        both = both / (squares / (1 - DECAY**self.steps)).sqrt().clamp(min=TINY)
        return self.blend * both[0] + (1 - self.blend) * both[1]

    def _values(self) -> tuple[Tensor, Tensor]:
        """Scale and zero, float32 [K], with their gradients; rounding a zero passes its gradient on."""
        scale = (self.scale if self.linear else self.scale.exp()).clamp(LEAST_SCALE, MOST_SCALE)
        zero = (self.zero if self.linear else self.zero * self.limit).clamp(-self.limit, self.limit)
        return scale.float(), (zero + (zero.round() - zero).detach()).float()


def _given(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
