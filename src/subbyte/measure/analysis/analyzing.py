"""A float32 model and a text in, a page and its numbers out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from subbyte.errors import UsageError
from subbyte.folders.atomic import new_file
from subbyte.folders.opening import open_model, require_float
from subbyte.measure.analysis import encoders, texts, translation
from subbyte.measure.analysis.advice import recommended
from subbyte.measure.analysis.document import Analysis
from subbyte.measure.analysis.findings import findings
from subbyte.measure.analysis.page import page
from subbyte.models.model import Model, Task
from subbyte.progress import Progress
from subbyte.run.runtime import Runtime

ANALYSES: Mapping[Task, Callable[[Model, texts.Texts, int, Progress | None], Analysis]] = {
    "translate": translation.analyzed,
    "encode": encoders.analyzed,
}


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
    if out is not None and Path(out).suffix != ".html":
        raise UsageError(f"{out}: should end in .html; the numbers go to the same name with .json")
    paths = [] if out is None else [Path(out), Path(out).with_suffix(".json")]  # of the page, of the document
    opened = model if isinstance(model, Model) else open_model(model)
    require_float(opened)
    threads = Runtime(threads).cores
    with ExitStack() as stack:
        files = [stack.enter_context(new_file(path, force=force, ours=_is_ours)) for path in paths]
        document = ANALYSES[opened.task](opened, read, threads, progress)
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
