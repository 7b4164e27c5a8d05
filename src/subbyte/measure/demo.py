"""The demonstration: the small model that ships is compressed, and both versions translate the same sentences."""

import os
import statistics
import time
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import TypedDict

from subbyte.compress.quantizing import quantize
from subbyte.folders.atomic import new_folder
from subbyte.folders.manifest import NAME as MANIFEST
from subbyte.folders.manifest import manifest_of, strangers
from subbyte.measure.memory import peak_rss_bytes
from subbyte.metrics import chrf
from subbyte.progress import Progress
from subbyte.run.translator import Translation, Translator

MODEL = "demo_model"
ROUNDS = 5  # of translating all sentences, float32 and low-bit in turn; the median counts

SENTENCES = (
    "Where did you leave the keys?",
    "The train to Berlin leaves at seven o'clock.",
    "I have never seen such a beautiful garden.",
    "She wants to learn German before the summer.",
    "It was raining, so we stayed at home.",
    "My brother works in a small hospital.",
    "Can you help me find my glasses?",
    "The children were too tired to play.",
    "Nobody knows why the shop is closed today.",
    "He bought bread, cheese and two bottles of milk.",
)


class Speeds(TypedDict):
    """Target tokens per second."""

    float32: float
    low_bit: float


class Sentence(TypedDict):
    """A source sentence and what the two models make of it."""

    source: str
    float32: str
    low_bit: str


class Demonstration(TypedDict):
    """What the demonstration did and measured.

    float_model, low_bit_model  folders that all other commands take
    choice                      which preset it was compressed with, and why
    compression, average_bits   as `inspect` has them
    agreement_chrf              chrF of the low-bit translations, those in float32 being the references; 100 is equal
    peak_rss_bytes              the most memory the process has had, both models open
    """

    float_model: str
    low_bit_model: str
    choice: str
    compression: float
    average_bits: float
    agreement_chrf: float
    tokens_per_second: Speeds
    peak_rss_bytes: int
    sentences: list[Sentence]


def demonstrate(
    out: str | Path | None = None,
    *,
    force: bool = False,
    threads: int | None = None,
    isa: str = "best",
    progress: Progress | None = None,
) -> Demonstration:
    """Write the model that ships to `out`/float32, compress it to `out`/low_bit, and compare the two.

    out       default: the user's cache, where an older demonstration is replaced
    force     older demonstrations may be replaced in `out` too
    progress  called with the phase, what of it is done so far, and what there is in all
    """
    force = force or out is None
    folder = cache_folder() if out is None else Path(out)
    float_folder, low_bit_folder = folder / "float32", folder / "low_bit"
    with as_file(files(__package__) / MODEL) as shipped:
        content = {path.name: path.read_bytes() for path in shipped.iterdir()}
    with new_folder(float_folder, force=force, strangers=lambda folder: _strangers(folder, content)) as new:
        for name, data in {**content, MANIFEST: manifest_of(content)}.items():
            (new / name).write_bytes(data)
    document = quantize(float_folder, low_bit_folder, force=force, progress=progress)

    models = [Translator.from_pretrained(path, threads=threads, isa=isa) for path in (float_folder, low_bit_folder)]
    found = [_translate(model) for model in models]  # the first round warms up
    speeds: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for model, measured in zip(models, speeds, strict=True):
            start = time.perf_counter()
            tokens = sum(translation.tokens for translation in _translate(model))
            measured.append(tokens / (time.perf_counter() - start))
    float32, low_bit = ([translation.text for translation in translations] for translations in found)
    peak = peak_rss_bytes()
    return {
        "float_model": str(float_folder),
        "low_bit_model": str(low_bit_folder),
        "choice": document["choice"] or "",
        "compression": document["compression"],
        "average_bits": document["average_bits"],
        "agreement_chrf": chrf(low_bit, float32),
        "tokens_per_second": {"float32": statistics.median(speeds[0]), "low_bit": statistics.median(speeds[1])},
        "peak_rss_bytes": peak,
        "sentences": [
            {"source": s, "float32": f, "low_bit": b} for s, f, b in zip(SENTENCES, float32, low_bit, strict=True)
        ],
    }


def _strangers(folder: Path, shipped: Mapping[str, bytes]) -> list[str]:
    """What is in the folder of the float32 model and not ours: before it had a manifest, whatever does not ship."""
    if (folder / MANIFEST).exists():
        return strangers(folder)
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_symlink() or not path.is_file() or path.read_bytes() != shipped.get(path.name)
    )


def cache_folder() -> Path:
    """Where the demonstration is kept unless another folder is named."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "subbyte" / "demo"


def _translate(model: Translator) -> list[Translation]:
    return [hypotheses[0] for hypotheses in model.stream(SENTENCES, model.engine.generation(scores=False))]
