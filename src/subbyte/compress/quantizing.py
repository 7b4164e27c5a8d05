"""A float model folder in, a compressed one out: reading, choosing schemes, quantizing and saving put together."""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from subbyte.compress import choice
from subbyte.compress.calibration.texts import Texts, texts_for_named, texts_to_choose_on
from subbyte.compress.choice import Chosen, Tried
from subbyte.compress.encoder_agreement import EncoderAgreement
from subbyte.compress.encoders import EncoderTask
from subbyte.compress.recipes.recipe import Recipe, load_recipe, parse_recipe, reasons, require_kind, with_budget
from subbyte.compress.translation import TranslationTask
from subbyte.compress.translation_agreement import Agreement
from subbyte.errors import ModelError, UsageError
from subbyte.folders.converted import saving
from subbyte.folders.files import named_path
from subbyte.folders.opening import open_model, require_float, with_settings
from subbyte.models.model import Model, Task
from subbyte.numbers.matrices import sqnr_db
from subbyte.numbers.packed import PackedMatrix
from subbyte.progress import Progress
from subbyte.run.inspection import Inspection, inspect

# what a model does -> what is asked of it here, for all of `quantize`
TASKS: Mapping[Task, type[EncoderTask | TranslationTask]] = {"translate": TranslationTask, "encode": EncoderTask}

logger = logging.getLogger("subbyte")

CODED = "coded3"  # the recipe of a budget, where none is named; its own size counts for nothing
ADVICE = "take a recipe with more bits, or name none, and judge it on your own text (subbyte evaluate)"


class Quantized(Inspection):
    """What `inspect` says of the new folder, and how it came about.

    choice     what was chosen where no recipe was named, in a sentence; None where one was
    tried      the presets that were tried for that, smallest first
    agreement  how far the result agrees with its model; None if they were not compared
    warnings   what is wrong with the result
    """

    choice: str | None
    tried: list[Tried]
    agreement: Agreement | EncoderAgreement | None
    warnings: list[str]


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
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Quantized:
    """Compress a float32 model folder into the folder `out`; returns what `inspect(out)` says, and how it was chosen.

    recipe       the name of a preset, or a TOML file; default: the smallest preset that keeps the model's answers,
                 found by trying (choice.py), on texts that ship (calibration/shipped) and on `calibration`
    budget       the size of the weights, as "2.6bits" of each or "3MB" in all, of entropy coded matrices: their steps
                 are chosen by what the model is measured to mind (takes minutes), and written to recipe.toml in `out`;
                 with a `recipe` of other families the bits are chosen so (needs `calibration`)
    force        `out` may be a converted folder that is replaced
    frequencies  a text (.gz too) whose words are counted for recipes with row clusters: a line is a source sentence, a
                 tab and its translation, or one sentence of either language; default: the order of the vocabulary
    calibration  a text in the source language (.gz too), a sentence a line, like what the model will be used for:
                 weights are then rounded so that outputs change little on it (rounding.py); default: to the nearest,
                 or where a preset is to be found a text that ships
    check        both models answer some lines, report.json says how far they agree, and a warning if they do not
    check_text   sentences for that, in the source language (.gz too); default: those that ship, or of another language
                 those of `calibration`, or the pairs of `frequencies`, or else frequent words
    settings     search settings in the place of those of generation_config.json, by their names there (None takes one
                 away); `out` keeps them (docs/search.md)
    progress     called with the name of a phase (calibrating, rounding, checking, ...), what of it is done so far, and
                 what there is in all; phases come one after the other, and none goes back

    >>> subbyte.quantize("opus-mt-en-de", "out", recipe="uniform4")["average_bits"]
    4.21
    """
    if recipe is None and budget is None and not check:
        raise UsageError("without a recipe presets are compared with the model: name a recipe, or leave the check on")
    given = None if recipe is None else load_recipe(recipe)
    if budget is not None:
        given = with_budget(given or load_recipe(CODED), budget)
        if not given.budget and calibration is None:
            raise UsageError(
                f"a budget with recipe {given.name} needs a calibration text, to measure what the model minds; without "
                "a text leave out the recipe, or take one of entropy coded matrices"
            )
    model = with_settings(open_model(model_folder), settings)
    require_float(model)
    if given:
        require_kind(given, model)
    saving.refuse_output(model.folder, named_path(out), force=force)
    chosen = recipe is None and budget is None

    def texts(languages: Sequence[str]) -> Texts:
        if chosen:
            return texts_to_choose_on(calibration, check_text, languages)
        shipped = given is not None and bool(given.budget)
        return texts_for_named(calibration, check_text, frequencies, languages, shipped=shipped)

    task = TASKS[model.task](model, texts, frequencies)
    found = None
    if given and given.budget:
        found = task.sized(given, progress)
    elif given and budget is not None and calibration is not None:
        found = task.searched(budget, Path(calibration), given, progress)
    if given is None:
        result = choice.choose(task, progress)
    elif found is None:
        result = _named(task, given, task.compressed(given, progress), check, progress)
    else:
        made = parse_recipe(found.recipe, "the recipe that was found", "found")
        result = _named(task, made, found.packed or task.compressed(made, progress), check, progress)
    verdict = result.verdict
    warnings = []
    if verdict and verdict.disagrees:
        said = verdict.said(verdict.document["limit"])
        warnings = [f"disagrees with its model: {said}"]
        logger.warning("%s disagrees with %s: %s; %s", out, model.folder, said, ADVICE)
    how = {
        "choice": result.sentence if chosen else None,
        "tried": list(result.tried),
        "agreement": verdict.document if verdict else None,
        "warnings": warnings,
    }
    rules = dict.fromkeys(model.roles, f"--budget {budget}") if budget is not None else reasons(result.recipe, model)
    report = {
        "recipe": result.recipe.name,
        "budget": {"text": budget or (given and given.budget), **found.expected} if found else None,
        "seed": None,  # nothing is random
        "frequencies": Path(frequencies).name if frequencies else None,
        "calibration": task.texts.calibration_name,
        "check": task.texts.check_name if verdict else None,
        **how,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "tensors": _tensor_reports(model, result.packed, rules),
    }
    saving.save(result.packed, out, report=report, recipe=found.recipe if found else None, force=force)
    return {**inspect(out), **how}  # type: ignore[typeddict-item]


def _named(task: choice.Task, recipe: Recipe, packed: Model, check: bool, progress: Progress | None) -> Chosen:
    """The model under a recipe that somebody named. One that cannot be run is not compared, with a warning."""
    try:
        return Chosen(recipe, packed, task.verdict(packed, progress) if check else None)
    except ModelError as error:
        logger.warning("the result was not compared with its model: %s", error)
        return Chosen(recipe, packed, None)


def _tensor_reports(model: Model, packed: Model, rules: Mapping[str, str]) -> dict[str, Any]:
    """Bits and error of each quantized matrix, and what chose its scheme; no error (None): nothing was lost."""
    reports = {}
    for name, matrix in packed.tensors.items():
        if isinstance(matrix, PackedMatrix):
            error = sqnr_db(np.asarray(model.tensors[name]), matrix)
            bits = [block.bits for block in matrix.blocks]
            lost = round(error, 3) if math.isfinite(error) else None
            reports[name] = {"bits": bits, "sqnr_db": lost, "rule": rules.get(name)}
    return reports
