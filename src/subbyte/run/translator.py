"""Text in, translations out: a tokenizer and an engine put together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import nan
from pathlib import Path
from typing import Any, Literal, Unpack, overload

from subbyte.errors import ModelError, UsageError
from subbyte.folders.opening import refuse_search, with_settings
from subbyte.models.kinds import require_translator
from subbyte.models.model import Model
from subbyte.models.search_options import SearchOptions
from subbyte.run.opening import Opened, opened, remembered
from subbyte.run.translation_engine import Engine, Generation, Hypothesis
from subbyte.text.batches import DEFAULT_BATCH_SIZE, in_batches
from subbyte.text.given import checked, checked_pairs, checked_text, one_or_many
from subbyte.text.lines import one_line
from subbyte.text.sentences import Segments, segments
from subbyte.text.target_languages import TargetLanguages
from subbyte.text.tokenizer import Tokenizer, load_tokenizer

logger = logging.getLogger("subbyte")


@dataclass(frozen=True)
class Translation:
    """text, its score (see `translation_engine.Hypothesis`), and how many tokens it took, end of sentence included.

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
        return sum(self.log_probabilities, 0.0)

    @property
    def mean(self) -> float:
        """That of a token."""
        return self.total / max(len(self.tokens), 1)


class Translator(Opened):
    """A translation model ready to use. Safe to use from several threads; calls wait for each other.

    from_pretrained(folder)            opens a compressed folder, a MarianMT folder, or one of Firefox's students
    translate(texts)                   list of texts -> list of translations; one text -> one translation
    translate_document(text)           a text of many lines, of which only the words change
    score(sources, targets)            list of float: log-probabilities in nats of given translations
    stream, stream_by_sentence,
    stream_scores                      the same for texts without end, a batch at a time

    Texts are strings in any iterable: a list, a generator, an array of numpy, a column of pandas. What is no string, or
    holds half of a surrogate pair, is a UsageError that names its number, before anything is translated. A text that is
    longer than the model reads is cut, with a warning. Other errors: ModelError for a folder that is no translation
    model, FormatError for a damaged one, KernelError for an instruction set that this machine lacks.

    close(), or the end of a `with` block, frees the memory. It can be pickled, and is opened again where it arrives;
    copies share the model.

    >>> translator = Translator.from_pretrained("opus-mt-en-de-4bit")
    >>> translator.translate(["A dog runs."], beam_size=4)
    ['Ein Hund läuft.']
    >>> translator.translate("A dog runs.")
    'Ein Hund läuft.'
    >>> with Translator.from_pretrained("opus-mt-en-de-4bit", threads=2) as translator:
    ...     translator.score("A dog runs.", "Ein Hund läuft.")
    -1.37
    """

    def __init__(self, engine: Engine, tokenizer: Tokenizer) -> None:
        self.engine = engine
        self.tokenizer = tokenizer

    @classmethod
    @remembered
    def from_pretrained(
        cls,
        folder: str | Path | Model,
        *,
        threads: int | None = None,
        isa: str = "best",
        activations: Literal["int8", "float32"] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Translator:
        """Opens a converted folder, a float32 Hugging Face MarianMT folder, or a Bergamot folder.

        threads      cores to use; default: all
        isa          instruction set: best, or one that `subbyte inspect` names (the results are the same bits)
        activations  inputs of matrix products: int8 (rounded per token) or float32; default: what the folder says.
                     A Bergamot folder runs in its own int8 codes, and with float32 in float32 weights as well
        settings     search settings in the place of those of generation_config.json, by their names there; None takes
                     one away, for instance one that is not supported (docs/search.md)

        A folder whose search settings are not supported is opened with a warning: it scores, and does not translate.
        """
        model = with_settings(opened(folder, require_translator, activations), settings)
        if not isinstance(folder, Model):
            try:
                refuse_search(model)
            except ModelError as error:
                logger.warning("%s", error)
        tokenizer = load_tokenizer(model.folder, model.config)
        return cls(Engine(model, isa=isa, threads=threads, activations=activations), tokenizer)

    @overload
    def translate(  # type: ignore[overload-overlap]
        self, texts: str, *, return_scores: Literal[False] = ..., num_hypotheses: Literal[1] = ...,
        batch_size: int = ..., split_sentences: bool = ..., target_language: str | None = ..., prefix: str = ...,
        **options: Unpack[SearchOptions],
    ) -> str: ...  # fmt: skip

    @overload
    def translate(
        self, texts: Iterable[str], *, return_scores: Literal[False] = ..., num_hypotheses: Literal[1] = ...,
        batch_size: int = ..., split_sentences: bool = ..., target_language: str | None = ..., prefix: str = ...,
        **options: Unpack[SearchOptions],
    ) -> list[str]: ...  # fmt: skip

    @overload
    def translate(
        self, texts: Iterable[str], *, return_scores: bool = ..., num_hypotheses: int = ..., batch_size: int = ...,
        split_sentences: Literal[False] = ..., target_language: str | None = ..., prefix: str = ...,
        **options: Unpack[SearchOptions],
    ) -> list[str] | list[tuple[str, float]] | list[list[str]] | list[list[tuple[str, float]]]: ...  # fmt: skip

    def translate(
        self,
        texts: Iterable[str],
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        num_hypotheses: int = 1,
        return_scores: bool = False,
        split_sentences: bool = False,
        target_language: str | None = None,
        prefix: str = "",
        **options: Unpack[SearchOptions],
    ) -> (
        str | tuple[str, float] | list[str] | list[tuple[str, float]] | list[list[str]] | list[list[tuple[str, float]]]
    ):
        """The translation of each text; what is not given is as the model's generation_config.json says.

        An empty text stays empty. With `return_scores` a translation is (text, score); with several hypotheses each
        text gets a list, best first. With `split_sentences` each sentence of a text is translated by itself, and the
        white space between them stays as it is; there are then neither scores nor hypotheses.

        target_language  for models with several: "deu" for the token >>deu<<; a text that begins with one keeps it
        prefix           what every translation begins with
        options          of the search: beam_size, max_length, max_new_tokens, min_length, min_new_tokens,
                         length_penalty, early_stopping, no_repeat_ngram_size, repetition_penalty, and do_sample with
                         temperature, top_k, top_p and seed; docs/search.md says what each does
        """
        given, one = one_or_many(texts)
        generation = self.generation(num_hypotheses=num_hypotheses, prefix=prefix, scores=return_scores, **options)
        if split_sentences:
            if return_scores or num_hypotheses > 1:
                raise UsageError("scores and hypotheses are those of a sentence; with split_sentences there are none")
            if prefix:
                raise UsageError("a prefix is that of one sentence; with split_sentences there is none")
            lines = list(self.stream_by_sentence(given, generation, batch_size, target_language))
            return lines[0] if one else lines
        found = self.stream(given, generation, batch_size, target_language)
        best: list[list[Any]] = [[(t.text, t.score) if return_scores else t.text for t in each] for each in found]
        answers = best if num_hypotheses > 1 else [translations[0] for translations in best]
        return answers[0] if one else answers

    def translate_document(
        self,
        text: str,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        target_language: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> str:
        """The text with its sentences translated and all that stands between them as it was (docs/text.md).

        The options are those of `translate`.

        >>> translator.translate_document("# Dogs\\n\\n  A dog runs. A cat sleeps.\\n")
        '# Hunde\\n\\n  Ein Hund läuft. Eine Katze schläft.\\n'
        """
        lines = checked_text(text, "the text").split("\n")
        return "\n".join(
            self.translate(
                lines, batch_size=batch_size, split_sentences=True, target_language=target_language, **options
            )
        )

    @overload
    def score(  # type: ignore[overload-overlap]
        self, sources: str, targets: str, *, batch_size: int = ..., normalize: bool = ...
    ) -> float: ...

    @overload
    def score(
        self, sources: Iterable[str], targets: Iterable[str], *, batch_size: int = ..., normalize: bool = ...
    ) -> list[float]: ...

    def score(
        self,
        sources: Iterable[str],
        targets: Iterable[str],
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        normalize: bool = False,
    ) -> float | list[float]:
        """The log-probability, in nats, of each target as the translation of its source, end of sentence included.

        normalize  divide it by the number of tokens
        """
        (before, one), (after, also) = one_or_many(sources, "source"), one_or_many(targets, "target")
        if one is not also:
            raise UsageError("score takes two lists of texts, or two texts; one of these is a text, the other a list")
        if len(before) != len(after):
            raise UsageError(f"there are {len(before):,} sources and {len(after):,} targets; each needs the other")
        found = self.stream_scores(zip(before, after, strict=True), batch_size)
        scores = [score.mean if normalize else score.total for score in found]
        return scores[0] if one else scores

    def generation(
        self, *, num_hypotheses: int = 1, prefix: str = "", scores: bool = True, **options: Unpack[SearchOptions]
    ) -> Generation:
        """The search that these options, those of `translate`, and the model's own settings ask for."""
        ids = self.tokenizer.encode_target(checked_text(prefix, "the prefix"))[:-1] if prefix != "" else []
        if self.tokenizer.unknown(ids):
            raise UsageError(
                f"prefix {prefix!r}: holds characters for which the model's target vocabulary has no pieces"
            )
        return self.engine.generation(num_hypotheses=num_hypotheses, prefix=ids, scores=scores, **options)

    def stream(
        self,
        texts: Iterable[str],
        generation: Generation,
        batch_size: int = DEFAULT_BATCH_SIZE,
        target_language: str | None = None,
    ) -> Iterator[list[Translation]]:
        """The hypotheses of each text, best first, as they come; reads `batch_size` texts at a time."""
        languages = TargetLanguages(self.tokenizer.languages, target_language)
        return self._stream(map(languages.addressed, checked(texts)), generation, batch_size, 1)

    def _stream(
        self, texts: Iterable[str], generation: Generation, batch_size: int, first: int
    ) -> Iterator[list[Translation]]:
        """The same of texts that begin with their language; `first` is the number of the first one."""
        read = (  # before batches are made: one is cut at a text that cannot be read, and those before it are not lost
            (number, self._encode(text, number) if text.strip() else None)
            for number, text in enumerate(texts, start=first)
        )
        for batch in in_batches(read, batch_size):
            asked = {number: ids for number, ids in batch if ids is not None}
            found = dict(zip(asked, self.engine.translate([*asked.values()], generation, [*asked]), strict=True))
            for number, _ in batch:
                hypotheses = found.get(number)
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
        languages = TargetLanguages(self.tokenizer.languages, target_language)
        number = 1  # of the next sentence
        for lines in in_batches((self._segments(text, languages) for text in checked(texts)), batch_size):
            sentences = [f"{token}{sentence}" for token, line in lines for sentence in line.sentences]
            found = (one_line(best.text) for best, *_ in self._stream(sentences, generation, batch_size, number))
            for _, line in lines:
                yield line.joined([*islice(found, len(line.sentences))])
            number += len(sentences)

    def stream_scores(self, pairs: Iterable[tuple[str, str]], batch_size: int = DEFAULT_BATCH_SIZE) -> Iterator[Score]:
        """The score of each (source, target), as they come; reads `batch_size` pairs at a time.

        A source that is too long is cut as in `translate`; a target that is too long has no score: UsageError.
        """
        languages = TargetLanguages(self.tokenizer.languages)

        def read(number: int, source: str, target: str) -> tuple[list[int], list[int]] | None:
            if not source.strip() and not target.strip():
                return None
            return self._encode(languages.addressed(source), number), self._encode_target(target, number)

        both = (read(number, *pair) for number, pair in enumerate(checked_pairs(pairs), start=1))
        for batch in in_batches(both, batch_size):
            asked = [pair for pair in batch if pair is not None]
            found = iter(self.engine.score([source for source, _ in asked], [target for _, target in asked]))
            for pair in batch:
                ids, logs = ([], []) if pair is None else (pair[1], next(found))
                yield Score(tuple(map(self.tokenizer.target_piece, ids)), tuple(logs))

    def _segments(self, text: str, languages: TargetLanguages) -> tuple[str, Segments]:
        """What each sentence of a text begins with, and the sentences."""
        start, words = languages.start_of(text)
        limit = self.engine.max_positions
        found = segments(words, lambda sentence: len(self.tokenizer.encode(start + sentence)) <= limit)
        if found.sentences and not start:
            languages.warn()
        return start, found

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
