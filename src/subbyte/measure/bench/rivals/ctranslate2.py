"""CTranslate2 in float32 and int8. Its own converter makes the folders; that needs torch and transformers, running not.

It starts a Marian decoder from a zero vector, whatever the model's <pad> is, so its translations may differ.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subbyte.measure.bench.packages import require, version_of
from subbyte.measure.bench.subjects import Engine, Load, Models, Opened, Published, Setup, Subject, Task

PRECISIONS = ("float32", "int8")
STATED = "its README states for OPUS-MT en-de (4 threads of a c5.2xlarge, CTranslate2 3.6)"

PUBLISHED = tuple(
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


def refusal(models: Models) -> str | None:
    others = {"student": "its converter knows no Bergamot students", "encoder": "encoders are not measured with it"}
    return f"cannot run it: {others[models.kind]}; use a MarianMT folder" if models.kind in others else None


def prepare(models: Models, work: Path) -> list[Subject]:
    return [
        Subject("ctranslate2", precision, _converted(models.float_folder, work, precision)) for precision in PRECISIONS
    ]


def _converted(source: Path, work: Path, precision: str) -> Path:
    """The source in CTranslate2's own format."""
    from subbyte.measure.bench.conversion import converted

    folder = work / f"ctranslate2-{version_of('ctranslate2')}-{precision}"
    require("converting a model for ctranslate2", ["torch", "transformers"])
    arguments = ["--model", str(source), "--quantization", precision, "--force", "--output_dir"]
    return converted("ctranslate2", precision, source, folder, "ctranslate2.converters.transformers", *arguments)


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


ENGINE = Engine(
    ("ctranslate2",), prepare, opener, ("ctranslate2",), PUBLISHED, can=lambda task: task.form == "tokens",
    refusal=refusal, sentences=sentences,
)  # fmt: skip
