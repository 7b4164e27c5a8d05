"""Text in, vectors or labels out: a tokenizer and an encoder's engine put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from subbyte.errors import SubbyteError, UsageError
from subbyte.folders.opening import open_model
from subbyte.models.kinds import require_encoder, require_labels
from subbyte.models.model import Model, SentenceVectors
from subbyte.models.pooling import known_prompts, prompt_of, width_of
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.opening import Opened, remembered
from subbyte.run.vectors import similarity, stage_tensors, text_vectors
from subbyte.text.encoder_tokenizer import EncoderTokenizer, load_encoder_tokenizer
from subbyte.text.given import checked, one_or_many
from subbyte.text.lines import in_batches

DEFAULT_BATCH_SIZE = 32
Activations = Literal["int8", "float32", "static"]
Text = str | tuple[str, ...]  # a sentence, or a tuple of one or of two


class _Loaded(NamedTuple):
    model: Model
    engine: EncoderEngine
    tokenizer: EncoderTokenizer


class Encoder(Opened):
    """An encoder that makes a vector of a text. Safe to use from several threads; calls wait for each other.

    from_pretrained(folder)            opens a compressed folder, or one of Hugging Face or sentence-transformers
    encode(texts)                      list of texts -> float32 [texts, width]; one text -> float32 [width]
    stream(texts)                      the same for texts without end, a batch at a time
    close()                            frees the memory, as the end of a `with` block does

    Texts are strings in any iterable, or pairs of two in a tuple. What is none is a UsageError that names its number,
    before anything is encoded. A text that is longer than the model reads is cut. Other errors: ModelError for a folder
    that is no encoder, FormatError for a damaged one, KernelError for an instruction set that this machine lacks.

    It can be pickled, and is opened again where it arrives; copies share the model.

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
        """`tensors`: of the stages behind the pooling, where `sentence` has some (encoder_vectors.stage_tensors)."""
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
        model, engine, tokenizer = _loaded(folder, threads, isa, activations)
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
        for ids, types in _encoded(self.tokenizer, texts, batch_size, before):
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


def _loaded(
    folder: str | Path | Model, threads: int | None, isa: str, activations: str | None, *, labelled: bool = False
) -> _Loaded:
    model = folder if isinstance(folder, Model) else open_model(folder)
    (require_labels if labelled else require_encoder)(model)
    tokenizer = load_encoder_tokenizer(model.folder, model.config, sentence=model.sentence)
    return _Loaded(model, EncoderEngine(model, isa=isa, threads=threads, activations=activations), tokenizer)


def _parts(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text


def _encoded(
    tokenizer: EncoderTokenizer, texts: Iterable[Text], size: int, prompt: str
) -> Iterator[tuple[list[list[int]], list[list[int]]]]:
    """Ids and types of `size` texts at a time, `prompt` before each.

    Where one cannot be read, those before it come first, then the fault.
    """
    for batch in _batches(texts, size):
        parts = [_prompted(_parts(text), prompt) for text in batch]
        try:
            encoded = tokenizer.encode(parts)
        except SubbyteError as error:
            fault = error
        else:
            yield encoded
            continue
        for number in range(len(parts)):
            try:
                tokenizer.encode(parts[number : number + 1])
            except SubbyteError:
                if number:
                    yield tokenizer.encode(parts[:number])
                break
        raise fault


def _prompted(parts: tuple[str, ...], prompt: str) -> tuple[str, ...]:
    return (prompt + parts[0], *parts[1:]) if prompt and parts and isinstance(parts[0], str) else parts


def _batches(texts: Iterable[Text], size: int) -> Iterator[list[Text]]:
    return in_batches(checked(texts, pairs=True), size)
