"""Measuring: engines take turns in worker processes of their own on the same cores, and records are made of it."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np

from subbyte.errors import MeasurementError, UsageError
from subbyte.folders.opening import open_model, open_to_run, refuse_search
from subbyte.measure.bench.planning import PLANS, Asked, cores_of, models_of, refuse_engines
from subbyte.measure.bench.rivals import engines_of, module_of
from subbyte.measure.bench.subjects import Engine, Setup, Subject, Task, milliseconds
from subbyte.measure.bench.workers import Worker
from subbyte.progress import Progress, Steps, counting, phase
from subbyte.run.inspection import folder_bytes
from subbyte.text.tokenizer import Tokenizer

LEAST_AGREEMENT = 0.999  # mean cosine between the same model's vectors in float32
AS_STORED = "int8 as stored"  # the precision of a Bergamot folder that runs in its own codes
SETTLE = 0.3  # seconds; idle OpenMP threads spin for up to 0.2, on cores that the next engine needs


class Run(TypedDict):
    """An engine at one precision doing one task. Times are of one pass over all sentences.

    sequence_length   tokens forced for each sentence; None: as many as the model wanted; of encoders, tokens read
    peak_rss_bytes    the most memory of its process up to the end of this task (tasks come in this order)
    rss_growth_bytes  of these, what came after the imports: the model and what it works with, without libraries
    form              what went in and came out: tokens, or text; of encoders, vectors
    tokens            of all translations, without ends of sentence; of encoders, of all texts
    agreement         of encoders: the mean cosine of what came out with what the first engine in float32 has
    versions          of the packages that did the work
    details           what the engine chose: instruction set, type of computing
    note              what a reader must know: that it was slower than somebody states; else None
    """

    engine: str
    version: str
    precision: str
    batch_size: int
    beam_size: int
    sequence_length: int | None
    median_seconds: float
    p25_seconds: float
    p75_seconds: float
    tokens_per_second: float
    bytes_on_disk: int
    peak_rss_bytes: int
    rss_growth_bytes: int
    load_seconds: float
    form: str
    rounds: int
    sentences: int
    tokens: int
    agreement: float | None
    versions: dict[str, str]
    details: dict[str, str]
    note: str | None


class Benchmark(TypedDict):
    """Everything that was measured, and on what."""

    cpu: str
    threads: int
    runs: list[Run]


def benchmark(
    folder: str | Path,
    against: Sequence[str] = (),
    *,
    source_model: str | Path | None = None,
    recipes: Sequence[str] = (),
    text: str | Path | None = None,
    sentences: int = 64,
    rounds: int = 5,
    batch_sizes: Sequence[int] = (1, 32),
    beam_sizes: Sequence[int] = (1, 4),
    sequence_lengths: Sequence[int] = (16, 64, 128),
    tokens: int = 16,
    threads: int = 1,
    isa: str = "best",
    activations: Literal["int8", "float32"] | None = None,
    work: str | Path | None = None,
    timeout: float = 600,
    progress: Progress | None = None,
) -> Benchmark:
    """Time a model folder in subbyte beside other engines.

    against       names of rivals (`rivals.RIVALS`); they get the same model, converted from its float32 folder
    source_model  that folder, where `folder` is a compressed one
    recipes       what to compress it with, to be measured too
    text          source sentences, a line each (.gz too); default: those of the demo, over and over
    sequence_lengths  tokens of the texts that an encoder reads; nothing to translation models
    tokens        forced for each sentence in half of the tasks; 0: only free running; this and beam sizes are nothing
                  to encoders
    work          where converted models are kept; default: a temporary folder
    timeout       seconds for opening a model, and for a pass over all sentences
    progress      called with the phase, what is done so far and what there is in all
    """
    engines = engines_of(against)
    cores = cores_of(threads)
    model = open_model(folder)
    refuse_search(model)
    models = models_of(model, source_model, recipes, against)
    if not model.compressed and open_to_run(folder, activations).compressed:
        models = replace(models, name=AS_STORED)
    refuse_engines(engines, models)
    asked = Asked(batch_sizes, beam_sizes, sequence_lengths, tokens, text, sentences)
    tasks, found = PLANS[model.task](model, engines, asked)
    models = replace(models, samples=found.ids, lines=found.texts)
    with _work_folder(work, models.source) as made, ExitStack() as stack:
        subjects = [subject for engine in engines.values() for subject in engine.prepare(models, made)]
        if twice := {str(subject) for subject in subjects if [*map(str, subjects)].count(str(subject)) > 1}:
            raise UsageError(f"{', '.join(sorted(twice))} would be measured twice; name each recipe once")
        workers: dict[Subject, Worker] = {}
        for subject in subjects:
            setup = Setup(
                module=module_of(subject.engine),
                folder=str(subject.folder),
                cores=cores,
                isa=isa,
                activations=activations,
                sentences=engines[subject.engine].sentences(subject.folder, found.ids),
                texts=found.texts if any(task.form == "text" for task in tasks) else (),
                encoder=models.kind == "encoder",
            )
            workers[subject] = stack.enter_context(Worker(str(subject), setup, timeout))
            if progress:
                progress("opening", len(workers), len(subjects))
        runs = []
        settle, steps = SETTLE if threads > 1 else 0, phase(progress, "measuring")
        for task, answers in _passes(engines, workers, tasks, rounds, settle, steps):
            reference = next((given[0]["found"] for one, given in answers.items() if one.precision == "float32"), None)
            for subject, given in answers.items():
                counts = _token_counts(subject, task, given, found.tokenizer)
                run = _record(subject, task, given, counts, workers[subject].opened, engines[subject.engine].versions)
                if task.form == "vectors" and reference:
                    run["agreement"] = agreement = mean_cosine(given[0]["found"], reference)
                    _check_agreement(subject, task, agreement)
                published = engines[subject.engine].published
                missed = [one.statement for one in published if one.missed(run, threads, models.parameters)]
                if missed:
                    run["note"] = (
                        f"{milliseconds(run):.1f} ms a sentence, {run['tokens_per_second']:.0f} tokens per second: "
                        f"slower than {' and than '.join(missed)}"
                    )
                runs.append(run)
    return {"cpu": cpu_name(), "threads": threads, "runs": runs}


@contextmanager
def _work_folder(work: str | Path | None, source: Path | None) -> Iterator[Path]:
    """A folder for what is made of the source: in `work`, named after the source's bytes; or one that goes away."""
    if work is None:
        with tempfile.TemporaryDirectory(prefix="subbyte-bench-") as folder:
            yield Path(folder)
        return
    digest = sha256()
    for path in sorted(source.iterdir()) if source else ():
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + sha256(path.read_bytes()).digest())
    folder_of_source = Path(work) / digest.hexdigest()[:12]
    folder_of_source.mkdir(parents=True, exist_ok=True)
    yield folder_of_source


