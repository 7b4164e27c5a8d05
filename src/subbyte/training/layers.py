"""Parts that the networks of both tasks have."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from subbyte.errors import ModelError

Weights = Mapping[str, Tensor]

ACTIVATION: Mapping[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}
MOST_DROPPED = 0.9


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


def dropout_share(config: Mapping[str, Any], name: str, default: float) -> float:
    """A share of values to drop, as config.json has it. Raises ModelError for what is none."""
    share = config.get(name, default)
    if type(share) not in (int, float) or not 0 <= share <= MOST_DROPPED:
        raise ModelError(f"config.json: {name} is {share!r}, should be a number from 0 to {MOST_DROPPED}")
    return float(share)


def norm(w: Weights, name: str, x: Tensor, epsilon: float) -> Tensor:
    """The layer norm of this name, float32."""
    return F.layer_norm(x.float(), x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], epsilon)
