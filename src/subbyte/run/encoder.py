"""Text in, vectors out: a tokenizer and an encoder's engine put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from subbyte.errors import UsageError
from subbyte.models.kinds import require_encoder
from subbyte.models.model import Activations, Model, SentenceVectors
from subbyte.models.pooling import known_prompts, prompt_of, width_of
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.opening import Opened, opened, remembered
from subbyte.run.vectors import similarity, stage_tensors, text_vectors
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.encoder_tokenizer import EncoderTokenizer, encoded_batches, load_encoder_tokenizer
from subbyte.text.given import one_or_many


class Encoder(Opened):
    """An encoder that makes a vector of a text. Safe to use from several threads; calls wait for each other.

    from_pretrained(folder)            opens a compressed folder, or one of Hugging Face or sentence-transformers
    encode(texts)                      list of texts -> float32 [texts, width]; one text -> float32 [width]
    stream(texts)                      the same for texts without end, a batch at a time

    Texts are strings in any iterable, or pairs of two in a tuple. What is none is a UsageError that names its number,
    before anything is encoded. A text that is longer than the model reads is cut. Other errors: ModelError for a folder
    that is no encoder, FormatError for a damaged one, KernelError for an instruction set that this machine lacks.

    close(), or the end of a `with` block, frees the memory. It can be pickled, and is opened again where it arrives;
    copies share the model.

    >>> Encoder.from_pretrained("all-MiniLM-L6-v2").encode(["A dog runs.", "A cat sleeps."]).shape
    (2, 384)
    >>> Encoder.from_pretrained("all-MiniLM-L6-v2").encode("A dog runs.").shape
    (384,)
    """

    def __init__(
        self,
        engine: EncoderEngine,
        tokenizer: EncoderTokenizer,
        sentence: SentenceVectors,
        tensors: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """`tensors`: of the stages behind the pooling, where `sentence` has some (vectors.stage_tensors)."""
        self.engine = engine
        self.tokenizer = tokenizer
        self.sentence = sentence
        self._tensors = tensors or {}

    @classmethod
    @remembered
    def from_pretrained(
        cls,
        folder: str | Path | Model,
        *,
        threads: int | None = None,
        isa: str = "best",
        activations: Activations | None = None,
    ) -> Encoder:
        """Opens a converted folder, or a float32 Hugging Face or sentence-transformers folder.

        Prompts, pooling and what comes behind it are as the folder says; of a folder that says nothing, the mean of the
        tokens. The other arguments are those of `Translator.from_pretrained`.
        """
        model = opened(folder, require_encoder, activations)
        tokenizer = load_encoder_tokenizer(model.folder, model.config, sentence=model.sentence)
        engine = EncoderEngine(model, threads=threads, isa=isa, activations=activations)
        sentence = model.sentence if model.sentence and model.sentence.pooling else SentenceVectors()
        return cls(engine, tokenizer, sentence, stage_tensors(model))

    def encode(
        self,
        texts: Iterable[str],
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        normalize_embeddings: bool | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
    ) -> np.ndarray:
        """The vector of each text, float32 [texts, width].

        normalize_embeddings  to length 1, after cutting too; default: as the folder says
        prompt                is put before each text; "" for none. Default: the prompt of `prompt_name`
        prompt_name           one of the folder's prompts; default: the folder's default, which often is none
        truncate_dim          the first so many values of a vector; default: as the folder says
        """
        many = [*texts] if isinstance(texts, tuple) else texts  # of texts, where a classifier would see one pair
        given, one = one_or_many(many, pairs=True)
        found = [*self.stream(given, batch_size, normalize_embeddings, prompt, prompt_name, truncate_dim)]
        if one:
            return found[0]
        return np.stack(found) if found else np.zeros((0, self.width(truncate_dim)), np.float32)

    def stream(
        self,
        texts: Iterable[str],
        batch_size: int = DEFAULT_BATCH_SIZE,
        normalize_embeddings: bool | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
    ) -> Iterator[np.ndarray]:
        """The vectors as they come; reads `batch_size` texts at a time."""
        sentence = self._cut_to(truncate_dim)
        before = self._prompt(prompt, prompt_name)
        unpooled = 0 if not before or sentence.include_prompt else self.tokenizer.prompt_tokens(before)
        for ids, types in encoded_batches(self.tokenizer, texts, batch_size, before):
            yield from text_vectors(
                self.engine, ids, types, sentence, self._tensors, unpooled=unpooled, normalize=normalize_embeddings
            )

    def width(self, truncate_dim: int | None = None) -> int:
        """How many values a vector has; with `truncate_dim` as `encode` has it."""
        return width_of(self._cut_to(truncate_dim), self.engine.settings.hidden)

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """How alike vectors are, float32 [a, b], by the folder's similarity: cosine, dot, or distances below 0."""
        return similarity(a, b, self.sentence.similarity)

    def _cut_to(self, truncate_dim: int | None) -> SentenceVectors:
        if truncate_dim is None:
            return self.sentence
        if type(truncate_dim) is not int or truncate_dim < 1:
            raise UsageError(f"truncate_dim is {truncate_dim!r}, should be a whole number from 1")
        return replace(self.sentence, truncate_dim=truncate_dim)

    def _prompt(self, prompt: str | None, name: str | None) -> str:
        if not isinstance(prompt, str | None):
            raise UsageError(f"prompt is {prompt!r}, should be a string")
        try:
            return prompt_of(self.sentence, prompt, name)
        except (KeyError, TypeError):
            names = ", ".join(known_prompts(self.sentence.prompts))
            raise UsageError(f"there is no prompt named {name!r}; this model has {names}") from None
