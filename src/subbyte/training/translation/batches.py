"""Pairs of sentences in batches of about the same number of tokens, in an order that only the seed decides."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from subbyte.training import batches

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
    """Batches of about `batch_tokens` tokens, filling included; without the first `skip`."""
    mean = sum(pair.tokens for pair in pairs) / len(pairs)
    pool = max(1, int(batches.POOL * batch_tokens / mean))
    return batches.endless(pairs, lambda pair: pair.tokens, pool, lambda some: _cut(some, batch_tokens), seed, skip)


def _cut(pairs: Sequence[Pair], batch_tokens: int) -> list[list[Pair]]:
    """Batches of pairs that come sorted by length."""
    found: list[list[Pair]] = [[]]
    for pair in pairs:
        if found[-1] and pair.tokens * (len(found[-1]) + 1) > batch_tokens:
            found.append([])
        found[-1].append(pair)
    return found


def to_tensors(pairs: Sequence[Pair], start: int) -> Batch:
    """A batch ready for the network; `start` is the decoder's start token."""
    inputs = [[start, *pair.target[:-1]] for pair in pairs]
    sources, targets = zip(*pairs, strict=True)
    return Batch(_filled(sources, FILL), _filled(inputs, 0), _filled(targets, FILL))


def _filled(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=fill)
