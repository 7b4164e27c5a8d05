"""A layer's attention computed once more, where its scores are to be seen: the core never holds them as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from subbyte.numbers.arrays import Array


def scores_and_probabilities(
    query: Array, key: Array, heads: int, lengths: Sequence[int], rounded: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """The scores and the probabilities of a layer before they are rounded, float32 [count, 1], head by head.

    query, key  float32 [tokens of all texts, hidden]
    lengths     tokens of each text
    rounded     what scores [count, 1] become on their way to probabilities
    """
    scores, probabilities = [np.zeros(0)], [np.zeros(0)]  # of no text there are none
    ends = np.cumsum(lengths, dtype=int)
    size = query.shape[1] // heads
    for length, end in zip(lengths, ends, strict=True):
        q, k = (array[end - length : end].reshape(-1, heads, size).transpose(1, 0, 2) for array in (query, key))
        score = q @ k.transpose(0, 2, 1)
        scores.append(score.ravel())
        seen = rounded(score.reshape(-1, 1)).reshape(score.shape) / np.sqrt(size)
        e = np.exp(seen - seen.max(-1, keepdims=True))
        probabilities.append((e / e.sum(-1, keepdims=True)).ravel())
    both = (np.concatenate(values).astype(np.float32)[:, None] for values in (scores, probabilities))
    return next(both), next(both)
