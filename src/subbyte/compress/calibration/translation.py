"""What the matrices of a float model multiply when it reads a calibration text: the sums that rounding needs."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from subbyte.compress.calibration.texts import enough
from subbyte.compress.rounding import quantize_model
from subbyte.models.model import Dynamic, Model
from subbyte.numbers.arrays import Array
from subbyte.numbers.gram_sums import GramSums
from subbyte.numbers.schemes import Uniform
from subbyte.progress import Steps, counting
from subbyte.run.likelihood import translations
from subbyte.run.translation_engine import Engine
from subbyte.text.batches import DEFAULT_BATCH_SIZE, in_batches
from subbyte.text.tokenizer import Tokenizer

QUICK = Uniform(bits=8, range="minmax")
LOOKUP = 0.3  # what an error in a tied embedding's row counts, where one in an average output counts 1


def readable(tokenizer: Tokenizer, lines: Iterable[str], longest: int) -> list[Sequence[int]]:
    """The first lines as ids, as many as are enough, without empty ones and those of more than `longest` tokens."""
    read = (tokenizer.encode(line) for line in lines if line.strip())
    return enough(((ids, len(ids)) for ids in read if len(ids) <= longest), "sentences that the model can read")


def grams(model: Model, tokenizer: Tokenizer, lines: Iterable[str], progress: Steps | None = None) -> dict[str, Array]:
    """The sums of `grams_of` over the first lines, as many as are enough."""
    engine = Engine(model, activations="float32")
    return grams_of(model, engine, readable(tokenizer, lines, engine.max_positions), progress)


def grams_of(
    model: Model, engine: Engine, sentences: Sequence[Sequence[int]], progress: Steps | None = None
) -> dict[str, Array]:
    """Matrix name -> float64 [cols, cols], the sum of x x' over the inputs x that it multiplies.

    The model translates the sentences (greedily, in int8), and x is what the float model, in `engine`, has on the way
    to these translations. Matrices that are only looked up are left out. `progress` is called with the sentences done
    so far and those in all.
    """
    names = {of: alias for alias, of in model.aliases.items()}  # any alias is as good as the others
    aliases = [names.get(name, name) for name in model.roles]
    speaker = Engine(quick(model), isa=engine.isa, threads=engine.threads)
    sums = GramSums()
    read = counting(progress, len(sentences))
    for sources in in_batches(sentences, DEFAULT_BATCH_SIZE):
        sums.add(zip(model.roles, engine.inputs(sources, translations(speaker, sources), aliases), strict=True))
        read(len(sources))
    return {name: _with_lookups(gram) if name in names else gram for name, gram in sums.sums().items()}


def quick(model: Model) -> Model:
    """The model in int8, which says nearly the same several times as fast."""
    schemes = {name: QUICK for name in model.roles if isinstance(model.tensors[name], np.ndarray)}
    return replace(quantize_model(model, schemes), activations=Dynamic())


def _with_lookups(gram: Array) -> Array:
    """For an embedding that is the output matrix too: its rows are inputs themselves, all of them alike."""
    counted: Array = gram * (len(gram) / np.trace(gram)) + LOOKUP * np.eye(len(gram))
    return counted
