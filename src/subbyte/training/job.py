"""A float32 model folder and texts in, a compressed folder out that was trained as it is stored."""

import platform
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch

from subbyte.compress.recipes.budgets import parse_budget
from subbyte.compress.recipes.recipe import Recipe, load_recipe, reasons, require_kind, resolve, resolved
from subbyte.errors import ModelError, SchemeError, UsageError
from subbyte.folders.converted import loading, saving
from subbyte.folders.files import named_path
from subbyte.folders.opening import open_model, require_float
from subbyte.models.kinds import described
from subbyte.models.model import Model, activations_of
from subbyte.numbers.cores import available_cores
from subbyte.numbers.matrices import blank_matrix
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, Scheme, from_plain
from subbyte.progress import Progress
from subbyte.run.inspection import Inspection, inspect
from subbyte.training.checkpoints import Checkpoints
from subbyte.training.encoders.task import EncoderTask
from subbyte.training.loop import train
from subbyte.training.settings import from_table
from subbyte.training.task import Job, Task
from subbyte.training.translation.task import TranslationTask

TASKS: Mapping[str, type[Task]] = {"translate": TranslationTask, "encode": EncoderTask}


def finetune(
    model_folder: str | Path,
    out: str | Path,
    recipe: str | Path,
    *,
    checkpoints: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    seed: int = 0,
    threads: int | None = None,
    precision: Literal["float32", "bf16"] = "float32",
    progress: Progress | None = None,
    **options: Any,
) -> Inspection:
    """Compress a model and train it as it is stored, and return what `inspect(out)` says.

    model_folder  a translation model, or a ...ForSequenceClassification that was finetuned on its task; in float32
    recipe        a preset or a TOML file; its [finetune] table says how
    checkpoints   the working folder; default: OUT.finetune
    resume        go on with the run that is in it
    precision     of the products in training; bf16 is faster on processors that have it
    options       the texts (source and valid_source and more, or train and valid), and what stands in for keys of the
                  table where it is not None: translation/settings.py and encoders/settings.py declare both

    Needs torch and accelerate: in a checkout of subbyte, pip install ".[finetune]".
    """
    chosen = load_recipe(recipe)
    model = open_model(model_folder)
    require_float(model)
    kind = TASKS[model.task]
    given = {name: value for name, value in options.items() if value is not None}
    of_texts, of_settings = kind.declared
    texts = {one.name: given.pop(one.name) for one in fields(of_texts) if one.name in given}
    if any(one.default is MISSING and one.name not in texts for one in fields(of_texts)):
        raise ModelError(f"{model_folder}: is {described(model)}; {kind.refusal}")
    require_kind(chosen, model)
    started = open_model(texts["start"]) if texts.get("start") else None
    schemes = resolve(chosen, model) if not chosen.budget else found_for_budget(chosen, model, started)
    if chosen.budget:
        given["bits"] = given.get("bits") or 8 * parse_budget(chosen.budget, model.parameters).bytes / model.parameters
    settings = from_table(of_settings, {**chosen.finetune, **given})
    check_shapes(model, schemes)
    out = named_path(out)
    saving.refuse_output(model.folder, out, force=force)
    working = Path(checkpoints or f"{out}.finetune")
    if working.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{working}: is in the folder to write; choose another one for the work")
    threads = threads or available_cores()
    torch.set_num_threads(threads)
    facts: dict[str, Any] = {"activations": chosen.activations, "recipe": resolved(chosen, schemes)}
    if started:
        refuse_other_start(started, facts["recipe"])
    job = Job(model, chosen, schemes, of_texts(**texts), settings, threads, seed, precision, progress, started)
    task = kind(job)
    run = {
        "model": str(model.folder), **facts, "finetune": asdict(settings), "seed": seed, "precision": precision,
        **asdict(job.texts),
    }  # fmt: skip
    kept = Checkpoints(working, run, resume=resume, force=force)
    trainer = task.trainer(kept)
    packed = trainer.price is not None  # bits of codes are what they are worth
    history: list[dict[str, Any]] = []
    validated = 0
    if resume and (state := kept.load()):
        try:
            history, validated = state["history"], state["validated"]
            trainer.restore(state)
        except KeyError as error:
            raise UsageError(
                f"{working}: its state lacks {error}, another version of subbyte wrote it; begin anew with --force"
            ) from None
    report = {
        "recipe": chosen.name, "seed": seed, "finetune": {**vars(trainer.settings), "precision": precision},
        "text": task.described(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "tensors": {name: {"rule": rule} for name, rule in reasons(chosen, model).items()},
    }  # fmt: skip

    def keep_best() -> None:
        """Validate, and save what is better than all before."""
        made = trainer.model()
        activations = activations_of(chosen.activations, made.activations.grids)
        current = replace(made, activations=activations, recipe=facts["recipe"])
        found = {"update": trainer.update, **trainer.measured, kind.metric: task.score(current)}
        kept.log(**found)
        if trainer.complete:
            if all(found[kind.metric] > one[kind.metric] for one in history):
                best_report = {**report, "best": found}
                saving.save(current, kept.best, report=best_report, force=kept.best.exists(), packed=packed)
            history.append(found)

    if kind.first and not history and not trainer.update:
        keep_best()
    train(trainer, kept, history, validated, keep_best, progress, kind.metric)
    if not history and trainer.price:
        raise UsageError(
            f"{working}: no validated model was within the budget: {trainer.price.budget:.3f} bits of a weight, the "
            f"last has {trainer.bits:.3f}; give more updates, a higher step_learning_rate, or a start of fewer bits"
        )
    best = replace(loading.load(kept.best), folder=model.folder)
    saving.save(best, out, report={**report, "validations": history}, force=force, packed=packed)
    kept.clear()
    return inspect(out)


def found_for_budget(recipe: Recipe, model: Model, started: Model | None) -> dict[str, Scheme | Clustered]:
    """The schemes that `quantize` found for a recipe with a budget, as they are in what it made."""
    if started is None:
        raise UsageError(
            f"recipe {recipe.name}: its steps are found by `subbyte quantize {model.folder} START --recipe "
            f"{recipe.name}`; give the folder that it makes with --start START"
        )
    packed = {name: tensor for name, tensor in started.tensors.items() if isinstance(tensor, PackedMatrix)}
    return {name: from_plain(packed[name].scheme) for name in resolve(recipe, model) if name in packed}


def refuse_other_start(started: Model, recipe: Mapping[str, Any]) -> None:
    """Raise UsageError unless a model can be what training by this recipe, which is resolved, begins with."""
    if not started.compressed:
        raise UsageError(f"{started.folder}: is not compressed; give a folder that quantize or finetune made")
    if started.recipe.get("tensors") != recipe["tensors"]:
        raise UsageError(
            f"{started.folder}: was made by recipe {started.recipe.get('name')}, which is another than {recipe['name']}"
        )


def check_shapes(model: Model, schemes: Mapping[str, Scheme | Clustered]) -> None:
    """Refuse a scheme that does not fit its matrix, before any work."""
    for name, scheme in schemes.items():
        rows, cols = model.tensors[name].shape
        try:
            blank_matrix((rows, cols), scheme)
        except SchemeError as error:
            raise SchemeError(f"{name}: {error}") from None
