"""Pairs of sentences in batches of about the same number of tokens, in an order that only the seed decides."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

POOL = 64  # batches that are sorted by length together
FILL = -1
MOST_TOKENS = 200  # of a sentence; longer ones are left out


class Pair(NamedTuple):
    """A sentence and its translation as ids, both with the end of sentence."""

    source: Sequence[int]
    target: Sequence[int]

    @property
    def tokens(self) -> int:
        """Of the longer side."""
        return max(len(self.source), len(self.target))


class Batch(NamedTuple):
    """int64 [sentences, positions], filled up with FILL (the decoder's inputs with 0)."""

    source: Tensor
    inputs: Tensor  # what the decoder reads: the start token, then the target without its end
    labels: Tensor  # the target


def endless(pairs: Sequence[Pair], batch_tokens: int, seed: int, skip: int = 0) -> Iterator[list[Pair]]:
    """Batches of one epoch after the other, without the first `skip`."""
    epoch = 0
    while True:
        batches = _epoch(pairs, batch_tokens, random.Random(f"{seed} {epoch}"))
        for batch in batches[skip:]:
            yield [pairs[i] for i in batch]
        skip = max(0, skip - len(batches))
        epoch += 1


def _epoch(pairs: Sequence[Pair], batch_tokens: int, rng: random.Random) -> list[list[int]]:
    order = list(range(len(pairs)))
    rng.shuffle(order)
    mean = sum(pair.tokens for pair in pairs) / len(pairs)
    pool = max(1, int(POOL * batch_tokens / mean))
    batches: list[list[int]] = []
    for start in range(0, len(order), pool):
        batch: list[int] = []
        longest = 0
        for i in sorted(order[start : start + pool], key=lambda i: pairs[i].tokens):
            longest = max(longest, pairs[i].tokens)
            if batch and longest * (len(batch) + 1) > batch_tokens:
                batches.append(batch)
                batch, longest = [], pairs[i].tokens
            batch.append(i)
        batches.append(batch)
    rng.shuffle(batches)
    return batches


def to_tensors(pairs: Sequence[Pair], start: int) -> Batch:
    """A batch ready for the network; `start` is the decoder's start token."""
    inputs = [[start, *pair.target[:-1]] for pair in pairs]
    return Batch(
        _filled([pair.source for pair in pairs], FILL), _filled(inputs, 0), _filled([p.target for p in pairs], FILL)
    )


def _filled(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    table = torch.full((len(rows), max(map(len, rows))), fill, dtype=torch.int64)
    for row, ids in zip(table, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return table
