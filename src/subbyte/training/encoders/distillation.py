"""Losses that compare an encoder with its float32 teacher: labels, outputs of layers, relations within attention.

Relations are those of MiniLM (Wang et al. 2020) for a layer of both: how the queries of each head go with its keys, and
its values with each other. With A = softmax(Q K' / sqrt(d)) and a row for each of T tokens in each of H heads

    L = 1/(H T) sum over heads and rows of KL(A of the teacher || A of the student)

and the mean over all tokens of a batch; likewise for V V'. Filling is left out on both sides.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from subbyte.training.encoders.network import Heads


def soft_label_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Cross entropy of the teacher's probabilities, logits [texts, labels] of both divided by the temperature."""
    return F.cross_entropy(student / temperature, (teacher / temperature).softmax(-1))


def state_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """The squared error of what layers put out, by the teacher's squares; the mean over the layers.

    Both are [tokens, width] for every layer. TinyBERT's and TernaryBERT's loss (Jiao et al. 2020, Zhang et al. 2020),
    in a unit that does not depend on the size of the values.
    """
    shares = [F.mse_loss(x, y) / y.square().mean() for x, y in zip(student, teacher, strict=True)]
    return torch.stack(shares).mean()


def attention_loss(student: Heads, teacher: Heads, seen: Tensor) -> Tensor:
    """L of queries and keys; `seen` is bool [texts, positions]."""
    return _divergence(student.query, student.key, teacher.query, teacher.key, seen)


def value_loss(student: Heads, teacher: Heads, seen: Tensor) -> Tensor:
    """L of values and values."""
    return _divergence(student.value, student.value, teacher.value, teacher.value, seen)


def _divergence(q: Tensor, k: Tensor, teachers_q: Tensor, teachers_k: Tensor, seen: Tensor) -> Tensor:
    ours, theirs = _log_relation(q, k, seen), _log_relation(teachers_q, teachers_k, seen)
    rows = seen[:, None, :, None]
    each = F.kl_div(ours, theirs, reduction="none", log_target=True)
    counted = rows & seen[:, None, None, :]
    return each.masked_fill(~counted, 0).sum() / (q.shape[1] * seen.sum())


def _log_relation(q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
    """log softmax over the tokens that are seen, float32 [texts, heads, positions, positions]."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~seen[:, None, None, :], -1e9).log_softmax(-1)
