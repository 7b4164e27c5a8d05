"""Text in, translations out: a tokenizer and an engine put together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import nan
from pathlib import Path
from typing import Literal, overload

from subbyte.engine import Engine, Generation, Hypothesis
from subbyte.errors import UsageError
from subbyte.folder import open_to_run
from subbyte.model import Model
from subbyte.sentences import Segments, language_of, segments
from subbyte.text_lines import in_batches, one_line
from subbyte.tokenization import Tokenizer, load_tokenizer

logger = logging.getLogger("subbyte")

DEFAULT_BATCH_SIZE = 32


@dataclass(frozen=True)
class Translation:
    """text, its score (see `engine.Hypothesis`), and how many tokens it took, end of sentence included.

    The score is nan where the generation asks for none.
    """

    text: str
    score: float
    tokens: int


@dataclass(frozen=True)
class Score:
    """How likely a translation is: its tokens, end of sentence included, and the log-probability of each in nats.

    None at all if source and translation are empty; the model is not asked then.
    """

    tokens: tuple[str, ...]
    log_probabilities: tuple[float, ...]

    @property
    def total(self) -> float:
        """The log-probability of the translation."""
        return sum(self.log_probabilities)

    @property
    def mean(self) -> float:
        """That of a token."""
        return self.total / max(len(self.tokens), 1)


class Translator:
    """A translation model ready to use. Safe to use from several threads; calls wait for each other.

    >>> translator = Translator.from_pretrained("opus-mt-en-de-4bit")
    >>> translator.translate(["A dog runs."], beam_size=4)
    ['Ein Hund läuft.']
    """

    def __init__(self, engine: Engine, tokenizer: Tokenizer) -> None:
        self.engine = engine
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path | Model,
        *,
        threads: int | None = None,
        isa: str = "best",
        activations: Literal["int8", "float32"] | None = None,
    ) -> Translator:
        """Opens a converted folder, a float32 Hugging Face MarianMT folder, or a Bergamot folder.

        threads      cores to use; default: all
        isa          instruction set: best, amx, avx512_vnni, avx2, reference (the results are the same bits)
        activations  inputs of matrix products: int8 (rounded per token) or float32; default: what the folder says.
                     A Bergamot folder runs in its own int8 codes, and with float32 in float32 weights as well
        """
        model = folder if isinstance(folder, Model) else open_to_run(folder, activations)
        tokenizer = load_tokenizer(model.folder, model.config)
        return cls(Engine(model, isa=isa, threads=threads, activations=activations), tokenizer)

    @overload
    def translate(
        self, texts: Iterable[str], *, return_scores: Literal[False] = ..., num_hypotheses: Literal[1] = ...,
        beam_size: int | None = ..., batch_size: int = ..., max_length: int | None = ...,
        length_penalty: float | None = ..., split_sentences: bool = ..., target_language: str | None = ...,
    ) -> list[str]: ...  # fmt: skip

    @overload
    def translate(
        self, texts: Iterable[str], *, return_scores: bool = ..., num_hypotheses: int = ...,
        beam_size: int | None = ..., batch_size: int = ..., max_length: int | None = ...,
        length_penalty: float | None = ..., split_sentences: Literal[False] = ..., target_language: str | None = ...,
    ) -> list[str] | list[tuple[str, float]] | list[list[str]] | list[list[tuple[str, float]]]: ...  # fmt: skip

    def translate(
        self,
        texts: Iterable[str],
        *,
        beam_size: int | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        max_length: int | None = None,
        length_penalty: float | None = None,
        num_hypotheses: int = 1,
        return_scores: bool = False,
        split_sentences: bool = False,
        target_language: str | None = None,
    ) -> list[str] | list[tuple[str, float]] | list[list[str]] | list[list[tuple[str, float]]]:
        """The translation of each text; what is not given is as the model's generation_config.json says.

        An empty text stays empty. With `return_scores` a translation is (text, score); with several hypotheses each
        text gets a list, best first. With `split_sentences` each sentence of a text is translated by itself, and the
        white space between them stays as it is; there are then neither scores nor hypotheses.

        target_language  for models with several: "deu" for the token >>deu<<; a text that begins with one keeps it
        """
        if isinstance(texts, str):
            raise UsageError("translate takes a list of texts, not one string")
        generation = self.engine.generation(
            beam_size=beam_size,
            num_hypotheses=num_hypotheses,
            max_length=max_length,
            length_penalty=length_penalty,
            scores=return_scores,
        )
        if split_sentences:
            if return_scores or num_hypotheses > 1:
                raise UsageError("scores and hypotheses are those of a sentence; with split_sentences there are none")
            return list(self.stream_by_sentence(texts, generation, batch_size, target_language))
        found = self.stream(texts, generation, batch_size, target_language)
        best: list[list[str]] | list[list[tuple[str, float]]]
        if return_scores:
            best = [[(t.text, t.score) for t in translations] for translations in found]
        else:
            best = [[t.text for t in translations] for translations in found]
        return best if num_hypotheses > 1 else [translations[0] for translations in best]  # type: ignore[return-value]

    def translate_document(
        self,
        text: str,
        *,
        beam_size: int | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        max_length: int | None = None,
        length_penalty: float | None = None,
        target_language: str | None = None,
    ) -> str:
        """The text with its sentences translated and all that stands between them as it was (docs/text.md).

        >>> translator.translate_document("# Dogs\\n\\n  A dog runs. A cat sleeps.\\n")
        '# Hunde\\n\\n  Ein Hund läuft. Eine Katze schläft.\\n'
        """
        generation = self.engine.generation(
            beam_size=beam_size, max_length=max_length, length_penalty=length_penalty, scores=False
        )
        return "\n".join(self.stream_by_sentence(text.split("\n"), generation, batch_size, target_language))

    def score(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        normalize: bool = False,
    ) -> list[float]:
        """The log-probability, in nats, of each target as the translation of its source, end of sentence included.

        normalize  divide it by the number of tokens
        """
        if isinstance(sources, str) or isinstance(targets, str):
            raise UsageError("score takes two lists of texts, not strings")
        if len(sources) != len(targets):
            raise UsageError(f"there are {len(sources):,} sources and {len(targets):,} targets; each needs the other")
        found = self.stream_scores(zip(sources, targets, strict=True), batch_size)
        return [one.mean if normalize else one.total for one in found]

    def stream(
        self,
        texts: Iterable[str],
        generation: Generation,
        batch_size: int = DEFAULT_BATCH_SIZE,
        target_language: str | None = None,
    ) -> Iterator[list[Translation]]:
        """The hypotheses of each text, best first, as they come; reads `batch_size` texts at a time."""
        language = self._language(target_language)
        read = (  # before batches are made: one is cut at a text that cannot be read, and those before it are not lost
            self._encode(self._addressed(text, language), number) if text.strip() else None
            for number, text in enumerate(texts, start=1)
        )
        for batch in in_batches(read, batch_size):
            asked = [ids for ids in batch if ids is not None]
            found = iter(self.engine.translate(asked, generation))
            for ids in batch:
                hypotheses = None if ids is None else next(found)
                if hypotheses is None:
                    yield [Translation("", 0.0 if generation.scores else nan, 0)] * generation.num_hypotheses
                else:
                    yield [self._translation(hypothesis) for hypothesis in hypotheses]

    def stream_by_sentence(
        self,
        texts: Iterable[str],
        generation: Generation,
        batch_size: int = DEFAULT_BATCH_SIZE,
        target_language: str | None = None,
    ) -> Iterator[str]:
        """The best translation of each text, sentence by sentence; all white space around the sentences is kept."""
        language = self._language(target_language)
        for lines in in_batches((self._segments(text, language) for text in texts), batch_size):
            sentences = [f"{token}{sentence}" for token, line in lines for sentence in line.sentences]
            found = (one_line(best.text) for best, *_ in self.stream(sentences, generation, batch_size))
            for _, line in lines:
                yield line.joined([*islice(found, len(line.sentences))])

    def stream_scores(self, pairs: Iterable[tuple[str, str]], batch_size: int = DEFAULT_BATCH_SIZE) -> Iterator[Score]:
        """The score of each (source, target), as they come; reads `batch_size` pairs at a time.

        A source that is too long is cut as in `translate`; a target that is too long has no score: UsageError.
        """
        read = (
            (self._encode(source, number), self._encode_target(target, number))
            if source.strip() or target.strip()
            else None
            for number, (source, target) in enumerate(pairs, start=1)
        )
        for batch in in_batches(read, batch_size):
            asked = [pair for pair in batch if pair is not None]
            found = iter(self.engine.score([source for source, _ in asked], [target for _, target in asked]))
            for pair in batch:
                ids, logs = ([], []) if pair is None else (pair[1], next(found))
                yield Score(tuple(map(self.tokenizer.target_piece, ids)), tuple(logs))

    def _language(self, name: str | None) -> str:
        """What texts for this target language begin with: its token and a blank; "" for none."""
        if name is None:
            return ""
        token = f">>{name}<<"
        known = self.tokenizer.languages
        if token not in known:
            listed = ", ".join(language[2:-2] for language in known)
            raise UsageError(
                f"{name}: is no target language of this model; "
                + (f"it has {listed}" if known else "it translates into one language and takes none")
            )
        return f"{token} "

    def _addressed(self, text: str, language: str) -> str:
        """The text with the language before it, unless it begins with one of its own."""
        return text if language_of(text, self.tokenizer.languages)[0] else language + text

    def _segments(self, text: str, language: str) -> tuple[str, Segments]:
        """What each sentence of a text begins with, and the sentences."""
        own, words = language_of(text, self.tokenizer.languages)
        start = f"{own} " if own else language
        limit = self.engine.max_positions
        return start, segments(words, lambda sentence: len(self.tokenizer.encode(start + sentence)) <= limit)

    def _encode(self, text: str, number: int) -> list[int]:
        ids = self.tokenizer.encode(text)
        limit = self.engine.max_positions
        if len(ids) > limit:
            logger.warning("text %d has %d tokens; the model reads %d, the rest is left out", number, len(ids), limit)
            ids = [*ids[: limit - 1], ids[-1]]
        return ids

    def _encode_target(self, text: str, number: int) -> list[int]:
        ids = self.tokenizer.encode_target(text)
        limit = self.engine.max_positions
        if len(ids) > limit:
            raise UsageError(f"target {number} has {len(ids)} tokens; the model writes at most {limit}: split it")
        return ids

    def _translation(self, hypothesis: Hypothesis) -> Translation:
        return Translation(self.tokenizer.decode(hypothesis.tokens), hypothesis.score, len(hypothesis.tokens) + 1)
