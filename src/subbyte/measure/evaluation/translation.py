"""The quality of a model on text with reference translations, measured with our engine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from subbyte.errors import UsageError
from subbyte.measure.evaluation.document import Evaluation, timed
from subbyte.metrics import TranslationMetrics, score
from subbyte.progress import Progress
from subbyte.run.translator import Translator
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.lines import read_lines, require_parallel


def evaluate_translation(
    folder: str | Path,
    source: str | Path,
    reference: str | Path,
    *,
    threads: int | None = None,
    isa: str = "best",
    activations: Literal["int8", "float32"] | None = None,
    beam_size: int | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_length: int | None = None,
    length_penalty: float | None = None,
    progress: Progress | None = None,
) -> Evaluation[TranslationMetrics]:
    """BLEU and chrF of a model folder on a source file and its reference translation, line by line (.gz too).

    progress  called with the phase (translating), the sentences translated so far and those in all
    """
    sources, references = list(read_lines(source)), list(read_lines(reference))
    require_parallel(source, sources, reference, references)
    if not sources:
        raise UsageError(f"{source}: is empty")
    translator = Translator.from_pretrained(folder, threads=threads, isa=isa, activations=activations)
    generation = translator.engine.generation(
        beam_size=beam_size, max_length=max_length, length_penalty=length_penalty, scores=False
    )
    found = timed(translator.stream(sources, generation, batch_size), "translating", len(sources), progress)
    translations = [hypotheses[0] for hypotheses in found.answers]
    metrics = score([translation.text for translation in translations], references)
    tokens = sum(translation.tokens for translation in translations)
    return found.document("translation", metrics, tokens, translator.engine, folder)
