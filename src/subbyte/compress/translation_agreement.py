"""Whether a compressed model still says what the model it was made from says: both are asked, on a few lines.

The source model translates the lines greedily. Then both models say how likely each token of these translations is,
given those before it. Counted are the tokens that the source model is sure of: what it says where it is not, on text
that it was not made for, says nothing of what is lost. A token is lost if the result finds it less than 1/e as likely
as the source model did, and the share of lost tokens decides (docs/agreement.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random
from typing import TypedDict
from unicodedata import category

import numpy as np

from subbyte.metrics import chrf
from subbyte.models.model import Model
from subbyte.numbers.arrays import Array
from subbyte.progress import Steps, counting
from subbyte.run.likelihood import log_probabilities_by_target, translations
from subbyte.run.translation_engine import Engine
from subbyte.text.pieces import SPACE
from subbyte.text.tokenizer import Tokenizer

WORD_LINES = 24  # of frequent words, if none was given
WORDS = 8  # a line of these
FREQUENT = 200  # words that they are drawn from
LINE = 2000  # characters of a translation that are compared; hostile vocabularies have words of thousands
SURE = math.log(0.5)  # a token that is likelier than all others together
FEWEST = 0.05  # share of tokens that a model must be sure of; below it says nothing, and all of them count
FEW = 0.25  # share below which people are told that the text is not one for this model
LOST = 1.0  # nats
LIMITS = {"text": 0.02, "words": 0.4}  # shares of lost tokens; docs/agreement.md has what they tell apart
KEPT = 0.0125  # share up to which a preset may be chosen for somebody who did not ask for it, on text or words


class Agreement(TypedDict):
    """How far a compressed model agrees with its source.

    compared  text: lines of a text; words: lines of frequent words of the vocabulary, in no order
    tokens    of the source model's translations
    sure      those of them that it finds likelier than all others together
              (all, if these are too few)
    lost      share of these that the result finds less than 1/e as likely
    noise     standard error of that over the lines
    limit     the share above which the two disagree
    nats      log-probability that a token loses in the mean; None if the result has no numbers any more
    chrf      of the result's own translations, those of the source model being the references; 100 is equal
    """

    compared: str
    lines: int
    tokens: int
    sure: int
    lost: float
    noise: float
    limit: float
    nats: float | None
    chrf: float


@dataclass(frozen=True)
class Asked:
    """What a source model said of some lines: its translations, and how likely it found each of their tokens.

    sentences, targets  ids
    before              log-probabilities, a list for each line
    """

    tokenizer: Tokenizer
    compared: str
    sentences: Sequence[Sequence[int]]
    targets: Sequence[Sequence[int]]
    before: Sequence[Sequence[float]]

    def agreement(self, result: Model, progress: Steps | None = None) -> Agreement:
        """How far another model with the same vocabulary agrees."""
        told = counting(progress, 2)
        told(0)
        engine = Engine(result)
        after = log_probabilities_by_target(engine, self.sentences, self.targets)
        told()
        before = np.concatenate(self.before)
        losses = before - np.concatenate(after)
        nats = float(losses.mean())
        sure = counted(before)
        lost = ~(losses <= LOST) & sure  # what is no number is lost, too
        lines = np.repeat(np.arange(len(after)), [len(line) for line in after])
        said = translations(engine, self.sentences)
        told()
        return {
            "compared": self.compared,
            "lines": len(self.sentences),
            "tokens": before.size,
            "sure": int(sure.sum()),
            "lost": round(float(lost.sum() / sure.sum()), 4),
            "noise": round(max(_noise(lost, sure, lines), 1 / int(sure.sum())), 4),  # none seen is not none
            "limit": LIMITS[self.compared],
            "nats": round(nats, 4) if math.isfinite(nats) else None,
            "chrf": round(chrf(*([self.tokenizer.decode(ids)[:LINE] for ids in s] for s in (said, self.targets))), 2),
        }


def counted(before: Array) -> Array:
    """Which tokens count, by their log-probabilities: those that a model is sure of, or all, if these are too few."""
    sure: Array = before > SURE
    return sure if sure.mean() >= FEWEST else np.full(sure.shape, True)


def ask(source: Model, tokenizer: Tokenizer, text: Sequence[str] = (), progress: Steps | None = None) -> Asked:
    """What the source model says of the lines of a text, or of frequent words without one. Raises ModelError."""
    told = counting(progress, 2)
    told(0)
    lines = list(text) or word_lines(tokenizer)
    engine = Engine(source, activations="float32")
    sentences = [tokenizer.encode(line, engine.max_positions) for line in lines]
    targets = translations(engine, sentences)
    told()
    before = log_probabilities_by_target(engine, sentences, targets)
    told()
    return Asked(tokenizer, "text" if text else "words", sentences, targets, before)


def described(found: Agreement, text: str | None, limit: float) -> str:
    """An agreement for people: what was measured, with its noise and a limit, and on what."""
    lines = f"{found['lines']} lines of {text if found['compared'] == 'text' else 'frequent words'}"
    few = found["sure"] < FEW * found["tokens"] and found["compared"] == "text"
    return (
        f"{100 * found['lost']:.1f} +- {100 * found['noise']:.1f} % of what the model is sure of is lost (limit: "
        f"{100 * limit:g} %), {found['sure']:,} of {found['tokens']:,} tokens of its translations of {lines}"
        + (", of which it knows little: --check FILE with text of its own says more" if few else "")
    )


def _noise(lost: Array, counted: Array, lines: Array) -> float:
    """Standard error of a share of tokens, lines being independent of each other and tokens of a line not."""
    lost_by_line, counted_by_line = (np.bincount(lines, of_tokens) for of_tokens in (lost, counted))
    spread = lost_by_line - counted_by_line * lost.sum() / counted.sum()
    return float(np.sqrt(np.square(spread).sum()) / counted.sum())


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
