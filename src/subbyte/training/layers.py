"""Parts that the networks of both tasks have."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

ACTIVATION: Mapping[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


def rounded_per_token(x: Tensor) -> Tensor:
    """x as int8 levels times a scale a row (kernels.hpp, QuantizeRows); the gradient is that of x."""
    with torch.no_grad():
        exact = x.float()
        most = exact.abs().amax(-1, keepdim=True)
        levels = torch.round(exact * torch.where(most > 0, 127 / most, 0)) * (most / 127)
    return x + (levels - x).detach()


def drop(x: Tensor, share: float) -> Tensor:
    """Dropout. torch draws a random number for every value; that took a third of the time of a step, a byte does."""
    if share == 0:
        return x
    most = round(256 * share)
    drawn = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device)
    drawn.random_(-(1 << 63), None)
    kept = drawn.view(torch.uint8)[: x.numel()].view(x.shape) >= most
    return x * kept * (256 / (256 - most))
