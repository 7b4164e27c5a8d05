"""Text in, translations out: a tokenizer and an engine put together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, overload

from subbyte.engine import Engine, Generation, Hypothesis
from subbyte.errors import UsageError
from subbyte.folder import open_model
from subbyte.model import Model
from subbyte.tokenization import Tokenizer, load_tokenizer

logger = logging.getLogger("subbyte")

DEFAULT_BATCH_SIZE = 32


@dataclass(frozen=True)
class Translation:
    """text, its score (see `engine.Hypothesis`), and how many tokens it took, end of sentence included."""

    text: str
    score: float
    tokens: int


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
        isa          instruction set: best, avx512_vnni, avx2, reference (the results are the same bits)
        activations  inputs of matrix products: int8 (rounded per token) or float32; default: what the folder says
        """
        model = folder if isinstance(folder, Model) else open_model(folder)
        tokenizer = load_tokenizer(model.folder, model.config)
        return cls(Engine(model, isa=isa, threads=threads, activations=activations), tokenizer)

    @overload
    def translate(
        self, texts: Iterable[str], *, return_scores: Literal[False] = ..., num_hypotheses: Literal[1] = ...,
        beam_size: int | None = ..., batch_size: int = ..., max_length: int | None = ...,
        length_penalty: float | None = ...,
    ) -> list[str]: ...  # fmt: skip

    @overload
    def translate(
        self, texts: Iterable[str], *, return_scores: bool = ..., num_hypotheses: int = ...,
        beam_size: int | None = ..., batch_size: int = ..., max_length: int | None = ...,
        length_penalty: float | None = ...,
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
    ) -> list[str] | list[tuple[str, float]] | list[list[str]] | list[list[tuple[str, float]]]:
        """The translation of each text; what is not given is as the model's generation_config.json says.

        An empty text stays empty. With `return_scores` a translation is (text, score); with several hypotheses each
        text gets a list, best first.
        """
        if isinstance(texts, str):
            raise UsageError("translate takes a list of texts, not one string")
        generation = self.engine.generation(
            beam_size=beam_size, num_hypotheses=num_hypotheses, max_length=max_length, length_penalty=length_penalty
        )
        found = self.stream(texts, generation, batch_size)
        best: list[list[str]] | list[list[tuple[str, float]]]
        if return_scores:
            best = [[(t.text, t.score) for t in translations] for translations in found]
        else:
            best = [[t.text for t in translations] for translations in found]
        return best if num_hypotheses > 1 else [translations[0] for translations in best]  # type: ignore[return-value]

    def stream(
        self, texts: Iterable[str], generation: Generation, batch_size: int = DEFAULT_BATCH_SIZE
    ) -> Iterator[list[Translation]]:
        """The hypotheses of each text, best first, as they come; reads `batch_size` texts at a time."""
        if batch_size < 1:
            raise UsageError(f"batch size is {batch_size}, should be at least 1")
        numbered = enumerate(texts, start=1)
        while batch := list(islice(numbered, batch_size)):
            ids = {number: self._encode(text, number) for number, text in batch if text.strip()}
            found = dict(zip(ids, self.engine.translate(list(ids.values()), generation), strict=True))
            for number, _ in batch:
                hypotheses = found.get(number)
                if hypotheses is None:
                    yield [Translation("", 0.0, 0)] * generation.num_hypotheses
                else:
                    yield [self._translation(hypothesis) for hypothesis in hypotheses]

    def _encode(self, text: str, number: int) -> list[int]:
        ids = self.tokenizer.encode(text)
        limit = self.engine.max_positions
        if len(ids) > limit:
            logger.warning("text %d has %d tokens; the model reads %d, the rest is left out", number, len(ids), limit)
            ids = [*ids[: limit - 1], ids[-1]]
        return ids

    def _translation(self, hypothesis: Hypothesis) -> Translation:
        return Translation(self.tokenizer.decode(hypothesis.tokens), hypothesis.score, len(hypothesis.tokens) + 1)
