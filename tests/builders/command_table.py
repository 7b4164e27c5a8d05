"""A run of every command with every path that it takes: what `test_every_command.py` runs, and spoils.

A command, or an option that is a path, that is missing here makes a test fail. Paths that exist when the run begins are
read by it, the others are written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class World:
    """What runs are made of; none of it is to be changed.

    other  of a model: one of another kind, to take its place
    """

    translator: Path
    compressed: Path
    encoder: Path
    classifier: Path
    english: Path
    german: Path
    labelled: Path
    similar: Path
    recipe: Path

    def other(self, model: Path) -> Path:
        return self.encoder if model in (self.translator, self.compressed) else self.translator


@dataclass(frozen=True)
class Case:
    """A run that ends well.

    arguments  of a world and a folder to write into
    prints     whether there is something on stdout
    same       whether it prints the same again
    either     models of other kinds will do
    needs      packages
    """

    arguments: Callable[[World, Path], list[Any]]
    prints: bool = True
    same: bool = True
    either: bool = False
    needs: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return " ".join(str(one) for one in self.arguments(SHOWN, Path("out")) if not isinstance(one, Path))


SHOWN = World(*(Path(name) for name in World.__annotations__))  # for names of tests

QUICK = ["--threads", 1]
BENCH = ["--sentences", 1, "--rounds", 1, "--batch-sizes", 1, "--beam-sizes", 1, "--tokens", 0]
TRAINING = ["--updates", 2, "--checkpoints"]
TORCH = ("torch", "accelerate")

CASES = [
    Case(lambda w, out: ["demo", "--out", out / "demo", *QUICK], same=False),
    Case(lambda w, out: ["download", "somebody/tiny", out / "d"], same=False),  # of fake_hub.py
    Case(
        lambda w, out: [
            "quantize", w.translator, out / "q", "--recipe", "nmt-mixed", "--frequencies", w.english,
            "--calibration", w.english, "--check", w.english,
        ],
        same=False,
    ),
    Case(lambda w, out: ["quantize", w.encoder, out / "q", "--recipe", w.recipe], same=False, either=True),
    Case(
        lambda w, out: [
            "finetune", w.translator, out / "f", "--recipe", w.recipe, "--source", w.english, "--target", w.german,
            "--valid-source", w.english, "--valid-target", w.german, "--frequencies", w.english, *QUICK, *TRAINING,
            out / "work", "--start", w.compressed,
        ],
        same=False, needs=TORCH,
    ),
    Case(
        lambda w, out: [
            "finetune", w.classifier, out / "f", "--recipe", w.recipe, "--train", w.labelled, "--valid", w.labelled,
            *QUICK, *TRAINING, out / "work",
        ],
        same=False, needs=TORCH,
    ),
    Case(lambda w, out: ["pack", w.compressed, out / "p"]),
    Case(lambda w, out: ["inspect", w.compressed, "--verify"], either=True),
    Case(lambda w, out: ["translate", w.compressed, w.english, *QUICK]),
    Case(lambda w, out: ["translate", w.compressed, w.english, "--document", *QUICK]),
    Case(lambda w, out: ["translate", w.compressed, w.english, "--json", *QUICK]),
    Case(lambda w, out: ["encode", w.encoder, w.english, *QUICK]),
    Case(lambda w, out: ["encode", w.encoder, w.english, "--out", out / "v.npy", *QUICK], prints=False),
    Case(lambda w, out: ["classify", w.classifier, w.english, "--all", *QUICK]),
    Case(
        lambda w, out: ["evaluate", w.compressed, "--source", w.english, "--reference", w.german, *QUICK], same=False
    ),
    Case(
        lambda w, out: ["evaluate", w.classifier, "--task", "classification", "--data", w.labelled, *QUICK],
        same=False,
    ),
    Case(lambda w, out: ["evaluate", w.encoder, "--task", "sts", "--data", w.similar, *QUICK], same=False),
    Case(lambda w, out: ["score", w.compressed, w.english, w.german, *QUICK]),
    Case(lambda w, out: ["analyze", w.classifier, "--data", w.labelled, "--out", out / "a.html", *QUICK], either=True),
    Case(
        lambda w, out: [
            "bench", w.compressed, "--source-model", w.translator, "--recipes", "int8", "--text", w.english,
            "--work", out / "work", "--plot", out / "p.svg", *BENCH,
        ],
        same=False, either=True,
    ),
]  # fmt: skip
