"""subbyte itself: DIR as it is, and the source compressed by each recipe that was asked for."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from subbyte.measure.bench.subjects import Engine, Load, Models, Opened, Setup, Subject, Task


def prepare(models: Models, work: Path) -> list[Subject]:
    from subbyte.compress.quantizing import quantize
    from subbyte.compress.recipes.recipe import load_recipe

    subjects = [Subject("subbyte", models.name, models.folder)]
    for recipe in models.recipes:
        name = Path(recipe).stem if recipe.endswith(".toml") else recipe
        text = _calibration(models, work) if load_recipe(recipe).activations == "static" else None
        quantize(models.float_folder, work / f"subbyte-{name}", recipe, calibration=text, force=True)
        subjects.append(Subject("subbyte", name, work / f"subbyte-{name}"))
    return subjects


def _calibration(models: Models, work: Path) -> Path:
    """The text that is encoded, in a file; over and over, if it is short."""
    from subbyte.compress.calibration.texts import FEWEST

    text = work / "calibration.txt"
    lines = islice(cycle(models.lines), max(FEWEST, len(models.lines)))
    text.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return text


def opener(setup: Setup) -> Load:
    return _encoder_opener(setup) if setup.encoder else _translator_opener(setup)


def _how(setup: Setup) -> dict[str, Any]:
    """How it runs, as Runtime has it."""
    return {"threads": len(setup.cores), "isa": setup.isa, "activations": setup.activations}


def _encoder_opener(setup: Setup) -> Load:
    from subbyte.folders.opening import open_model
    from subbyte.run.encoder_engine import EncoderEngine

    def load() -> Opened:
        engine = EncoderEngine(open_model(setup.folder), **_how(setup))

        def encode(batch: Sequence[Sequence[int]], task: Task) -> Any:
            return engine.logits(batch) if engine.settings.labels else engine.pooled(batch)

        return Opened(encode, {"isa": engine.isa, "activations": engine.activations})

    return load


def _translator_opener(setup: Setup) -> Load:
    from subbyte.folders.opening import open_to_run
    from subbyte.run import translation_engine

    if setup.texts:
        from subbyte.run.translator import Translator

    def load() -> Opened:
        translator = None
        if setup.texts:
            translator = Translator.from_pretrained(setup.folder, **_how(setup))
            engine = translator.engine
        else:
            model = open_to_run(setup.folder, setup.activations)
            engine = translation_engine.Engine(model, **_how(setup))

        def translate(batch: Sequence[Sequence[int]] | Sequence[str], task: Task) -> list[int] | list[str]:
            search = engine.generation(
                beam_size=task.beam_size, max_length=task.max_length, length_penalty=1.0, early_stopping=False,
                do_sample=False, scores=False,
            )  # fmt: skip
            if task.tokens:  # lengths count the start token
                search = replace(
                    search,
                    min_length=task.tokens + 1,
                    max_length=task.tokens + 1,
                    max_length_factor=0.0,
                    forced_end=None,
                )
            if task.form == "text":
                assert translator
                return [found[0].text for found in translator.stream(batch, search, task.batch_size)]  # type: ignore[arg-type]
            return [len(best.tokens) for (best,) in engine.translate(batch, search)]  # type: ignore[arg-type]

        return Opened(translate, {"isa": engine.isa, "activations": engine.activations})

    return load


ENGINE = Engine(("subbyte",), prepare, opener)
