"""A float model folder in, a compressed one out: reading, choosing schemes, quantizing and saving put together."""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from subbyte import encoder_compression, store
from subbyte.agreement import TEXT_LINES, Agreement, agreement, disagree_strongly
from subbyte.budget import search
from subbyte.calibration import grams
from subbyte.encoder_tokenization import load_encoder_tokenizer
from subbyte.errors import ModelError, UsageError
from subbyte.folder import open_model
from subbyte.frequencies import word_frequencies
from subbyte.inspection import Inspection, inspect
from subbyte.model import Model, PackedMatrix
from subbyte.models import bert
from subbyte.progress import Progress, Steps, phase
from subbyte.quantization import quantize_model, sqnr_db
from subbyte.recipe import Recipe, load_recipe, parse_recipe, resolve, resolved
from subbyte.text_lines import read_lines
from subbyte.tokenization import Tokenizer, load_tokenizer

logger = logging.getLogger("subbyte")


def quantize(
    model_folder: str | Path,
    out: str | Path,
    recipe: str | Path | None = None,
    *,
    budget: str | None = None,
    force: bool = False,
    frequencies: str | Path | None = None,
    calibration: str | Path | None = None,
    check: bool = True,
    check_text: str | Path | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Compress a float32 model folder into the folder `out`, and return what `inspect(out)` says.

    recipe       the name of a preset, or a TOML file
    budget       the size of the weights, as "2.6bits" of each or "3MB" in all: bits are chosen by what the model is
                 measured to mind (needs `calibration`; takes some minutes), and written to recipe.toml in `out`;
                 `recipe` then says all but the bits, by default binary coding or affine levels with a scale a row
    force        `out` may be a converted folder that is replaced
    frequencies  a text (.gz too) whose words are counted for recipes with row clusters: a line is a source sentence, a
                 tab and its translation, or one sentence of either language; default: the order of the vocabulary
    calibration  a text in the source language (.gz too), a sentence a line, like what the model will be used for:
                 weights are then rounded so that outputs change little on it (calibration.py); default: to the nearest
    check        both models translate a few lines, report.json says how far they agree, and a warning if they do not
    check_text   sentences for that, in the source language (.gz too); default: those of `calibration`, or the pairs of
                 `frequencies`, or else frequent words (agreement.py)
    progress     called with the name of a phase (calibrating, rounding, checking, ...), what of it is done so far, and
                 what there is in all; phases come one after the other, and none goes back

    >>> subbyte.quantize("opus-mt-en-de", "out", recipe="uniform4")["average_bits"]
    4.21
    """
    if recipe is None and budget is None:
        raise UsageError("a recipe or a budget is needed, to say how many bits weights should have")
    if budget is not None and calibration is None:
        raise UsageError("a budget needs a calibration text, to measure what the model minds")
    given = None if recipe is None else load_recipe(recipe)
    model = open_model(model_folder)
    if model.compressed:
        name = model.recipe.get("name", "unknown")
        raise UsageError(
            f"{model_folder}: is compressed already (recipe {name}); give the float32 model it was made from"
        )
    store.refuse_output(model.folder, Path(out), force=force)
    if bert.is_encoder(model.architecture):
        if given is None or budget is not None or frequencies is not None:
            raise UsageError("a budget and frequencies are for translation models; give an encoder a recipe")
        compared = (check_text or calibration) if check else None
        _quantize_encoder(model, given, Path(out), calibration, compared, force, progress)
        return inspect(out)
    tokenizer = load_tokenizer(model.folder, model.config)
    sentences = _sentences(check_text, calibration, frequencies) if check else []
    counts = word_frequencies(model, tokenizer, read_lines(frequencies)) if frequencies else None
    found = None
    if budget is not None and calibration is not None:
        found = search(
            model, tokenizer, budget, read_lines(calibration),
            text=Path(calibration).name, recipe=given, frequencies=counts, progress=progress,
        )  # fmt: skip
    chosen = parse_recipe(found.recipe, "the recipe that was found", "found") if found else given
    assert chosen
    schemes = resolve(chosen, model)
    sums = grams(model, tokenizer, read_lines(calibration), phase(progress, "calibrating")) if calibration else None
    packed = quantize_model(model, schemes, counts, sums, phase(progress, "rounding"))
    packed = replace(packed, activations=chosen.activations, recipe=resolved(chosen, schemes))
    checking = phase(progress, "checking")
    report = {
        "recipe": chosen.name,
        "budget": {"text": budget, "nats": round(found.nats, 4), "tokens": found.tokens} if found else None,
        "seed": None,  # nothing is random
        "frequencies": Path(frequencies).name if frequencies else None,
        "calibration": Path(calibration).name if calibration else None,
        "agreement": _compared(model, packed, tokenizer, sentences, out, checking) if check else None,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "tensors": _tensor_reports(model, packed),
    }
    store.save(packed, out, report=report, recipe=found.recipe if found else None, force=force)
    return inspect(out)


def _quantize_encoder(
    model: Model,
    recipe: Recipe,
    out: Path,
    calibration: str | Path | None,
    compared: str | Path | None,
    force: bool,
    progress: Progress | None,
) -> None:
    """Save an encoder under a recipe; the text `compared` says how far it agrees."""
    tokenizer = load_encoder_tokenizer(model.folder, model.config)

    def texts(path: str | Path | None) -> Iterator[tuple[str, ...]]:
        for line in read_lines(path) if path else ():
            first, tab, second = line.partition("\t")
            yield (first, second) if tab else (first,)

    packed = encoder_compression.compressed(
        model, recipe, tokenizer, texts(calibration) if calibration else None, progress
    )
    lines = [*islice(texts(compared), encoder_compression.COMPARED)]
    if compared and not lines:
        raise UsageError(f"{compared}: is empty; it should have texts to compare the models on")
    report = {
        "recipe": recipe.name,
        "seed": None,  # nothing is random
        "calibration": Path(calibration).name if calibration else None,
        "agreement": encoder_compression.agreement(model, packed, tokenizer, lines),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "tensors": _tensor_reports(model, packed),
    }
    store.save(packed, out, report=report, force=force)


def _sentences(
    check_text: str | Path | None, calibration: str | Path | None, frequencies: str | Path | None
) -> list[str]:
    """The first source sentences of the texts that were given, for the comparison of the models."""

    def sources(path: str | Path) -> Iterator[str]:
        halves = (line.partition("\t") for line in read_lines(path))
        return (source for source, tab, _ in halves if source.strip() and (tab or path is not frequencies))

    path = check_text or calibration or frequencies
    found = list(islice(sources(path), TEXT_LINES)) if path else []
    if check_text and not found:
        raise UsageError(f"{check_text}: is empty; it should have sentences to compare the models on")
    return found


def _compared(
    model: Model, packed: Model, tokenizer: Tokenizer, sentences: list[str], out: str | Path, progress: Steps | None
) -> Agreement | None:
    """How far the models agree, with a warning if they do not; None, with a warning, where the model cannot be run."""
    try:
        found = agreement(model, packed, tokenizer, sentences, progress)
    except ModelError as error:
        logger.warning("%s was not compared with its model: %s", out, error)
        return None
    if disagree_strongly(found):
        logger.warning(
            "%s disagrees strongly with %s: %.0f%% of %d tokens of the model's translations of %d %s have become less "
            "than 1/e as likely (limit: %.0f%%); take a recipe with more bits, or try subbyte evaluate on your text",
            out,
            model.folder,
            100 * found["lost"],
            found["tokens"],
            found["lines"],
            "lines" if found["compared"] == "text" else "lines of frequent words",
            100 * found["limit"],
        )
    return found


def _tensor_reports(model: Model, packed: Model) -> dict[str, Any]:
    """Bits and error of each quantized matrix; an error of None means that nothing was lost."""
    reports = {}
    for name, matrix in packed.tensors.items():
        if isinstance(matrix, PackedMatrix):
            w = model.tensors[name]
            assert isinstance(w, np.ndarray)
            error = sqnr_db(w, matrix)
            bits = [block.bits for block in matrix.blocks]
            reports[name] = {"bits": bits, "sqnr_db": round(error, 3) if math.isfinite(error) else None}
    return reports
