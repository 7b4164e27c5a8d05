"""How often the words of a model occur in a text, for schemes that give frequent words more bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from subbyte.model import Model
from subbyte.tokenization import Tokenizer

WORD_ROLES = ("embedding", "output")  # of the matrices with a row a word


def word_frequencies(model: Model, tokenizer: Tokenizer, lines: Iterable[str]) -> dict[str, np.ndarray]:
    """Matrix name -> int64 [rows], for every matrix with a row a word.

    A line is a source sentence, a tab and its translation; a line without a tab counts on both sides. Where the two
    sides share a vocabulary their counts are added.
    """
    sources: Counter[int] = Counter()
    targets: Counter[int] = Counter()
    for line in lines:
        source, tab, target = line.partition("\t")
        sources.update(tokenizer.encode(source))
        targets.update(tokenizer.encode_target(target if tab else source))
    sides = {"encoder": sources, "decoder": targets} if tokenizer.separate else {}
    found = {}
    for name, role in model.roles.items():
        if role.kind in WORD_ROLES:
            counts = sides.get(role.stack, sources + targets)
            found[name] = np.array([counts[word] for word in range(model.tensors[name].shape[0])])
    return found
