"""Batches of texts of about one length, in an order that only the seed decides."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import TypeVar

One = TypeVar("One")

POOL = 64  # batches that are sorted by length together


def endless(
    texts: Sequence[One],
    length: Callable[[One], int],
    pool: int,
    cut: Callable[[Sequence[One]], Iterable[list[One]]],
    seed: int,
    skip: int,
) -> Iterator[list[One]]:
    """Batches of one epoch after the other, without the first `skip`.

    pool  so many texts are sorted by length together
    cut   sorted texts -> batches
    """
    for epoch in count():
        rng = random.Random(f"{seed} {epoch}")
        order = list(texts)
        rng.shuffle(order)
        pools = (sorted(order[start : start + pool], key=length) for start in range(0, len(order), pool))
        batches = [batch for texts_of_one in pools for batch in cut(texts_of_one)]
        rng.shuffle(batches)
        yield from batches[skip:]
        skip = max(0, skip - len(batches))
