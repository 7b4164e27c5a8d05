"""Labelled texts in batches of about one length, in an order that only the seed decides."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from subbyte.training.encoders.network import Tokens

POOL = 64  # batches that are sorted by length together


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
    """Batches of `size` of one epoch after the other, without the first `skip`."""
    in_epoch = -(-len(examples) // size)
    epoch, skip = skip // in_epoch, skip % in_epoch
    while True:
        for batch in _epoch(examples, size, random.Random(f"{seed} {epoch}"))[skip:]:
            yield [examples[i] for i in batch]
        epoch, skip = epoch + 1, 0


def _epoch(examples: Sequence[Example], size: int, rng: random.Random) -> list[list[int]]:
    order = list(range(len(examples)))
    rng.shuffle(order)
    pools = [order[start : start + POOL * size] for start in range(0, len(order), POOL * size)]
    batches = []
    for pool in pools:
        pool.sort(key=lambda i: len(examples[i].ids))
        batches += [pool[start : start + size] for start in range(0, len(pool), size)]
    rng.shuffle(batches)
    return batches


def to_tensors(examples: Sequence[Example]) -> Batch:
    """A batch ready for the network."""
    lengths = torch.tensor([len(example.ids) for example in examples])
    seen = torch.arange(int(lengths.max())) < lengths[:, None]
    ids, types = torch.zeros(seen.shape, dtype=torch.int64), torch.zeros(seen.shape, dtype=torch.int64)
    ids[seen] = torch.tensor([i for example in examples for i in example.ids])
    types[seen] = torch.tensor([i for example in examples for i in example.types])
    return Batch(Tokens(ids, types, seen), torch.tensor([example.label for example in examples], dtype=torch.float32))
