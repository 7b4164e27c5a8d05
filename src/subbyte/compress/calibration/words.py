"""How often the words of a model occur in a text, for schemes that give frequent words more bits."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from subbyte.models.model import Model
from subbyte.text.tokenizer import Tokenizer

WORD_ROLES = ("embedding", "output")  # of the matrices with a row a word


def word_frequencies(model: Model, tokenizer: Tokenizer, lines: Iterable[str]) -> dict[str, np.ndarray]:
    """Matrix name -> int64 [rows], for every matrix with a row a word.

    A line is a source sentence, a tab and its translation; a line without a tab counts on both sides. Where the two
    sides share a vocabulary their counts are added.
    """
    halves = (line.partition("\t") for line in lines)
    pairs = ((tokenizer.encode(a), tokenizer.encode_target(b if tab else a)) for a, tab, b in halves)
    return count_words(model, pairs, separate=tokenizer.separate)


def count_words(
    model: Model, pairs: Iterable[tuple[Sequence[int], Sequence[int]]], *, separate: bool
) -> dict[str, np.ndarray]:
    """As `word_frequencies`, for sentences and translations as ids; `separate`: two vocabularies."""
    sources: Counter[int] = Counter()
    targets: Counter[int] = Counter()
    for source, target in pairs:
        sources.update(source)
        targets.update(target)
    sides = {"encoder": sources, "decoder": targets} if separate else {}
    found = {}
    for name, role in model.roles.items():
        if role.kind in WORD_ROLES:
            counts = sides.get(role.stack, sources + targets)
            found[name] = np.array([counts[word] for word in range(model.tensors[name].shape[0])])
    return found
