"""What is going to be measured: the models, the tasks and the sentences, all faults of the request found beforehand."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from subbyte.errors import UsageError
from subbyte.folders.opening import open_model
from subbyte.measure.bench.packages import require
from subbyte.measure.bench.rivals import OURS
from subbyte.measure.bench.subjects import Engine, Models, Task
from subbyte.measure.demo import SENTENCES
from subbyte.models.families import encoder_of, translation_of
from subbyte.models.kinds import kind
from subbyte.models.model import Model
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer
from subbyte.text.lines import read_lines
from subbyte.text.tokenizer import Tokenizer, load_tokenizer

logger = logging.getLogger("subbyte")

MAX_LENGTH = 128  # of a translation, start included, unless the model can do less
TEXT_TASK = Task("text", batch_size=1, beam_size=1, tokens=None, max_length=MAX_LENGTH)


@dataclass(frozen=True)
class Sentences:
    """What is translated, as text and as ids of the model; an encoder's texts are cut from all the text, end to end."""

    texts: Sequence[str]
    ids: Sequence[Sequence[int]]
    tokenizer: Tokenizer | None


Plan = tuple[list[Task], Sentences]


@dataclass(frozen=True)
class Asked:
    """What is to be measured, as `benchmark` was asked for it."""

    batch_sizes: Sequence[int]
    beam_sizes: Sequence[int]
    sequence_lengths: Sequence[int]
    tokens: int
    text: str | Path | None
    sentences: int


def models_of(model: Model, source_model: str | Path | None, recipes: Sequence[str], rivals: Sequence[str]) -> Models:
    """The model in DIR, and the float32 folder that rivals and recipes start from."""
    compressed = model.compressed
    if source_model is None:
        source = None if compressed else model.folder
    elif not compressed:
        raise UsageError(
            f"{model.folder}: is a float32 model itself; leave out --source-model, or give a compressed DIR"
        )
    else:
        original = open_model(source_model)
        if original.compressed:
            raise UsageError(
                f"{source_model}: is compressed; --source-model is the float32 model that DIR was made from"
            )
        if _shapes(original) != _shapes(model):
            raise UsageError(f"{source_model}: is another model than {model.folder}: its tensors have other shapes")
        source = original.folder
    wanting = [*rivals, *(f"the recipe {recipe}" for recipe in recipes)]
    if source is None and wanting:
        raise UsageError(
            f"{model.folder}: is compressed, and {', '.join(wanting)} can only start from the float32 model that it "
            "was made from; name that with --source-model FOLDER"
        )
    return Models(
        folder=model.folder,
        source=source,
        recipes=tuple(recipes),
        name=str(model.recipe.get("name", "unknown")) if compressed else "float32",
        kind=kind(model),
        parameters=model.parameters,
    )


def refuse_engines(engines: Mapping[str, Engine], models: Models) -> None:
    """Raise UsageError if one of the engines cannot run the model, MeasurementError if it is not installed."""
    for name, engine in engines.items():
        if reason := engine.refusal(models):
            raise UsageError(f"{models.source}: {name} {reason}")
    for name, engine in engines.items():
        require(name, engine.packages)


def tasks_of(
    engines: Mapping[str, Engine], batch_sizes: Iterable[int], beam_sizes: Iterable[int], tokens: int, longest: int
) -> list[Task]:
    """The tasks that some rival can do, or all that are in tokens if there is no rival. Small ones come first.

    tokens   forced for each sentence; 0: none are
    longest  translation that the model can make
    """
    if tokens >= longest:
        raise UsageError(
            f"{tokens} tokens cannot be forced: the model makes at most {longest - 1}; give a smaller --tokens"
        )
    in_tokens = [
        Task("tokens", batch, beam, forced, min(MAX_LENGTH, longest))
        for batch in sorted({*batch_sizes})
        for beam in sorted({*beam_sizes})
        for forced in ([tokens] if tokens else []) + [None]
    ]
    rivals = [engine for name, engine in engines.items() if name != OURS]
    if not rivals:
        return in_tokens
    found = [task for task in [*in_tokens, TEXT_TASK] if any(engine.can(task) for engine in rivals)]
    if found == [TEXT_TASK]:
        logger.warning("the rivals take text, a sentence at a time: only that is measured, greedily, by everybody")
    return found


