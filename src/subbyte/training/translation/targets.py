"""What the float32 model makes of the training text: the targets of sequence-level distillation (Kim & Rush 2016)."""

from __future__ import annotations

from collections.abc import Sequence

from subbyte.progress import Steps
from subbyte.run.translation_engine import Engine

BATCH = 64  # sentences


def translations(
    engine: Engine, sources: Sequence[Sequence[int]], beam_size: int, progress: Steps | None = None
) -> list[list[int]]:
    """The model's translation of each sentence, with its end; an empty list where it does not come to one.

    What is longer than the model can read is cut.
    """
    search = engine.generation(beam_size=beam_size, do_sample=False, scores=False)
    most = engine.max_positions
    sources = [ids if len(ids) <= most else [*ids[: most - 1], ids[-1]] for ids in sources]
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    found: list[list[int]] = [[] for _ in sources]
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        for i, (best, *_) in zip(batch, engine.translate([sources[i] for i in batch], search), strict=True):
            if len(best.tokens) < search.max_length - 2:
                found[i] = [*best.tokens, search.end]
        if progress:
            progress(start + len(batch), len(order))
    return found
