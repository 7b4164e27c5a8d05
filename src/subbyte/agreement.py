"""Whether a compressed model still says what the model it was made from says: both are asked, on a few lines.

The source model translates the lines greedily. Then both models say how likely each token of these translations is,
given those before it; a token is lost if the result finds it less than 1/e as likely as the source model did. The share
of lost tokens decides, for it counts alike with sure models and unsure ones, on easy text and hard (docs/agreement.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle, islice
from random import Random
from typing import TypedDict
from unicodedata import category

from subbyte.engine import Engine
from subbyte.likelihood import log_probabilities, translations
from subbyte.model import Model
from subbyte.progress import Steps
from subbyte.tokenization import SPACE, Tokenizer

TEXT_LINES = 16  # of a text that was given
WORD_LINES = 24  # of frequent words, if none was given
WORDS = 8  # a line of these
FREQUENT = 200  # words that they are drawn from
LINE = 2000  # characters of a translation that are compared; hostile vocabularies have words of thousands
LOST = 1.0  # nats
LIMITS = {"text": 0.2, "words": 0.4}  # shares of lost tokens; docs/agreement.md has what they tell apart


class Agreement(TypedDict):
    """How far a compressed model agrees with its source.

    compared  text: lines that were given; words: lines of frequent words of the vocabulary, in no order
    lost      share of the tokens of the source model's translations that the result finds less than 1/e as likely
    limit     the share above which the two disagree strongly
    nats      log-probability that such a token loses in the mean; None if the result has no numbers any more
    chrf      of the result's own translations, those of the source model being the references; 100 is equal
    """

    compared: str
    lines: int
    tokens: int
    lost: float
    limit: float
    nats: float | None
    chrf: float


def agreement(
    source: Model,
    result: Model,
    tokenizer: Tokenizer,
    text: Sequence[str] = (),
    progress: Steps | None = None,
) -> Agreement:
    """The agreement of two models with one vocabulary, on the first lines of a text, or on frequent words without."""
    progress = progress or (lambda done, total: None)
    lines = list(text[:TEXT_LINES]) or word_lines(tokenizer)
    asked = Engine(source)
    sentences = [tokenizer.encode(line, asked.max_positions) for line in lines]
    targets = translations(asked, sentences)
    progress(1, 4)
    before = log_probabilities(asked, sentences, targets)
    progress(2, 4)
    del asked  # its weights, in float32, are the larger part
    answering = Engine(result)
    after = log_probabilities(answering, sentences, targets)
    progress(3, 4)
    losses = [old - new for old, new in zip(before, after, strict=True)]
    nats = sum(losses) / len(losses)
    said = translations(answering, sentences)
    progress(4, 4)
    compared = "text" if text else "words"
    return {
        "compared": compared,
        "lines": len(lines),
        "tokens": len(losses),
        "lost": round(sum(not loss <= LOST for loss in losses) / len(losses), 4),  # what is no number is lost, too
        "limit": LIMITS[compared],
        "nats": round(nats, 4) if math.isfinite(nats) else None,
        "chrf": round(chrf(*([tokenizer.decode(ids)[:LINE] for ids in side] for side in (said, targets))), 2),
    }


def disagree_strongly(found: Agreement) -> bool:
    """Whether so many tokens are lost that the result is of no use."""
    return found["lost"] > found["limit"]


def chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """chrF of sacrebleu, 0..100, one reference each."""
    from sacrebleu.metrics.chrf import CHRF  # takes long to import, and is only needed here

    return float(CHRF().corpus_score(translations, [references]).score)


def word_lines(tokenizer: Tokenizer) -> list[str]:
    """Lines of frequent words, the same every time: a text in the model's language, if in no grammar.

    Vocabularies are sorted by falling frequency. Scripts without spaces have few words that are pieces; their pieces
    count as words. Models with several target languages are asked for each in turn.
    """
    names = [tokenizer.source.id_to_piece(id) for id in range(tokenizer.source.get_piece_size())]
    pieces = [name for name in names if _is_word(name.removeprefix(SPACE))]
    words = [name.removeprefix(SPACE) for name in pieces if name.startswith(SPACE)]
    words = (words if len(words) >= FREQUENT // 4 else [name.removeprefix(SPACE) for name in pieces])[:FREQUENT]
    random = Random(0)
    starts = islice(cycle([f"{language} " for language in tokenizer.languages] or [""]), WORD_LINES)
    return [start + " ".join(random.choices(words or names, k=WORDS)) + "." for start in starts]


def _is_word(piece: str) -> bool:
    """Whether it is two small letters or more, marks on them included."""
    return len(piece) > 1 and piece == piece.lower() and all(category(letter)[0] in "LM" for letter in piece)
