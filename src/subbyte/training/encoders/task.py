"""A float32 encoder with a classifier, and labelled texts in; a compressed folder out, trained as it is stored."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import torch

from subbyte.compress.calibration.encoders import Batch, grams, readable
from subbyte.compress.encoder_rounding import calibrated, few_bits
from subbyte.compress.recipes.recipe import load_recipe, reasons, require_kind, resolve, resolved
from subbyte.compress.rounding import quantize_model
from subbyte.errors import ModelError, UsageError
from subbyte.folders.converted import loading, saving
from subbyte.folders.files import named_path
from subbyte.folders.opening import open_model
from subbyte.metrics import METRICS, OF_NUMBERS
from subbyte.models.families import encoder_of
from subbyte.models.kinds import described, label_names
from subbyte.models.model import Model
from subbyte.numbers.cores import available_cores
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.progress import Progress, phase
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.inspection import Inspection, inspect
from subbyte.text.encoder_tokenizer import EncoderTokenizer, load_encoder_tokenizer
from subbyte.text.labelled import LabelledText, class_numbers, numbers, read_labelled
from subbyte.training import loop
from subbyte.training.checkpoints import Checkpoints
from subbyte.training.encoders.batches import Example
from subbyte.training.encoders.settings import EncoderFinetuning, from_table
from subbyte.training.encoders.trainer import EncoderTrainer
from subbyte.training.translation.task import check_shapes

VALID_BATCH = 64


class EncoderValidation(TypedDict):
    """What a validation found: the metric of our engine's answers."""

    update: int
    score: float


def finetune_encoder(
    model_folder: str | Path,
    out: str | Path,
    recipe: str | Path,
    *,
    train: str | Path,
    valid: str | Path,
    checkpoints: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    seed: int = 0,
    threads: int | None = None,
    precision: Literal["float32", "bf16"] = "float32",
    progress: Progress | None = None,
    **options: Any,
) -> Inspection:
    """Compress an encoder with a classifier, train it as it is stored, and return what `inspect(out)` says.

    model_folder  a ...ForSequenceClassification in float32 that was finetuned on the task already; also the teacher
    recipe        a preset or a TOML file; its [finetune] table says how (encoder_settings.py), `options` stand in for
                  its keys
    train         labelled texts (labelled_text.py); static ranges of activations start as calibrated on the first ones
    valid         labelled texts on which the best model is chosen
    checkpoints   the working folder; default: OUT.finetune
    resume        go on with the run that is in it
    precision     of the products in training; bf16 is faster on processors that have it

    Needs torch: in a checkout of subbyte, pip install ".[finetune]".
    """
    chosen = load_recipe(recipe)
    model = open_model(model_folder)
    if model.compressed:
        raise UsageError(f"{model_folder}: is compressed already; give the float32 model it was made from")
    if model.task != "encode":
        raise ModelError(
            f"{model_folder}: is {described(model)}; labelled texts are for classifiers, and translation models are "
            "finetuned on text (--source, --valid-source)"
        )
    require_kind(chosen, model)
    schemes = resolve(chosen, model)
    settings = from_table(chosen.finetune).with_options(**options)
    metric = chosen_metric(model, settings)
    if encoder_of(model.config).regression:
        model = replace(model, scores="none")  # the numbers to predict are what the logits are trained to be
    check_shapes(model, schemes)
    out = named_path(out)
    saving.refuse_output(model.folder, out, force=force)
    threads = threads or available_cores()
    torch.set_num_threads(threads)
    facts: dict[str, Any] = {"activations": chosen.activations, "recipe": resolved(chosen, schemes)}
    run = {
        "model": str(model.folder), **facts, "finetune": asdict(settings), "seed": seed, "train": str(train),
        "valid": str(valid), "precision": precision,
    }  # fmt: skip
    working = Path(checkpoints or f"{out}.finetune")
    if working.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{working}: is in the folder to write; choose another one for the work")
    tokenizer = load_encoder_tokenizer(model.folder, model.config, settings.max_length, model.sentence)
    texts = read_labelled(train)
    examples = examples_of(model, tokenizer, texts, str(train))
    validation = Validation(model, read_labelled(valid), str(valid), metric, threads)
    kept = Checkpoints(working, run, resume=resume, force=force)
    needed = chosen.activations == "static" or settings.calibrate
    batches = readable(tokenizer, texts.texts)[: settings.calibration_batches or None] if needed else []
    model = calibrated(model, chosen, batches, progress=phase(progress, "measuring ranges"))
    trainer = EncoderTrainer(
        model, schemes, examples, settings,
        rounded=rounded_by_outputs(model, schemes, batches, progress) if settings.calibrate else None,
        precision="bf16" if precision == "bf16" else "no", seed=seed,
    )  # fmt: skip
    history: list[EncoderValidation] = []
    validated = 0
    if resume and (state := kept.load()):
        history, validated = state["history"], state["validated"]
        trainer.restore(state)
    report = {
        "recipe": chosen.name, "seed": seed, "finetune": {**asdict(settings), "metric": metric, "precision": precision},
        "text": {"examples": len(examples)},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "tensors": {name: {"rule": rule} for name, rule in reasons(chosen, model).items()},
    }  # fmt: skip

    def keep_best() -> None:
        """Validate, and save what is better than all before."""
        current = trainer.model(**facts)
        found = EncoderValidation(update=trainer.update, score=round(validation.score(current), 5))
        kept.log(**found)
        if all(found["score"] > one["score"] for one in history):
            saving.save(current, kept.best, report={**report, "best": found}, force=kept.best.exists())
        history.append(found)

    if not history:  # training must not end with less than it began with
        keep_best()
    loop.train(trainer, kept, history, validated, keep_best, progress, "score")
    best = replace(loading.load(kept.best), folder=model.folder)
    saving.save(best, out, report={**report, "validations": history}, force=force)
    kept.clear()
    return inspect(out)


