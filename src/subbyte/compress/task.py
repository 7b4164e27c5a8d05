"""The task object of a model: what it does is asked here, once, for all of `quantize`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from subbyte.compress.calibration.texts import Texts
from subbyte.compress.encoders import EncoderTask
from subbyte.compress.translation import TranslationTask
from subbyte.models.model import Model, Task

TASKS: Mapping[Task, type[EncoderTask | TranslationTask]] = {"translate": TranslationTask, "encode": EncoderTask}


def task_of(
    model: Model, texts: Callable[[Sequence[str]], Texts], frequencies: str | Path | None = None
) -> EncoderTask | TranslationTask:
    """What `quantize` needs of this model.

    texts        called with the languages that the model reads, as far as text in them ships
    frequencies  a text whose words are counted; UsageError for an encoder
    """
    return TASKS[model.task](model, texts, frequencies)
