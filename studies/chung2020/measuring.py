"""What all studies of this folder share: a model on the validation set, and the records of what was measured."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from subbyte.metrics import score
from subbyte.models.model import Model
from subbyte.run.translator import Translator
from subbyte.text.lines import read_lines

HERE = Path(__file__).parent
RECORDS = HERE / "records.jsonl"
WORK = HERE.parent / "checkpoints" / "chung2020"
SET = "val"
MAX_LENGTH = 128

Record = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """A model on a text: its translations, the negative log-likelihood (nats) and tokens of each reference."""

    texts: list[str]
    nll: np.ndarray  # float64 [sentences]
    tokens: np.ndarray  # int64 [sentences]
    seconds: float
    isa: str


@dataclass(frozen=True)
class Texts:
    """The folder with SET.SOURCE.txt.gz and SET.TARGET.txt.gz. Nothing here reads a test set."""

    data: Path
    languages: tuple[str, str] = ("en", "de")

    def path(self, name: str, side: int) -> Path:
        """The source (0) or target (1) file of a set."""
        return self.data / f"{name}.{self.languages[side]}.txt.gz"

    @cached_property
    def sources(self) -> list[str]:
        return list(read_lines(self.path(SET, 0)))

    @cached_property
    def references(self) -> list[str]:
        return list(read_lines(self.path(SET, 1)))


def measure(
    model: Model | Path, texts: Texts, *, beam: int, activations: Literal["int8", "float32"], threads: int = 1
) -> Measured:
    """Translate the set, and force its references; with beam 0 nothing is translated."""
    translator = Translator.from_pretrained(model, threads=threads, activations=activations)
    start = time.perf_counter()
    found = []
    if beam:
        generation = translator.engine.generation(beam_size=beam, max_length=MAX_LENGTH, length_penalty=1.0)
        found = [best.text for best, *_ in translator.stream(texts.sources, generation)]
    seconds = time.perf_counter() - start
    scores = list(translator.stream_scores(zip(texts.sources, texts.references, strict=True)))
    return Measured(
        found,
        np.array([-one.total for one in scores]),
        np.array([len(one.tokens) for one in scores]),
        seconds,
        translator.engine.isa,
    )


def quality(found: Measured, texts: Texts, float32: Measured) -> Record:
    """BLEU, chrF and NLL a token, with what NLL lost against the float32 model and the standard error of that."""
    lost, error = difference(found, float32)
    scores: Record = {}
    if found.texts:
        metrics = score(found.texts, texts.references)
        scores = {"bleu": round(metrics["bleu"], 3), "chrf": round(metrics["chrf"], 3)}
        scores["signature"] = metrics["bleu_signature"]
    return {
        **scores,
        "nll": round(float(found.nll.sum() / found.tokens.sum()), 5),
        "nll_lost": round(lost, 5),
        "nll_lost_error": round(error, 5),
        "examples": len(found.tokens),
        "tokens": int(found.tokens.sum()),
        "seconds": round(found.seconds, 1),
        "isa": found.isa,
    }


def difference(found: Measured, other: Measured) -> tuple[float, float]:
    """NLL a token of the first less that of the second, and its standard error over sentences."""
    each = found.nll - other.nll
    tokens = found.tokens.sum()
    return float(each.sum() / tokens), float(each.std(ddof=1) * np.sqrt(len(each)) / tokens)


def keep(name: str, found: Measured) -> None:
    """Store what was measured in the folder that git ignores, for comparisons."""
    WORK.mkdir(parents=True, exist_ok=True)
    document = {
        "texts": found.texts,
        "nll": found.nll.tolist(),
        "tokens": found.tokens.tolist(),
        "seconds": found.seconds,
        "isa": found.isa,
    }
    (WORK / f"{name}.json").write_text(json.dumps(document), "utf-8")


def kept(name: str) -> Measured:
    """What `keep` stored."""
    document = json.loads((WORK / f"{name}.json").read_text("utf-8"))
    return Measured(
        document["texts"],
        np.array(document["nll"]),
        np.array(document["tokens"]),
        document["seconds"],
        document["isa"],
    )


def baseline(model: Path, texts: Texts, beam: int) -> Measured:
    """The float32 model; measured once, then kept, and recorded. For beam 0 it is that of beam 1."""
    beam = beam or 1
    name = f"float32-beam{beam}"
    if not (WORK / f"{name}.json").exists():
        keep(name, measure(model, texts, beam=beam, activations="float32"))
    found = kept(name)
    key = {"study": "float32", "model": model.name, "set": SET, "beam": beam, "activations": "float32"}
    if not finished(key):
        append(key, quality(found, texts, found))
    return found


def relative_error(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Sum of (w - approximation)^2 over sum of w^2, for pairs of both."""
    noise = sum(float(np.square(w - other, dtype=np.float64).sum()) for w, other in pairs)
    return noise / sum(float(np.square(w, dtype=np.float64).sum()) for w, _ in pairs)


def records(study: str | None = None) -> list[Record]:
    """What was recorded so far, of one study or of all."""
    lines = RECORDS.read_text("utf-8").splitlines() if RECORDS.exists() else []
    found = [json.loads(line) for line in lines]
    return [record for record in found if study is None or record["study"] == study]


def finished(key: Record) -> bool:
    """Whether there is a record of these settings."""
    return any(key.items() <= record.items() for record in records())


def best(found: list[Record], beam: int) -> Record | None:
    """Of records of the same settings, the one with translations if there is one, else that with the NLL alone."""
    return next((r for wanted in (beam, 0) for r in found if r["beam"] == wanted), None)


def append(key: Record, result: Record) -> None:
    """Add a record to the file."""
    with RECORDS.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**key, **result, "commit": commit()}) + "\n")


def commit() -> str:
    """The commit that runs, with a plus if the package differs from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + (
        "+" if git("status", "--porcelain", "--untracked-files=no", "../../src", "../../core") else ""
    )


def rows_to_markdown(rows: list[list[str]]) -> str:
    """A markdown table; the first row is the head."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])
