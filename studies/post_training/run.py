"""What every preset recipe costs in quality without any retraining: quantize, translate, score, record.

    python studies/post_training/run.py MODEL DATA --split val
    python studies/post_training/table.py --split val

MODEL is a float32 folder, DATA has SET.SOURCE.txt.gz and SET.TARGET.txt.gz. Every finished run is appended to
records.jsonl at once, with the commit, and is not run again: to repeat it, remove its line. Choices are made on `val`;
`test` is both test sets, for the end. Translations are kept in studies/checkpoints, which git ignores.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import sacrebleu
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest
from table import RECORDS, SPLITS

import subbyte
from subbyte.compress.recipes.recipe import presets
from subbyte.metrics import score
from subbyte.run.translation_engine import Generation
from subbyte.run.translator import Translator
from subbyte.text.lines import read_lines

HERE = Path(__file__).parent
WORK = HERE.parent / "checkpoints" / "post_training"
SETTINGS = {"beam_size": 4, "max_length": 128, "length_penalty": 1.0}
BATCH_SIZE = 32
WEIGHT_ONLY = ("log", "binary", "nmt-mixed")  # recipes of papers that leave activations in float32
SAMPLES = 1000  # of the bootstrap
BASELINE = "float32"

Record = dict[str, Any]


@dataclass(frozen=True)
class System:
    """A recipe with a way of rounding activations; the recipe "float32" is the model as it is."""

    recipe: str
    activations: Literal["int8", "float32"]

    def __str__(self) -> str:
        return f"{self.recipe}-a{self.activations}"


def systems() -> list[System]:
    """All of them, the baseline first."""
    found = [System(BASELINE, "float32"), *(System(recipe, "int8") for recipe in presets())]
    return found + [System(recipe, "float32") for recipe in presets() if recipe.startswith(WEIGHT_ONLY)]


@dataclass(frozen=True)
class Study:
    """The inputs of a study, and where its translations are kept."""

    model: Path
    data: Path
    languages: tuple[str, str]
    threads: int

    def lines(self, name: str, side: int) -> list[str]:
        """The source (0) or reference (1) lines of a set."""
        return list(read_lines(self.data / f"{name}.{self.languages[side]}.txt.gz"))

    def translations(self, system: System, name: str) -> Path:
        """Where the translations of a set are kept."""
        return WORK / f"{system}.{name}.txt"


def read_records() -> list[Record]:
    """All records so far."""
    return [json.loads(line) for line in RECORDS.read_text("utf-8").splitlines()] if RECORDS.exists() else []


def finished(kind: str, system: System, name: str) -> bool:
    """Whether there is such a record."""
    key = {"kind": kind, **asdict(system), "set": name}
    return any(key.items() <= record.items() for record in read_records())


def append(kind: str, system: System, name: str, record: Record) -> None:
    """Add a record to the file."""
    document = {"kind": kind, **asdict(system), "set": name, "commit": commit(), **record}
    with RECORDS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(document) + "\n")


def commit() -> str:
    """The commit that runs, with a plus if the package differs from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + (
        "+" if git("status", "--porcelain", "../../src", "../../core") else ""
    )


def quantized(study: Study, recipe: str) -> Path:
    """The folder of a recipe, made anew in each process: an older commit may have left another."""
    if recipe == BASELINE:
        return study.model
    out = WORK / recipe
    subbyte.quantize(study.model, out, recipe=recipe, force=True)
    return out


def measure(study: Study, system: System, folder: Path, names: Sequence[str]) -> Iterator[tuple[str, Record]]:
    """Translates sets, keeps the texts, and gives the record of each."""
    translator = Translator.from_pretrained(folder, threads=study.threads, activations=system.activations)
    generation: Generation = translator.engine.generation(**SETTINGS)  # type: ignore[arg-type]
    size = subbyte.inspect(folder)
    sizes = ("compression", "average_bits", "bytes_on_disk", "resident_weight_bytes")
    for name in names:
        sources, references = study.lines(name, 0), study.lines(name, 1)
        start = time.perf_counter()
        found = [best.text for best, *_ in translator.stream(sources, generation, BATCH_SIZE)]
        seconds = time.perf_counter() - start
        study.translations(system, name).write_text("\n".join(found) + "\n", "utf-8")
        yield (
            name,
            {
                "model": study.model.name,
                "settings": {**SETTINGS, "batch_size": BATCH_SIZE},
                **score(found, references),
                "examples": len(sources),
                **{key: size[key] for key in sizes},  # type: ignore[literal-required]
                "seconds": seconds,
                "threads": study.threads,
                "isa": translator.engine.isa,
                "versions": {"python": platform.python_version(), "sacrebleu": sacrebleu.__version__},
            },
        )


def compare(study: Study, system: System, names: Sequence[str]) -> Record:
    """Paired bootstrap against the baseline over all sets together, by sacrebleu."""
    references = [line for name in names for line in study.lines(name, 1)]
    texts = [
        [line for name in names for line in read_lines(study.translations(one, name))]
        for one in (System(BASELINE, "float32"), system)
    ]
    test = PairedTest(
        [(BASELINE, texts[0]), (str(system), texts[1])],
        {"BLEU": BLEU(references=[references])},
        references=None,
        test_type="bs",
        n_samples=SAMPLES,
    )
    signatures, results = test()
    baseline, found = results["BLEU"]
    return {
        "bleu": found.score,
        "bleu_baseline": baseline.score,
        "bleu_ci": found.ci,
        "p_value": found.p_value,
        "signature": str(signatures["BLEU"]),
        "examples": len(references),
    }


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--languages", nargs=2, default=("en", "de"), metavar=("SOURCE", "TARGET"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    WORK.mkdir(parents=True, exist_ok=True)
    study = Study(options.model, options.data, tuple(options.languages), options.threads)
    names, folders = SPLITS[options.split], {}
    for system in systems():
        missing = [
            name for name in names if not (finished("run", system, name) and study.translations(system, name).exists())
        ]
        if missing:
            if system.recipe not in folders:
                folders[system.recipe] = quantized(study, system.recipe)
            for name, record in measure(study, system, folders[system.recipe], missing):
                print(f"{system} on {name}: BLEU {record['bleu']:.2f}, chrF {record['chrf']:.2f}", flush=True)
                if not finished("run", system, name):
                    append("run", system, name, record)
        if system.recipe != BASELINE and not finished("comparison", system, options.split):
            append("comparison", system, options.split, compare(study, system, names))


if __name__ == "__main__":
    main()
