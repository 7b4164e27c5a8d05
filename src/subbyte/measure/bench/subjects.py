"""What is measured, as facts that parent and workers share. Imports next to nothing: workers import it too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from subbyte.measure.bench.packages import version_of

if TYPE_CHECKING:
    from subbyte.models.kinds import Kind


@dataclass(frozen=True)
class Task:
    """A way of translating, or encoding, all sentences once.

    form        "tokens": ids or pieces in, ids or pieces out; "text": text in, text out, tokenization included;
                "vectors": ids in, the vector or the logits of each sentence out
    tokens      so many are generated for each sentence, None: until the model ends it; of "vectors", so many are read
    max_length  of a translation, the decoder's start token included; of "vectors", `tokens`
    """

    form: Literal["tokens", "text", "vectors"]
    batch_size: int
    beam_size: int
    tokens: int | None
    max_length: int

    @property
    def purpose(self) -> str:
        """What is done, in words that follow "to"."""
        if self.form == "vectors":
            return f"encode all sentences, batch {self.batch_size}, {self.tokens} tokens"
        return f"translate all sentences, batch {self.batch_size}, beam {self.beam_size}"


@dataclass(frozen=True)
class Subject:
    """An engine with a model folder at one precision: what gets a worker process of its own."""

    engine: str
    precision: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True)
class Models:
    """The model that everybody runs.

    folder      DIR; what subbyte runs as it is
    source      the float32 folder that rivals convert, and recipes compress; None where DIR is compressed and alone
    recipes     what subbyte is to make of the source, and run too
    name        of what runs in DIR: "float32", its recipe, or "int8 as stored", a student's own codes
    kind        few engines run all of them
    parameters  elements of its weights
    samples     ids of sentences, for rivals that look at activations when they convert
    lines       the text they are from, for recipes that do
    """

    folder: Path
    source: Path | None
    recipes: tuple[str, ...]
    name: str
    kind: Kind
    parameters: int
    samples: Sequence[Sequence[int]] = ()
    lines: Sequence[str] = ()

    @property
    def float_folder(self) -> Path:
        """The source, where it is sure that there is one."""
        assert self.source
        return self.source


@dataclass(frozen=True)
class Setup:
    """What a worker is told before it imports its engine.

    module     the engine's module, which has an `opener`
    cores      those it may use, as many as it should have threads
    sentences  in the form that its `translate` takes for tasks in tokens
    texts      the same sentences as text; [] where no task needs them
    encoder    whether the model is an encoder, and `translate` gives vectors
    """

    module: str
    folder: str
    cores: Sequence[int]
    isa: str = "best"
    activations: str | None = None
    sentences: Sequence[Sequence[Any]] = ()
    texts: Sequence[str] = ()
    encoder: bool = False


# A batch of sentences (or texts) -> generated tokens of each without the end of sentence (or translations, or vectors)
Translate = Callable[[Sequence[Any], Task], Iterable[Any]]


class Opened(NamedTuple):
    """A model that is ready. `details` become keys of the record: what the engine really chose."""

    translate: Translate
    details: Mapping[str, str]


Load = Callable[[], Opened]


@dataclass(frozen=True)
class Published:
    """A speed somebody stated for an engine, and the least conditions under which falling short of it means something.

    milliseconds, tokens_per_second  one of the two: for a sentence, or of the target language
    statement                        the figure, its machine and its source, to be printed after "slower than"
    parameters                       the model's size; others count if they differ by a fifth at most. None: any
    """

    precision: str
    statement: str
    milliseconds: float | None = None
    tokens_per_second: float | None = None
    threads: int = 1
    batch_size: int = 1
    beam_size: int = 1
    parameters: int | None = None

    def missed(self, run: Mapping[str, Any], threads: int, parameters: int) -> bool:
        """Whether a record is comparable with this figure and below it."""
        comparable = (
            run["precision"] == self.precision
            and run["sequence_length"] is None
            and threads >= self.threads
            and run["batch_size"] >= self.batch_size
            and run["beam_size"] <= self.beam_size
            and (self.parameters is None or abs(parameters - self.parameters) <= self.parameters / 5)
        )
        slow = self.milliseconds is not None and milliseconds(run) > self.milliseconds
        few = self.tokens_per_second is not None and run["tokens_per_second"] < self.tokens_per_second
        return comparable and (slow or few)


def encoders_only(models: Models) -> str | None:
    """The refusal of an engine that is measured with encoders."""
    return None if models.kind == "encoder" else "is measured with encoders only; use a folder of BERT's family"


@dataclass(frozen=True)
class Engine:
    """What `bench` knows of an engine: the ENGINE of its module.

    distributions  the packages that do the work, whose versions are recorded, the engine's own first
    prepare        makes its folders, in the folder given if they have to be made
    opener         imports what it needs; what is returned opens the model. Called in the worker only
    packages       importable names it cannot do without
    published      speeds that it should reach
    can            whether it does such tasks
    refusal        why it cannot run a model, and what to do; None if it can
    sentences      a folder and the ids of the float model -> these in the form that its `translate` takes
    """

    distributions: Sequence[str]
    prepare: Callable[[Models, Path], list[Subject]]
    opener: Callable[[Setup], Load]
    packages: Sequence[str] = ()
    published: Sequence[Published] = ()
    can: Callable[[Task], bool] = lambda task: True
    refusal: Callable[[Models], str | None] = lambda models: None
    sentences: Callable[[Path, Sequence[Sequence[int]]], Sequence[Sequence[Any]]] = lambda folder, ids: ids

    @property
    def versions(self) -> dict[str, str]:
        """Distribution -> version."""
        return {name: version_of(name) for name in self.distributions}


def milliseconds(run: Mapping[str, Any], key: str = "median_seconds") -> float:
    """The time of a record for one sentence."""
    return 1000 * float(run[key]) / int(run["sentences"])
