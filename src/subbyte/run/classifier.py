"""Labels of texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict, get_args, overload

import numpy as np

from subbyte.errors import UsageError
from subbyte.models.kinds import label_names, require_labels
from subbyte.models.model import Activations, Model, Scores
from subbyte.models.pooling import prompt_of
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.opening import Opened, opened, remembered
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.encoder_tokenizer import EncoderTokenizer, encoded_batches, load_encoder_tokenizer
from subbyte.text.given import Text, one_or_many


class Label(TypedDict):
    """A label and its score: a probability, or what the model's logits are if they are not made one."""

    label: str
    score: float


class Classifier(Opened):
    """An encoder with a classifier or a regression on top. Safe to use from several threads; calls wait for each other.

    from_pretrained(folder)            opens a compressed folder, or a Hugging Face folder of a classifier
    classifier(texts)                  list of texts -> list of {"label": ..., "score": ...}, the best of each;
                                       one text, or one pair in a tuple of two -> one of them
    scores(texts)                      every label of each text, a batch at a time
    logits(texts)                      float32 [labels] of each text, a batch at a time

    activation                         what makes scores of logits: none, sigmoid or softmax
    prompt                             is put before each text, before the first of a pair: a cross-encoder's default

    A pair is a tuple of two strings; a list is always of several texts. What is no text is a UsageError that names its
    number, before anything is classified. A text that is longer than the model reads is cut. Other errors: ModelError
    for a folder without a classifier, FormatError for a damaged one, KernelError for an instruction set that this
    machine lacks.

    close(), or the end of a `with` block, frees the memory. It can be pickled, and is opened again where it arrives;
    copies share the model.

    >>> classifier = Classifier.from_pretrained("sst2")
    >>> classifier(["great film"])
    [{'label': 'positive', 'score': 0.998}]
    >>> classifier("great film")
    {'label': 'positive', 'score': 0.998}
    """

    def __init__(
        self,
        engine: EncoderEngine,
        tokenizer: EncoderTokenizer,
        labels: Sequence[str],
        activation: Scores = "softmax",
        prompt: str = "",
    ) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self.labels = tuple(labels)
        self.activation = activation
        self.prompt = prompt

    @classmethod
    @remembered
    def from_pretrained(
        cls,
        folder: str | Path | Model,
        *,
        threads: int | None = None,
        isa: str = "best",
        activations: Activations | None = None,
        activation: Scores | None = None,
    ) -> Classifier:
        """Opens a converted folder, or a float32 Hugging Face folder of a ...ForSequenceClassification.

        activation  what makes scores of logits: none, sigmoid or softmax; default: as the folder says, and as
                    transformers' pipeline has it where that says nothing
        """
        if activation not in (None, *get_args(Scores)):
            raise UsageError(f"activation is {activation!r}, should be one of {', '.join(get_args(Scores))}")
        model = opened(folder, require_labels, activations)
        tokenizer = load_encoder_tokenizer(model.folder, model.config, sentence=model.sentence)
        engine = EncoderEngine(model, threads=threads, isa=isa, activations=activations)
        prompt = prompt_of(model.sentence) if model.sentence and not model.sentence.pooling else ""
        return cls(engine, tokenizer, label_names(model), activation or model.scores or "softmax", prompt)

    @property
    def regression(self) -> bool:
        """Whether there is one answer, a number; not the best of several labels."""
        return self.engine.settings.regression

    @overload
    def __call__(self, texts: Text, *, batch_size: int = ...) -> Label: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, texts: Iterable[Text], *, batch_size: int = ...) -> list[Label]: ...

    def __call__(self, texts: Text | Iterable[Text], *, batch_size: int = DEFAULT_BATCH_SIZE) -> Label | list[Label]:
        """The likeliest label of each text or pair of texts."""
        given, one = one_or_many(texts, pairs=True)
        best = [max(scores, key=lambda label: label["score"]) for scores in self.scores(given, batch_size)]
        return best[0] if one else best

    def scores(self, texts: Iterable[Text], batch_size: int = DEFAULT_BATCH_SIZE) -> Iterator[list[Label]]:
        """Every label of each text with its score, in the order of the labels; reads `batch_size` texts at a time."""
        for logits in self.logits(texts, batch_size):
            scores = self.scored(logits)
            yield [Label(label=name, score=float(score)) for name, score in zip(self.labels, scores, strict=True)]

    def scored(self, logits: np.ndarray) -> np.ndarray:
        """The scores [..., labels] of logits, as `activation` makes them."""
        if self.activation == "none":
            return logits
        if self.activation == "sigmoid":
            return np.asarray(0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))).astype(np.float32)
        e = np.exp(logits - logits.max(-1, keepdims=True))
        return np.asarray(e / e.sum(-1, keepdims=True))

    def logits(self, texts: Iterable[Text], batch_size: int = DEFAULT_BATCH_SIZE) -> Iterator[np.ndarray]:
        """The logits of each text, float32 [labels]; reads `batch_size` texts at a time."""
        for batch in encoded_batches(self.tokenizer, texts, batch_size, self.prompt):
            yield from self.engine.logits(*batch)
