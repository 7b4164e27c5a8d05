"""The task object of a model: a kind of model is asked about here, once, for all of `quantize`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from subbyte.compress import encoders, translation
from subbyte.compress.calibration.texts import Texts
from subbyte.compress.calibration.words import word_frequencies
from subbyte.compress.encoders import EncoderTask
from subbyte.compress.translation import TranslationTask
from subbyte.errors import UsageError
from subbyte.models.model import Model
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer
from subbyte.text.lines import read_lines
from subbyte.text.tokenizer import load_tokenizer


def task_of(
    model: Model, texts: Callable[[Sequence[str]], Texts], frequencies: str | Path | None = None
) -> EncoderTask | TranslationTask:
    """What `quantize` needs of this model.

    texts        called with the languages that the model reads, as far as text in them ships
    frequencies  a text whose words are counted; UsageError for an encoder
    """
    if model.task == "encode":
        if frequencies is not None:
            raise UsageError("a budget and frequencies are for translation models; give an encoder a recipe")
        reader = load_encoder_tokenizer(model.folder, model.config, sentence=model.sentence)
        return EncoderTask(model, reader, texts(encoders.languages(model, reader)))
    tokenizer = load_tokenizer(model.folder, model.config)
    counts = word_frequencies(model, tokenizer, read_lines(frequencies)) if frequencies is not None else None
    return TranslationTask(model, tokenizer, texts(translation.languages(model, tokenizer)), counts)
