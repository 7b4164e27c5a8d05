"""Losses of distillation against their formulas, worked out sentence by sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from subbyte.training.encoders.distillation import attention_loss, soft_label_loss, state_loss, value_loss  # noqa: E402
from subbyte.training.encoders.network import Heads  # noqa: E402

LENGTHS = (4, 2, 6)
SEEN = torch.arange(6) < torch.tensor(LENGTHS)[:, None]


def heads(seed: int) -> Heads:
    generator = torch.Generator().manual_seed(seed)
    return Heads(*(torch.randn(3, 2, 6, 5, generator=generator) for _ in range(3)))


def by_hand(first: str, second: str) -> float:
    """The mean over heads and tokens of KL(teacher || student), sentence by sentence without filling."""
    total = 0.0
    ours, theirs = heads(0), heads(1)
    for sentence, length in enumerate(LENGTHS):
        for head in range(2):

            def relation(of: Heads, sentence: int = sentence, head: int = head, length: int = length) -> Any:
                q, k = (getattr(of, part)[sentence, head, :length] for part in (first, second))
                return (q @ k.T / math.sqrt(5)).softmax(-1)

            p, q = relation(theirs), relation(ours)
            total += float((p * (p / q).log()).sum())
    return total / (2 * sum(LENGTHS))


@pytest.mark.parametrize("loss, parts", [(attention_loss, ("query", "key")), (value_loss, ("value", "value"))])
def test_relations_are_compared_over_what_is_there(loss: Callable[..., Any], parts: tuple[str, str]) -> None:
    assert float(loss(heads(0), heads(1), SEEN)) == pytest.approx(by_hand(*parts), rel=1e-5)
    assert float(loss(heads(0), heads(0), SEEN)) == pytest.approx(0, abs=1e-6)
    ours = heads(0)
    for part in ours:
        part.requires_grad_()
    loss(ours, heads(1), SEEN).backward()
    for name in parts:
        gradient = getattr(ours, name).grad
        assert torch.isfinite(gradient).all() and (gradient.transpose(1, 2)[~SEEN] == 0).all()


def test_states_are_compared_by_share_of_their_size() -> None:
    teacher = (torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.1]]))
    student = (torch.tensor([[3.0, 3.0]]), torch.tensor([[0.0, 0.0]]))
    assert float(state_loss(student, teacher)) == pytest.approx((1 / 25 + 1) / 2)


def test_soft_labels_at_a_temperature() -> None:
    student, teacher = torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, -2.0]])
    p = 1 / (1 + math.exp(-2.0))  # of the first label at temperature 2
    q = 1 / (1 + math.exp(1.0))
    expected = -(p * math.log(q) + (1 - p) * math.log(1 - q))
    assert float(soft_label_loss(student, teacher, 2.0)) == pytest.approx(expected, rel=1e-6)
