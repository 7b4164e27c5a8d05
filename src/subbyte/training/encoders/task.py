"""What the finetuning of an encoder with a classifier brings: labelled texts, their trainer, and a metric."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from subbyte.compress.calibration.encoders import Batch, grams, readable
from subbyte.compress.encoder_rounding import calibrated, few_bits
from subbyte.compress.rounding import quantize_model
from subbyte.errors import ModelError, UsageError
from subbyte.metrics import METRICS, OF_NUMBERS
from subbyte.models.families import encoder_of
from subbyte.models.kinds import label_names
from subbyte.models.model import Model, Tensor
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.progress import Progress, phase
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.text.encoder_tokenizer import EncoderTokenizer, load_encoder_tokenizer
from subbyte.text.labelled import LabelledText, class_numbers, numbers, read_labelled
from subbyte.training.checkpoints import Checkpoints
from subbyte.training.encoders.batches import Example
from subbyte.training.encoders.blockwise import EncoderBlockwise
from subbyte.training.encoders.settings import DECLARED, EncoderFinetuning, Metric, Texts
from subbyte.training.encoders.trainer import EncoderTrainer
from subbyte.training.task import Job

VALID_BATCH = 64


class EncoderTask:
    """Labelled texts; static ranges of activations start as calibrated on the first ones."""

    declared: ClassVar = DECLARED
    metric: ClassVar = "score"
    first: ClassVar = True
    refusal: ClassVar = (
        "source and target texts are for translation models, and classifiers are finetuned on labelled texts (--train, "
        "--valid)"
    )

    def __init__(self, job: Job[Texts, EncoderFinetuning]) -> None:
        self.job, model, train, valid = job, job.model, str(job.texts.train), str(job.texts.valid)
        self.settings = replace(job.settings, metric=chosen_metric(model, job.settings))
        if encoder_of(model.config).regression:
            model = replace(model, scores="none")  # the numbers to predict are what the logits are trained to be
        self.model = model
        self.tokenizer = load_encoder_tokenizer(model.folder, model.config, self.settings.max_length, model.sentence)
        self.texts = read_labelled(train)
        self.examples = examples_of(model, self.tokenizer, self.texts, train)
        self.validation = Validation(model, read_labelled(valid), valid, self.settings.metric, job.threads)

    def trainer(self, kept: Checkpoints) -> EncoderTrainer:
        """The model before the first update."""
        job, recipe, settings = self.job, self.job.recipe, self.settings
        needed = recipe.activations == "static" or settings.calibrate
        batches = readable(self.tokenizer, self.texts.texts)[: settings.calibration_batches or None] if needed else []
        model = calibrated(self.model, recipe, batches, progress=phase(job.progress, "measuring ranges"))
        rounded: Mapping[str, Tensor] = {}
        if job.started:
            if model.permutation != job.started.permutation:
                raise UsageError(
                    f"{job.started.folder}: the axes of its matrices are in another order; leave out permute"
                )
            model, rounded = replace(model, activations=job.started.activations), job.started.tensors
        elif settings.calibrate:
            rounded = rounded_by_outputs(model, job.schemes, batches, job.progress)
        kind = EncoderBlockwise if settings.method == "blockwise" else EncoderTrainer
        return kind(
            model, job.schemes, self.examples, settings,
            rounded=rounded, precision=job.precision, seed=job.seed,
        )  # fmt: skip

    def score(self, model: Model) -> float:
        """The metric of our engine's answers."""
        return round(self.validation.score(model), 5)

    def described(self) -> dict[str, Any]:
        """How many examples there are."""
        return {"examples": len(self.examples)}


def chosen_metric(model: Model, settings: EncoderFinetuning) -> Metric:
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
    model: Model, schemes: Mapping[str, Scheme | Clustered], batches: Sequence[Batch], progress: Progress | None = None
) -> dict[str, PackedMatrix]:
    """The matrices of few bits, rounded so that their outputs change little on these texts (output_rounding.py)."""
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