Answers = Sequence[Mapping[str, Any]]  # what a worker said of each of its passes


def _passes(
    engines: Mapping[str, Engine],
    workers: Mapping[Subject, Worker],
    tasks: Sequence[Task],
    rounds: int,
    settle: float,
    progress: Steps | None,
) -> Iterator[tuple[Task, Mapping[Subject, Answers]]]:
    """Of each task every subject's passes that can do it, the first (cold) one not among them."""
    turns = [(task, [s for s in workers if engines[s.engine].can(task)]) for task in tasks]
    measured = counting(progress, sum((rounds + 1) * len(able) for _, able in turns))
    for task, able in turns:
        answers: dict[Subject, list[Mapping[str, Any]]] = {subject: [] for subject in able}
        for _ in range(rounds + 1):
            for subject in able:
                time.sleep(settle)
                answers[subject].append(workers[subject].run(task))
                measured()
        yield task, {subject: found[1:] for subject, found in answers.items()}


def _token_counts(subject: Subject, task: Task, answers: Answers, tokenizer: Tokenizer | None) -> list[int]:
    """Tokens of each translation, without ends of sentence, or of each text that was encoded.

    Text is counted by our tokenizer, whoever made it.
    """
    if task.form == "vectors":
        return [task.max_length] * len(answers[0]["found"])
    if task.form == "text":
        assert tokenizer
        return [len(tokenizer.encode_target(text)) - 1 for text in answers[0]["found"]]
    counts: list[int] = answers[0]["found"]
    if task.tokens and {*counts} != {task.tokens}:
        raise MeasurementError(
            f"{subject}: generated {min(counts)} to {max(counts)} tokens a sentence where {task.tokens} were to be "
            "forced, so that its times cannot be compared; measure free running only, with --tokens 0"
        )
    return counts


def _record(
    subject: Subject,
    task: Task,
    answers: Answers,
    counts: Sequence[int],
    opened: Mapping[str, Any],
    versions: dict[str, str],
) -> Run:
    low, median, high = quartiles([answer["seconds"] for answer in answers])
    peak = answers[-1]["peak_rss"]
    return {
        "engine": subject.engine,
        "version": next(iter(versions.values())),
        "precision": subject.precision,
        "batch_size": task.batch_size,
        "beam_size": task.beam_size,
        "sequence_length": task.tokens,
        "median_seconds": median,
        "p25_seconds": low,
        "p75_seconds": high,
        "tokens_per_second": sum(counts) / median,
        "bytes_on_disk": folder_bytes(subject.folder),
        "peak_rss_bytes": peak,
        "rss_growth_bytes": peak - opened["rss_after_imports"],
        "load_seconds": opened["load_seconds"],
        "form": task.form,
        "rounds": len(answers),
        "sentences": len(counts),
        "tokens": sum(counts),
        "agreement": None,
        "versions": versions,
        "details": opened["details"],
        "note": None,
    }


def _check_agreement(subject: Subject, task: Task, agreement: float) -> None:
    """Raise MeasurementError if an engine in float32 does not give what another one does: one of them is broken."""
    if subject.precision == "float32" and agreement < LEAST_AGREEMENT:
        raise MeasurementError(
            f"{subject}: what it makes of {task.tokens} tokens has a cosine of {agreement:.4f} with what the first "
            "engine in float32 makes of them, so that their times cannot be compared"
        )


def mean_cosine(vectors: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> float:
    """The mean of the cosines between vectors and others, one to one."""
    a, b = np.array(vectors), np.array(others)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(np.sum(a * b, axis=1) / np.maximum(lengths, 1e-30)))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The first, the median and the third."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return low, median, high


def cpu_name() -> str:
    """The model name in /proc/cpuinfo."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n")
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