def chosen_metric(model: Model, settings: EncoderFinetuning) -> str:
    """What the best model is chosen by. Raises ModelError without a classifier, UsageError for what does not fit it."""
    shape = encoder_of(model.config)
    if shape.labels < 2 and not shape.regression:
        raise ModelError(
            f"{model.folder}: has no classifier to train; give a ...ForSequenceClassification in float32 that was "
            "finetuned on the task"
        )
    if shape.several:
        raise ModelError(f"{model.folder}: has several labels at once, or several numbers, which are not trained")
    if not -shape.layers <= settings.relation_layer < shape.layers:
        raise UsageError(f"relation_layer is {settings.relation_layer}, the model has {shape.layers} layers")
    if settings.metric == "auto":
        return "correlation" if shape.regression else "accuracy"
    if (settings.metric in OF_NUMBERS) != shape.regression:
        raise UsageError(f"{settings.metric} is not a metric of {'numbers' if shape.regression else 'classes'}")
    return settings.metric


def labels_of(model: Model, texts: LabelledText, where: str) -> Sequence[float]:
    """Labels as numbers: those to predict, or those of classes."""
    if encoder_of(model.config).regression:
        return numbers(texts.labels, where)
    return class_numbers(texts.labels, label_names(model), where)


def examples_of(model: Model, tokenizer: EncoderTokenizer, texts: LabelledText, where: str) -> list[Example]:
    """Labelled texts as the trainer reads them."""
    ids, types = tokenizer.encode(texts.texts)
    return [Example(*one) for one in zip(ids, types, labels_of(model, texts, where), strict=True)]


def rounded_by_outputs(
    model: Model,
    schemes: Mapping[str, Scheme | Clustered],
    batches: Sequence[Batch],
    progress: Progress | None = None,
) -> dict[str, PackedMatrix]:
    """The matrices of few bits, rounded so that their outputs change little on these texts (compensation.py)."""
    sums = grams(model, batches, few_bits(schemes), phase(progress, "calibrating"))
    chosen = {name: schemes[name] for name in sums}
    packed = quantize_model(model, chosen, grams=sums, progress=phase(progress, "rounding"))
    return {name: matrix for name in sums if isinstance(matrix := packed.tensors[name], PackedMatrix)}


class Validation:
    """Labelled texts, and a metric of the answers that our engine gives to them."""

    def __init__(self, model: Model, texts: LabelledText, where: str, metric: str, threads: int) -> None:
        tokenizer = load_encoder_tokenizer(model.folder, model.config, sentence=model.sentence)
        self.texts, self.threads, self.metric = tokenizer.encode(texts.texts), threads, METRICS[metric]
        self.labels = np.array(labels_of(model, texts, where))
        self.regression = encoder_of(model.config).regression

    def score(self, model: Model) -> float:
        """The metric of a model as it would be stored."""
        engine = EncoderEngine(model, threads=self.threads)
        ids, types = self.texts
        steps = range(0, len(ids), VALID_BATCH)
        logits = np.concatenate([engine.logits(ids[i : i + VALID_BATCH], types[i : i + VALID_BATCH]) for i in steps])
        return self.metric(logits[:, 0] if self.regression else logits.argmax(1), self.labels)
