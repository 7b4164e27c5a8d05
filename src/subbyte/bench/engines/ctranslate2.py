"""CTranslate2 in float32 and int8. Its own converter makes the folders; that needs torch and transformers, running not.

It starts a Marian decoder from a zero vector, whatever the model's <pad> is, so its translations may differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subbyte.bench.engines import require, version_of
from subbyte.bench.subjects import Load, Models, Opened, Published, Setup, Subject, Task
from subbyte.errors import MeasurementError

PRECISIONS = ("float32", "int8")
PATIENCE = 3600  # seconds for a conversion
STATED = "its README states for OPUS-MT en-de (4 threads of a c5.2xlarge, CTranslate2 3.6)"

PACKAGES: Sequence[str] = ("ctranslate2",)
PUBLISHED: Sequence[Published] = tuple(
    Published(
        precision,
        f"the {speed} tokens per second that {STATED}",
        tokens_per_second=speed,
        threads=4,
        batch_size=32,
        beam_size=4,
        parameters=75_000_000,
    )
    for precision, speed in (("float32", 525.0), ("int8", 696.1))
)


def versions() -> dict[str, str]:
    return {"ctranslate2": version_of("ctranslate2")}


def can(task: Task) -> bool:
    return task.form == "tokens"


def refusal(models: Models) -> str | None:
    return "cannot run it: its converter knows no Bergamot students; use a MarianMT folder" if models.student else None


def prepare(models: Models, work: Path) -> list[Subject]:
    return [
        Subject("ctranslate2", precision, _converted(models.float_folder, work, precision)) for precision in PRECISIONS
    ]


def _converted(source: Path, work: Path, precision: str) -> Path:
    """The source in CTranslate2's own format. `work` is made for one source, so that what is there already will do."""
    folder = work / f"ctranslate2-{version_of('ctranslate2')}-{precision}"
    if folder.exists():
        return folder
    require("converting a model for ctranslate2", ["torch", "transformers"])
    new = work / f"{folder.name}.new"  # renamed when it is complete
    arguments = ["--model", str(source), "--output_dir", str(new), "--quantization", precision, "--force"]
    command = [sys.executable, "-m", "ctranslate2.converters.transformers", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{source}: converting it for ctranslate2 took more than {PATIENCE} s") from None
    if done.returncode:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise MeasurementError(f"{source}: ctranslate2 cannot convert it to {precision}: {last}")
    new.rename(folder)
    return folder


def sentences(folder: Path, ids: Sequence[Sequence[int]]) -> Sequence[Sequence[str]]:
    names = ("shared_vocabulary.json", "source_vocabulary.json")
    pieces = next(json.loads((folder / name).read_text("utf-8")) for name in names if (folder / name).exists())
    return [[pieces[i] for i in sentence] for sentence in ids]


def opener(setup: Setup) -> Load:
    blocked: dict[str, Any] = {"torch": None, "transformers": None}  # its converters would import them
    sys.modules.update(blocked)
    import ctranslate2

    def load() -> Opened:
        # compute_type "default" is the precision of the folder; "auto" would run float32 in int8
        translator = ctranslate2.Translator(
            setup.folder, device="cpu", compute_type="default", inter_threads=1, intra_threads=len(setup.cores)
        )

        def translate(batch: Sequence[Sequence[str]], task: Task) -> list[int]:
            found = translator.translate_batch(
                batch,
                beam_size=task.beam_size,
                length_penalty=1.0,
                min_decoding_length=task.tokens or 1,
                max_decoding_length=task.tokens or task.max_length - 1,
            )
            return [len(result.hypotheses[0]) for result in found]

        return Opened(translate, {"compute_type": str(translator.compute_type)})

    return load
