"""What a model says of its own, and how likely a model finds what was said. Ids in, ids and numbers out."""

from collections.abc import Sequence
from dataclasses import replace

from subbyte.models.generation import Generation
from subbyte.progress import Steps
from subbyte.run.translation_engine import Engine
from subbyte.text.batches import DEFAULT_BATCH_SIZE, in_batches

Sentences = Sequence[Sequence[int]]


def translations(
    engine: Engine, sentences: Sentences, search: Generation | None = None, progress: Steps | None = None
) -> list[list[int]]:
    """Translations, each with its end of sentence, unless it was cut because it did not come to one.

    search  default: greedy, with a length that is enough for models that do not fall apart
    """
    if search is None:
        most = 16 + 2 * max(map(len, sentences), default=0)  # a model that fell apart may never end
        search = engine.generation(beam_size=1, max_length=most, do_sample=False, scores=False)
        search = replace(search, max_length_factor=0.0)
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))  # a batch is as long as its longest
    found: list[list[int]] = [[] for _ in sentences]
    done = 0
    for some in in_batches(order, DEFAULT_BATCH_SIZE):
        for i, (best, *_) in zip(some, engine.translate([sentences[i] for i in some], search), strict=True):
            found[i] = best.tokens if len(best.tokens) >= search.max_length - 2 else [*best.tokens, search.end]
        done += len(some)
        if progress:
            progress(done, len(order))
    return found


def log_probabilities(engine: Engine, sentences: Sentences, targets: Sentences) -> list[float]:
    """The log-probability of every token of all targets, each given those before it, one target behind the other."""
    return [log for logs in log_probabilities_by_target(engine, sentences, targets) for log in logs]


def log_probabilities_by_target(engine: Engine, sentences: Sentences, targets: Sentences) -> list[list[float]]:
    """The same, a list for each target."""
    pairs = zip(*(in_batches(ids, DEFAULT_BATCH_SIZE) for ids in (sentences, targets)), strict=True)
    return [logs for batch, forced in pairs for logs in engine.score(batch, forced)]
