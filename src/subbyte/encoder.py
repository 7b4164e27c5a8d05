"""Text in, vectors or labels out: a tokenizer and an encoder's engine put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

import numpy as np

from subbyte.encoder_engine import EncoderEngine
from subbyte.encoder_tokenization import EncoderTokenizer, load_encoder_tokenizer
from subbyte.errors import ModelError, SubbyteError, UsageError
from subbyte.folder import open_model
from subbyte.model import Model, SentenceVectors
from subbyte.models import bert
from subbyte.text_lines import in_batches

DEFAULT_BATCH_SIZE = 32
Activations = Literal["int8", "float32", "static"]
Text = str | tuple[str, ...]  # a sentence, or a tuple of one or of two


class Label(TypedDict):
    """A label and its probability; of a regression the number itself."""

    label: str
    score: float


class _Loaded(NamedTuple):
    model: Model
    engine: EncoderEngine
    tokenizer: EncoderTokenizer


class Encoder:
    """An encoder that makes a vector of a text. Safe to use from several threads; calls wait for each other.

    >>> Encoder.from_pretrained("all-MiniLM-L6-v2").encode(["A dog runs.", "A cat sleeps."]).shape
    (2, 384)
    """

    def __init__(self, engine: EncoderEngine, tokenizer: EncoderTokenizer, sentence: SentenceVectors) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self.sentence = sentence

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path | Model,
        *,
        threads: int | None = None,
        isa: str = "best",
        activations: Activations | None = None,
    ) -> Encoder:
        """Opens a converted folder, or a float32 Hugging Face or sentence-transformers folder.

        Pooling is as the folder says; of a folder that says nothing, the mean of the tokens. The other arguments are
        those of `Translator.from_pretrained`.
        """
        model, engine, tokenizer = _loaded(folder, threads, isa, activations)
        return cls(engine, tokenizer, model.sentence or SentenceVectors())

    def encode(
        self, texts: Iterable[str], *, batch_size: int = DEFAULT_BATCH_SIZE, normalize_embeddings: bool | None = None
    ) -> np.ndarray:
        """The vector of each text, float32 [texts, width].

        normalize_embeddings  to length 1; default: as the folder says
        """
        found = [*self.stream(texts, batch_size, normalize_embeddings)]
        return np.stack(found) if found else np.zeros((0, self.engine.settings.hidden), np.float32)

    def stream(
        self, texts: Iterable[str], batch_size: int = DEFAULT_BATCH_SIZE, normalize_embeddings: bool | None = None
    ) -> Iterator[np.ndarray]:
        """The vectors as they come; reads `batch_size` texts at a time."""
        normalize = self.sentence.normalize if normalize_embeddings is None else normalize_embeddings
        for batch in _encoded(self.tokenizer, texts, batch_size):
            vectors = self.engine.pooled(*batch, self.sentence.pooling)
            if normalize:
                vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
            yield from vectors


class Classifier:
    """An encoder with a classifier or a regression on top. Safe to use from several threads; calls wait for each other.

    >>> Classifier.from_pretrained("sst2")(["great film"])
    [{'label': 'positive', 'score': 0.998}]
    """

    def __init__(self, engine: EncoderEngine, tokenizer: EncoderTokenizer, labels: Sequence[str]) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self.labels = tuple(labels)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path | Model,
        *,
        threads: int | None = None,
        isa: str = "best",
        activations: Activations | None = None,
    ) -> Classifier:
        """Opens a converted folder, or a float32 Hugging Face folder of a ...ForSequenceClassification."""
        model, engine, tokenizer = _loaded(folder, threads, isa, activations)
        if not engine.settings.labels:
            raise ModelError(f"{model.folder}: is an encoder without a classifier; it makes vectors (subbyte encode)")
        return cls(engine, tokenizer, bert.label_names(model.config))

    @property
    def regression(self) -> bool:
        """Whether the score is a number that was predicted, not a probability."""
        return self.engine.settings.regression

    def __call__(self, texts: Iterable[Text], *, batch_size: int = DEFAULT_BATCH_SIZE) -> list[Label]:
        """The likeliest label of each text or pair of texts."""
        return [max(scores, key=lambda label: label["score"]) for scores in self.scores(texts, batch_size)]

    def scores(self, texts: Iterable[Text], batch_size: int = DEFAULT_BATCH_SIZE) -> Iterator[list[Label]]:
        """Every label of each text with its score, in the order of the labels; reads `batch_size` texts at a time."""
        for logits in self.logits(texts, batch_size):
            scores = logits if self.regression else _softmax(logits)
            yield [Label(label=name, score=float(score)) for name, score in zip(self.labels, scores, strict=True)]

    def logits(self, texts: Iterable[Text], batch_size: int = DEFAULT_BATCH_SIZE) -> Iterator[np.ndarray]:
        """The logits of each text, float32 [labels]; reads `batch_size` texts at a time."""
        for batch in _encoded(self.tokenizer, texts, batch_size):
            yield from self.engine.logits(*batch)


def _loaded(folder: str | Path | Model, threads: int | None, isa: str, activations: str | None) -> _Loaded:
    model = folder if isinstance(folder, Model) else open_model(folder)
    if not bert.is_encoder(model.architecture):
        raise ModelError(f"{model.folder}: is a {model.architecture}, which translates; this needs an encoder")
    most = model.sentence.max_tokens if model.sentence else None
    tokenizer = load_encoder_tokenizer(model.folder, model.config, most)
    return _Loaded(model, EncoderEngine(model, isa=isa, threads=threads, activations=activations), tokenizer)


def _parts(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text


def _encoded(
    tokenizer: EncoderTokenizer, texts: Iterable[Text], size: int
) -> Iterator[tuple[list[list[int]], list[list[int]]]]:
    """Ids and types of `size` texts at a time; where one cannot be read, those before it come first, then the fault."""
    for batch in _batches(texts, size):
        parts = [_parts(text) for text in batch]
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


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max())
    return np.asarray(e / e.sum())


def _batches(texts: Iterable[Text], size: int) -> Iterator[list[Text]]:
    if isinstance(texts, str):
        raise UsageError("a list of texts is needed, not one string")
    return in_batches(texts, size)