def encoder_tasks_of(batch_sizes: Iterable[int], lengths: Iterable[int], longest: int) -> list[Task]:
    """The tasks of an encoder: each batch size with texts of each length, in tokens. Small ones come first."""
    shortest, most = min(lengths), max(lengths)
    if shortest < 3 or most > longest:
        raise UsageError(f"the model reads texts of 3 to {longest} tokens; give other --sequence-lengths")
    return [
        Task("vectors", batch, 1, length, length) for batch in sorted({*batch_sizes}) for length in sorted({*lengths})
    ]


def sentences_of(model: Model, file: str | Path | None, most: int, tasks: Sequence[Task]) -> Sentences:
    """The first `most` sentences of a file, or those of the demo."""
    if file is None:
        logger.warning(
            "translating the demo's English sentences over and over; times of free running mean something "
            "only with text in the model's own language, which is given with --text"
        )
        texts = [*islice(cycle(SENTENCES), most)]
    else:
        texts = [*islice((line for line in read_lines(file) if line.strip()), most)]
    where = file or "the sentences of the demo"
    largest = max(task.batch_size for task in tasks)
    if len(texts) < largest:
        raise UsageError(
            f"{where}: a batch of {largest} cannot be filled with {len(texts)} sentences; "
            "give more text, more --sentences, or smaller --batch-sizes"
        )
    tokenizer = load_tokenizer(model.folder, model.config)
    longest = translation_of(model.config).longest
    ids = [tokenizer.encode(text) for text in texts]
    if cut := sum(len(sentence) > longest for sentence in ids):
        logger.warning("%d sentences are cut to %d tokens, the most that the model reads", cut, longest)
    cut_ids = [ids_of if len(ids_of) <= longest else [*ids_of[: longest - 1], ids_of[-1]] for ids_of in ids]
    return Sentences(texts, cut_ids, tokenizer)


def texts_of(model: Model, file: str | Path | None, most: int, tasks: Sequence[Task]) -> Sentences:
    """Ids of `most` texts of the greatest length: what is in a file, or in the demo's, one behind the other, cut."""
    if most < max(task.batch_size for task in tasks):
        raise UsageError(f"{most} texts do not fill a batch; give more --sentences, or smaller --batch-sizes")
    lines = SENTENCES if file is None else [line for line in read_lines(file) if line.strip()]
    found, _ = load_encoder_tokenizer(model.folder, model.config, sentence=model.sentence).encode(
        [(line,) for line in lines]
    )
    inner = cycle(id for ids in found for id in ids[1:-1])
    if not any(len(ids) > 2 for ids in found):
        raise UsageError(f"{file}: has no words; give another --text")
    length = max(task.max_length for task in tasks)
    return Sentences(lines, [[found[0][0], *islice(inner, length - 2), found[0][-1]] for _ in range(most)], None)


def _translations(model: Model, engines: Mapping[str, Engine], asked: Asked) -> Plan:
    longest = translation_of(model.config).longest
    tasks = tasks_of(engines, asked.batch_sizes, asked.beam_sizes, asked.tokens, longest)
    return tasks, sentences_of(model, asked.text, asked.sentences, tasks)


def _encodings(model: Model, engines: Mapping[str, Engine], asked: Asked) -> Plan:
    tasks = encoder_tasks_of(asked.batch_sizes, asked.sequence_lengths, encoder_of(model.config).longest)
    return tasks, texts_of(model, asked.text, asked.sentences, tasks)


# what a model does -> its tasks and sentences; they raise UsageError
PLANS: Mapping[str, Callable[[Model, Mapping[str, Engine], Asked], Plan]] = {
    "translate": _translations,
    "encode": _encodings,
}


def cores_of(threads: int) -> list[int]:
    """The cores that everybody is pinned to: the last ones, because the first have the system's own work."""
    allowed = sorted(os.sched_getaffinity(0))
    if not 1 <= threads <= len(allowed):
        raise UsageError(f"threads is {threads}, should be 1 to {len(allowed)}: each gets a core of its own")
    return allowed[-threads:]


def _shapes(model: Model) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.tensors.items()}
