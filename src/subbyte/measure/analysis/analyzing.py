"""A float32 model and a text in, a page and its numbers out."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

from subbyte.errors import UsageError
from subbyte.folders.atomic import new_file
from subbyte.folders.opening import open_model, refuse_search
from subbyte.measure.analysis import outliers, texts, translation, weights
from subbyte.measure.analysis.advice import recommended
from subbyte.measure.analysis.document import Analysis
from subbyte.measure.analysis.findings import findings
from subbyte.measure.analysis.judging import DISTANCES, Judge, batches
from subbyte.measure.analysis.leave_one_out import leave_one_out
from subbyte.measure.analysis.page import page
from subbyte.measure.analysis.presets import EncoderCalibration, measured, of_encoder
from subbyte.models.model import Float, Model
from subbyte.progress import Progress, phase
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.runtime import Runtime
from subbyte.run.translation_engine import Engine
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer
from subbyte.text.tokenizer import load_tokenizer


def analyze(
    model: str | Path | Model,
    data: str | Path,
    out: str | Path | None = None,
    *,
    most_texts: int = texts.DEFAULT,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Analysis:
    """Where a float32 model breaks at few bits, as numbers, and as the page `out` with the numbers in a file beside it.

    model       a float32 folder: of an encoder (outliers of activations, leave-one-out, weights), or of a translation
                model (weights alone)
    data        a labelled .tsv (.gz too), or any other file with a text a line, a tab between those of a pair; of a
                translation model the source language
    out         ends in .html; report.html has report.json beside it. Default: nothing is written
    most_texts  the first so many are read; every second is calibrated on, the others are judged
    threads     default: all cores
    force       older files of this kind may be replaced
    progress    called with the name of a part, the work done and the work in all

    Raises UsageError, and ModelError if the folder is not a model we run.

    >>> subbyte.analyze("all-MiniLM-L6-v2", "texts.txt", "report.html")["residual"][0]["dimension"]
    223
    """
    read = texts.read_texts(data, most_texts)
    paths = [] if out is None else _paths(Path(out))
    opened = model if isinstance(model, Model) else open_model(model)
    refuse_search(opened)
    if opened.compressed or not isinstance(opened.activations, Float):
        raise UsageError(f"{opened.folder}: is compressed already; give the float32 model it was made from")
    threads = Runtime(threads).cores
    with ExitStack() as stack:
        files = [stack.enter_context(new_file(path, force=force, ours=_is_ours)) for path in paths]
        encodes = opened.task == "encode"
        document = (_encoder if encodes else _translation)(opened, read, threads, progress)
        document["recommended"] = recommended(document)
        document["findings"] = findings(document)
        if files:
            files[0].write(page(document).encode())
            files[1].write(json.dumps(document, ensure_ascii=False, allow_nan=False).encode())
    return document


def _is_ours(path: Path) -> bool:
    """Whether a file is a page or a document of an analysis."""
    if path.suffix == ".html":
        return b"subbyte analyze" in path.read_bytes()
    return {"model", "architecture", "findings"} <= {*json.loads(path.read_bytes())}


def _paths(out: Path) -> list[Path]:
    """Of the page and of the document."""
    if out.suffix != ".html":
        raise UsageError(f"{out}: should end in .html; the numbers go to the same name with .json")
    return [out, out.with_suffix(".json")]


def _encoder(model: Model, read: texts.Texts, threads: int, progress: Progress | None) -> Analysis:
    tokenizer = load_encoder_tokenizer(model.folder, model.config, sentence=model.sentence)
    held_out, seen = read.held_out(), read.seen()
    judge = Judge(model, tokenizer, held_out, threads)
    engine = EncoderEngine(model, threads=threads)
    every = batches(tokenizer, read.texts, judge.task)
    document = _blank(model, judge.task, read, engine, sum(len(ids) for batch in every for ids in batch[0]))
    document["calibrated"], document["judged"] = len(seen), len(held_out.texts)
    document["points"], document["residual"] = outliers.outliers(
        engine, every, lambda id: tokenizer.tokens([id])[0], phase(progress, "activations")
    )
    calibration = EncoderCalibration(model, batches(tokenizer, seen, judge.task), threads)
    document["leave_one_out"] = leave_one_out(calibration, judge, len(held_out.texts), phase(progress, "leave one out"))
    document["sizes"], document["left_out"] = measured(
        model, of_encoder(calibration), judge, judge.task, phase(progress, "presets")
    )
    document["blocks"] = weights.blocks(model, judge, phase(progress, "weights"))
    return document


def _translation(model: Model, read: texts.Texts, threads: int, progress: Progress | None) -> Analysis:
    tokenizer = load_tokenizer(model.folder, model.config)
    found = translation.analyzed(model, tokenizer, read, threads, progress)
    document = _blank(model, "translation", read, Engine(model, threads=threads), found.tokens)
    document["calibrated"], document["judged"] = found.calibrated, found.judged
    document["sizes"], document["left_out"], document["blocks"] = found.sizes, found.left_out, found.blocks
    return document


def _blank(model: Model, task: str, read: texts.Texts, engine: Engine | EncoderEngine, tokens: int) -> Analysis:
    """A document that says what was analyzed, and nothing of what was found."""
    return {
        "model": Path(os.path.abspath(model.folder)).name,
        "source": str(model.folder),
        "text": read.path,
        "architecture": model.architecture,
        "task": task,
        "distance": DISTANCES[task],
        "data": Path(read.path).name,
        "texts": len(read.texts),
        "calibrated": 0,
        "judged": 0,
        "tokens": tokens,
        "isa": engine.isa,
        "threads": engine.threads,
        "points": [],
        "residual": [],
        "leave_one_out": None,
        "sizes": [],
        "left_out": [],
        "blocks": [],
        "recommended": None,
        "findings": [],
    }
