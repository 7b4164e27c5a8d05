"""Labelled texts in batches of about one length, in an order that only the seed decides."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from subbyte.text.batches import in_batches
from subbyte.training import batches
from subbyte.training.encoders.network import Tokens


class Example(NamedTuple):
    """A text or a pair as ids and types, special tokens included, and its class number or its number."""

    ids: Sequence[int]
    types: Sequence[int]
    label: float


class Batch(NamedTuple):
    """Texts and their labels, float32 [texts]."""

    tokens: Tokens
    labels: Tensor


def endless(examples: Sequence[Example], size: int, seed: int, skip: int = 0) -> Iterator[list[Example]]:
    """Batches of `size`, without the first `skip`."""
    return batches.endless(
        examples, lambda example: len(example.ids), batches.POOL * size, lambda some: in_batches(some, size), seed, skip
    )


def to_tensors(examples: Sequence[Example]) -> Batch:
    """A batch ready for the network."""
    lengths = torch.tensor([len(example.ids) for example in examples])
    seen = torch.arange(int(lengths.max())) < lengths[:, None]
    ids, types = torch.zeros(seen.shape, dtype=torch.int64), torch.zeros(seen.shape, dtype=torch.int64)
    ids[seen] = torch.tensor([i for example in examples for i in example.ids])
    types[seen] = torch.tensor([i for example in examples for i in example.types])
    return Batch(Tokens(ids, types, seen), torch.tensor([example.label for example in examples], dtype=torch.float32))
