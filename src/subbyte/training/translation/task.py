"""A float32 model folder and text in, a compressed folder out that was trained as it is stored."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch

from subbyte.compress.calibration.translation import grams
from subbyte.compress.calibration.words import count_words, word_frequencies
from subbyte.compress.recipes.recipe import load_recipe, reasons, require_kind, resolve, resolved
from subbyte.compress.rounding import quantize_model
from subbyte.errors import ModelError, SchemeError, UsageError
from subbyte.folders.converted import loading, saving
from subbyte.folders.files import named_path
from subbyte.folders.opening import open_model, refuse_search
from subbyte.metrics import score
from subbyte.models.families import translation_of
from subbyte.models.kinds import described
from subbyte.models.model import Model
from subbyte.numbers.cores import available_cores
from subbyte.numbers.matrices import blank_matrix
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.progress import Progress, phase
from subbyte.run.inspection import Inspection, inspect
from subbyte.run.translation_engine import Engine
from subbyte.run.translator import Translator
from subbyte.text.lines import read_lines
from subbyte.text.tokenizer import Tokenizer, load_tokenizer
from subbyte.training.checkpoints import Checkpoints
from subbyte.training.loop import train
from subbyte.training.translation.batches import MOST_TOKENS, Pair
from subbyte.training.translation.settings import from_table
from subbyte.training.translation.targets import translations
from subbyte.training.translation.trainer import Trainer

VALID_LINES = 2000


class Validation(TypedDict):
    """What a validation found: BLEU of greedy translations by our engine."""

    update: int
    bleu: float


def finetune(
    model_folder: str | Path,
    out: str | Path,
    recipe: str | Path,
    *,
    source: str | Path,
    target: str | Path | None = None,
    valid_source: str | Path,
    valid_target: str | Path | None = None,
    frequencies: str | Path | None = None,
    start: str | Path | None = None,
    checkpoints: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    seed: int = 0,
    threads: int | None = None,
    precision: Literal["float32", "bf16"] = "float32",
    teacher_beam: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> Inspection:
    """Compress a translation model and train it as it is stored, and return what `inspect(out)` says.

    recipe        a preset or a TOML file; its [finetune] table says how (settings.py), `options` stand in for its keys
    source        training text, a sentence a line (.gz too)
    target        its translations; default: those that the float32 model makes (sequence-level distillation)
    valid_source  text on which the best model is chosen
    valid_target  its translations; default: those of the float32 model
    frequencies   as for `quantize`; default: the words of the training text
    start         a folder that was made of the model by the same recipe, whose codes and scales are where training
                  starts; default: the model, rounded
    checkpoints   the working folder; default: OUT.finetune
    resume        go on with the run that is in it
    precision     of the products in training; bf16 is faster on processors that have it
    teacher_beam  beam size of the float32 model, where it makes the targets

    Needs torch and accelerate: in a checkout of subbyte, pip install ".[finetune]".
    """
    chosen = load_recipe(recipe)
    model = open_model(model_folder)
    refuse_search(model)
    if model.compressed:
        raise UsageError(f"{model_folder}: is compressed already; give the float32 model it was made from")
    if model.task == "encode":
        raise ModelError(
            f"{model_folder}: is {described(model)}; source and target texts are for translation models, and "
            "classifiers are finetuned on labelled texts (--train, --valid)"
        )
    require_kind(chosen, model)
    schemes = resolve(chosen, model)
    settings = from_table(chosen.finetune).with_options(**options)
    check_shapes(model, schemes)
    out = named_path(out)
    saving.refuse_output(model.folder, out, force=force)
    threads = threads or available_cores()
    torch.set_num_threads(threads)
    facts: dict[str, Any] = {"activations": chosen.activations, "recipe": resolved(chosen, schemes)}
    run = {
        "model": str(model.folder), **facts, "finetune": asdict(settings), "seed": seed,
        "source": str(source), "target": str(target) if target else None, "valid_source": str(valid_source),
        "valid_target": str(valid_target) if valid_target else None,
        "frequencies": str(frequencies) if frequencies else None, "start": str(start) if start else None,
        "precision": precision, "teacher_beam": teacher_beam,
    }  # fmt: skip
    working = Path(checkpoints or f"{out}.finetune")
    if working.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{working}: is in the folder to write; choose another one for the work")
    kept = Checkpoints(working, run, resume=resume, force=force)
    tokenizer = load_tokenizer(model.folder, model.config)
    text = _Text(model, tokenizer, threads, progress)
    valid = text.validation(valid_source, valid_target)
    counts = word_frequencies(model, tokenizer, read_lines(frequencies)) if frequencies else None
    pairs = text.pairs(source, target, teacher_beam, kept)
    if counts is None:
        counts = count_words(model, pairs, separate=tokenizer.separate)
    clusters = {
        name: scheme.clusters.assign(counts[name])
        for name, scheme in schemes.items()
        if isinstance(scheme, Clustered) and name in counts
    }
    rounded = _started(start, model, facts["recipe"]) if start else None
    if rounded:
        clusters = {
            n: t.cluster for n, t in rounded.tensors.items() if isinstance(t, PackedMatrix) and t.cluster is not None
        }
    elif settings.calibrate:
        sums = grams(model, tokenizer, read_lines(source), phase(progress, "calibrating"))
        rounded = quantize_model(model, schemes, counts, sums, phase(progress, "rounding"))
    trainer = Trainer(
        model, schemes, pairs, settings, clusters=clusters, rounded=rounded, activations=chosen.activations,
        precision="bf16" if precision == "bf16" else "no", seed=seed,
    )  # fmt: skip
    history: list[Validation] = []
    validated = 0
    if resume and (state := kept.load()):
        history, validated = state["history"], state["validated"]
        trainer.restore(state)
    report = {
        "recipe": chosen.name, "seed": seed, "finetune": {**asdict(settings), "precision": precision},
        "text": {"sentences": len(pairs), "distilled": target is None},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "tensors": {name: {"rule": rule} for name, rule in reasons(chosen, model).items()},
    }  # fmt: skip

    def keep_best() -> None:
        """Validate, and save what is better than all before."""
        current = trainer.model(**facts)
        found = Validation(update=trainer.update, bleu=round(valid(current), 3))
        kept.log(**found)
        if trainer.complete:
            if all(found["bleu"] > one["bleu"] for one in history):
                saving.save(current, kept.best, report={**report, "best": found}, force=kept.best.exists())
            history.append(found)

    train(trainer, kept, history, validated, keep_best, progress)
    best = replace(loading.load(kept.best), folder=model.folder)
    saving.save(best, out, report={**report, "validations": history}, force=force)
    kept.clear()
    return inspect(out)


def _started(folder: str | Path, model: Model, recipe: Mapping[str, Any]) -> Model:
    """The compressed model that training starts from."""
    found = open_model(folder)
    if not found.compressed:
        raise UsageError(f"{folder}: is not compressed; give a folder that quantize or finetune made")
    if found.recipe.get("tensors") != recipe["tensors"]:
        raise UsageError(
            f"{folder}: was made by recipe {found.recipe.get('name')}, which is another than {recipe['name']}"
        )
    return found


class _Text:
    """Lines as ids, and the float32 model that fills in translations that are not given."""

    def __init__(self, model: Model, tokenizer: Tokenizer, threads: int, progress: Progress | None) -> None:
        self.model, self.tokenizer, self.threads, self.progress = model, tokenizer, threads, progress

    def pairs(self, source: str | Path, target: str | Path | None, beam_size: int, kept: Checkpoints) -> list[Pair]:
        """The training text; pairs with a side that is empty or too long are left out."""
        sources = [self.tokenizer.encode(line) for line in read_lines(source)]
        if target is None:
            targets = kept.targets()
            if targets is None:
                targets = self._translated(sources, beam_size)
                kept.keep_targets(targets)
        else:
            targets = [self.tokenizer.encode_target(line) for line in read_lines(target)]
        if len(sources) != len(targets):
            raise UsageError(_unequal(source, len(sources), target, len(targets)))
        longest = min(MOST_TOKENS, translation_of(self.model.config).longest)
        pairs = [Pair(*both) for both in zip(sources, targets, strict=True)]
        pairs = [p for p in pairs if min(len(p.source), len(p.target)) > 1 and p.tokens <= longest]
        if not pairs:
            raise UsageError(f"{source}: has no sentence that the model can read")
        return pairs

    def validation(self, source: str | Path, target: str | Path | None) -> Callable[[Model], float]:
        """A function that gives the BLEU of a model's greedy translations."""
        sources = list(islice(read_lines(source), VALID_LINES))
        if target:
            references = list(islice(read_lines(target), VALID_LINES))
        else:
            made = self._translated([self.tokenizer.encode(line) for line in sources], 1)
            references = [self.tokenizer.decode(ids[:-1]) for ids in made]
        if not sources:
            raise UsageError(f"{source}: is empty")
        if len(sources) != len(references):
            raise UsageError(_unequal(source, len(sources), target, len(references)))

        def bleu(model: Model) -> float:
            translator = Translator(Engine(model, threads=self.threads), self.tokenizer)
            return score(translator.translate(sources, beam_size=1), references)["bleu"]

        return bleu

    def _translated(self, sources: Sequence[Sequence[int]], beam_size: int) -> list[list[int]]:
        engine = Engine(self.model, threads=self.threads)
        return translations(engine, sources, beam_size, phase(self.progress, "translating"))


def check_shapes(model: Model, schemes: Mapping[str, Scheme | Clustered]) -> None:
    """Refuse a scheme that does not fit its matrix, before any work."""
    for name, scheme in schemes.items():
        rows, cols = model.tensors[name].shape
        try:
            blank_matrix((rows, cols), scheme)
        except SchemeError as error:
            raise SchemeError(f"{name}: {error}") from None


def _unequal(source: object, sources: int, target: object, targets: int) -> str:
    return (
        f"{source} has {sources:,} lines and {target} has {targets:,}; "
        "line i of the one should be the translation of line i of the other"
    )
