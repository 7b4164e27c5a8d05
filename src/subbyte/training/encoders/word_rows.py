"""The rows of a word embedding that a training text uses. The others have no gradient and stay as they are.

So only these are trained and rounded, which gives the same numbers in less time: half of a small encoder's weights are
words, and a text has a fifth of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from subbyte.numbers.packed import Block, PackedMatrix


class WordRows:
    """The words of some texts, and their numbers among these."""

    def __init__(self, texts: Iterable[Sequence[int]], count: int) -> None:
        """`count`: words of the vocabulary."""
        used = np.zeros(count, bool)
        for ids in texts:
            used[list(ids)] = True
        self.rows = np.flatnonzero(used)
        self._number = torch.from_numpy(np.cumsum(used) - 1)

    def numbered(self, ids: Tensor) -> Tensor:
        """Ids as rows of the smaller matrix."""
        return self._number[ids]

    def merged(self, whole: PackedMatrix, part: PackedMatrix) -> PackedMatrix:
        """The whole matrix with these rows as they are in `part`. Both have one block, and scales for each row."""
        (old,), (new,) = whole.blocks, part.blocks
        merged: dict[str, Any] = {}
        for name in ("codes", "scale", "alphas", "zero"):
            array, rows = getattr(old, name), getattr(new, name)
            if array is not None:
                array = array.copy()
                array[self._at(old, name)] = rows
                merged[name] = array
        return replace(whole, blocks=(replace(old, **merged),))

    def _at(self, block: Block, name: str) -> tuple[slice | np.ndarray, ...]:
        """Where the rows are: planes of bits come before them."""
        return (slice(None), self.rows) if name == "codes" and block.bits < 8 else (self.rows,)
