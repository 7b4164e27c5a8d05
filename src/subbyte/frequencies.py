"""How often the words of a model occur in a text, for schemes that give frequent words more bits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from subbyte.model import Model
from subbyte.tokenization import MarianTokenizer


def word_frequencies(model: Model, tokenizer: MarianTokenizer, lines: Iterable[str]) -> dict[str, np.ndarray]:
    """Matrix name -> int64 [rows], for every matrix with a row a word.

    A line is a source sentence, a tab and its translation; a line without a tab counts on both sides. Where the two
    sides share a vocabulary their counts are added.
    """
    words = {name: model.tensors[name].shape[0] for name, role in model.roles.items() if role.kind in WORD_ROLES}
    counts = {side: np.zeros(max(words.values()), np.int64) for side in ("source", "target")}
    target_ids = {piece: id for id, piece in tokenizer.target_pieces.items()}
    for line in lines:
        source, tab, target = line.partition("\t")
        pieces = tokenizer.target.encode(target if tab else source, out_type=str)
        np.add.at(counts["source"], tokenizer.encode(source), 1)
        np.add.at(counts["target"], [target_ids.get(piece, tokenizer.unk.id) for piece in pieces], 1)
        counts["target"][tokenizer.eos.id] += 1
    both = counts["source"] + counts["target"]
    stacks = {"encoder": counts["source"], "decoder": counts["target"]} if tokenizer.separate else {}
    return {name: stacks.get(model.roles[name].stack, both)[:rows] for name, rows in words.items()}


WORD_ROLES = ("embedding", "output")
