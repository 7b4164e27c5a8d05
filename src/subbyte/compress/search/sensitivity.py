"""How much a model minds the rounding of each of its matrices: measured, one matrix at a time.

A matrix alone is rounded, at a few small widths, and what the float model's own translations lose in log-probability is
measured, per token, on sentences that rounding has not seen. For other widths and families the squared error of the
matrix's outputs is compared, on a sample of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from subbyte.compress.calibration.words import WORD_ROLES
from subbyte.compress.search.choosing import Cost
from subbyte.models.model import Model
from subbyte.numbers.arrays import Array
from subbyte.numbers.matrices import dequantize, quantize_matrix
from subbyte.numbers.schemes import Scheme
from subbyte.progress import Steps, counting
from subbyte.run.likelihood import log_probabilities, translations
from subbyte.run.translation_engine import Engine

PROBES = (1, 2, 3)  # bits at which losses are measured; what is wider loses in proportion to its error
MEASURED = 5  # bits up to which errors are measured; each one more makes them four times smaller
SAMPLE = 64  # rows of a matrix, or of a range of words, that errors are measured on
RANGES = (64, 32, 16, 8, 4, 2, 1)  # of words by falling frequency: the first 1/64 of them, up to 1/32, ...
FEWEST_WORDS = 64  # of a matrix that is measured by ranges
LARGEST = 100.0  # nats; what is less likely than that, or has no number, has lost as much


@dataclass(frozen=True)
class Sensitivities:
    """What was measured of a model.

    costs   matrix name -> its rows as one, or the ranges of words of an embedding or output matrix
    tokens  of the translations that losses were measured on
    """

    costs: Mapping[str, tuple[Cost, ...]]
    tokens: int


def measure(
    model: Model,
    sentences: Sequence[Sequence[int]],
    grams: Mapping[str, Array],
    offered: Mapping[str, Sequence[Scheme]],
    frequencies: Mapping[str, Array] | None = None,
    activations: str = "int8",
    progress: Steps | None = None,
    threads: int | None = None,
) -> Sensitivities:
    """The costs of all matrices that `offered` names, for the schemes that it offers each.

    sentences    ids; not those that the grams are from
    grams        as for `rounding.quantize_model`
    frequencies  likewise; default: words are sorted by falling frequency
    progress     called with the models measured so far and those in all
    """
    exact = Engine(model, threads=threads, activations=activations)
    targets = translations(exact, sentences)
    before = np.array(log_probabilities(exact, sentences, targets))
    del exact
    parts = {name: _parts(model, name, (frequencies or {}).get(name)) for name in offered}
    probes = {name: _probes(schemes) for name, schemes in offered.items()}
    measured = counting(progress, sum(len(parts[name]) * len(probes[name]) for name in offered))

    def lost(name: str, w: Array) -> float:
        """Nats a token; what is less than its own standard error is that."""
        changed = replace(model, tensors={**model.tensors, name: w})
        engine = Engine(changed, threads=threads, activations=activations)
        after = np.array(log_probabilities(engine, sentences, targets))
        losses = np.nan_to_num(before - after, nan=LARGEST, posinf=LARGEST, neginf=0.0).clip(-LARGEST, LARGEST)
        measured()
        return max(float(losses.mean()), float(losses.std() / np.sqrt(len(losses))))

    costs = {}
    for name, schemes in offered.items():
        w, gram = np.asarray(model.tensors[name], np.float32), grams.get(name)
        errors = _errors(w, gram, parts[name], [one for one in schemes if one.bits <= MEASURED or one in probes[name]])
        losses: list[dict[Scheme, float]] = [{} for _ in parts[name]]
        for scheme in probes[name]:
            rounded = dequantize(quantize_matrix(w, scheme, None, gram))
            for rows, of_rows in zip(parts[name], losses, strict=True):
                changed = w.copy()
                changed[rows] = rounded[rows]
                of_rows[scheme] = lost(name, changed)
        several = zip(parts[name], losses, errors, strict=True)
        costs[name] = tuple(Cost(len(rows), of_rows, of_errors) for rows, of_rows, of_errors in several)
    return Sensitivities(costs, len(before))


def _parts(model: Model, name: str, frequencies: Array | None) -> list[Array]:
    """The rows that are measured together."""
    count = model.tensors[name].shape[0]
    if model.roles[name].kind not in WORD_ROLES or count < FEWEST_WORDS:
        return [np.arange(count)]
    order = np.arange(count) if frequencies is None else np.argsort(-np.asarray(frequencies, float), kind="stable")
    return [order[first:last] for first, last in pairwise([0, *(count // part for part in RANGES)])]


def _probes(schemes: Sequence[Scheme]) -> list[Scheme]:
    """The first scheme of each width that is measured, or else the narrowest one."""
    found = {one.bits: one for one in reversed(schemes) if one.bits in PROBES}
    return list(found.values()) or [min(schemes, key=lambda one: one.bits)]


def _errors(
    w: Array, gram: Array | None, parts: Sequence[Array], schemes: Sequence[Scheme]
) -> list[dict[Scheme, float]]:
    """For each part, scheme -> squared error of the outputs of a sample of its rows."""
    samples = [rows[:: -(-len(rows) // SAMPLE)] for rows in parts]
    ends = np.cumsum([0, *map(len, samples)])
    exact = w[np.concatenate(samples)]
    errors: list[dict[Scheme, float]] = [{} for _ in parts]
    for scheme in schemes:
        wrong = exact.astype(np.float64) - dequantize(quantize_matrix(exact, scheme, None, gram))
        squares = ((wrong if gram is None else wrong @ gram) * wrong).sum(axis=1)
        for (first, last), of_part in zip(pairwise(ends), errors, strict=True):
            of_part[scheme] = float(squares[first:last].sum())
    return errors
