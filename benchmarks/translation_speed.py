"""Translation speed and memory of subbyte and CTranslate2, side by side, on one core.

    python benchmarks/translation_speed.py MODEL SOURCE --work FOLDER

MODEL is a float32 MarianMT folder, SOURCE its source language, a sentence a line (.gz too). FOLDER keeps the converted
models and gets speed.json. The conversion for CTranslate2 needs torch and transformers; nothing that is timed does.

Every engine and precision lives in a worker process of its own, all of them on the same core. They take turns, one pass
over all sentences each, in every round; the first round is not counted. Token ids (pieces, for CTranslate2) go in and
come out: no tokenization. Once every sentence gets the same number of tokens from everyone, once as many as it wants.
(CTranslate2 starts a Marian decoder from a zero vector, whatever the model's <pad> is, so translations may differ.)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

FORCED_TOKENS = 16  # about what these sentences have
MAX_LENGTH = 128
YARDSTICK = "ctranslate2 int8"
PACKED = ("int8", "uniform4", "binary4")

Batch = Sequence[Sequence[int]]
Translate = Callable[[Batch, "Task"], list[int]]  # -> generated tokens of each sentence


@dataclass(frozen=True)
class Task:
    """A way of translating all sentences. `tokens` are generated for each; None: until the end of sentence."""

    batch_size: int
    beam_size: int
    tokens: int | None

    def __str__(self) -> str:
        length = f"{self.tokens} tokens" if self.tokens else "free"
        return f"batch {self.batch_size}, beam {self.beam_size}, {length}"


TASKS = [Task(batch, beam, tokens) for tokens in (FORCED_TOKENS, None) for batch in (1, 32) for beam in (1, 4)]


@dataclass(frozen=True)
class Subject:
    """An engine with a model folder at one precision."""

    engine: str
    precision: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


# ---------------------------------------------------------------------------------------------- in a worker process


def memory(key: str) -> int:
    """VmRSS (resident now) or VmHWM (the most so far) of this process, bytes."""
    return 1024 * int(Path("/proc/self/status").read_text("ascii").split(f"{key}:")[1].split()[0])


def open_subbyte(folder: Path) -> Callable[[], Translate]:
    """Imports the engine; what it returns opens the model."""
    from subbyte.engine import Engine
    from subbyte.folder import open_model

    def load() -> Translate:
        engine = Engine(open_model(folder), threads=1)

        def translate(batch: Batch, task: Task) -> list[int]:
            search = engine.generation(beam_size=task.beam_size, max_length=MAX_LENGTH, length_penalty=1.0)
            if task.tokens:  # lengths count the start token
                search = replace(search, min_length=task.tokens + 1, max_length=task.tokens + 1, forced_end=None)
            return [len(best.tokens) for (best,) in engine.translate(batch, search)]

        return translate

    return load


def open_ctranslate2(folder: Path) -> Callable[[], Translate]:
    """As `open_subbyte`."""
    sys.modules.update(torch=None, transformers=None)  # type: ignore[arg-type]  # its converters would import them
    import ctranslate2

    def load() -> Translate:
        pieces = json.loads((folder / "shared_vocabulary.json").read_text("utf-8"))
        # compute_type "default" is the precision of the folder; "auto" would run float32 in int8
        translator = ctranslate2.Translator(str(folder), compute_type="default", inter_threads=1, intra_threads=1)

        def translate(batch: Batch, task: Task) -> list[int]:
            found = translator.translate_batch(
                [[pieces[i] for i in ids] for ids in batch],
                beam_size=task.beam_size,
                length_penalty=1.0,
                min_decoding_length=task.tokens or 1,
                max_decoding_length=task.tokens or MAX_LENGTH - 1,
            )
            return [len(result.hypotheses[0]) for result in found]

        return translate

    return load


OPENERS = {"subbyte": open_subbyte, "ctranslate2": open_ctranslate2}


def work(engine: str, folder: Path, ids_file: Path, core: int) -> None:
    """The worker: a task a line in, what one pass over all sentences took out."""
    os.sched_setaffinity(0, {core})
    sentences = json.loads(ids_file.read_text("ascii"))
    load = OPENERS[engine](folder)
    imported = memory("VmRSS")
    start = time.perf_counter()
    translate = load()
    print(json.dumps({"load_seconds": time.perf_counter() - start, "rss_after_imports": imported}), flush=True)
    for line in sys.stdin:
        task = Task(**json.loads(line))
        start = time.perf_counter()
        tokens = [n for batch in batches(sentences, task.batch_size) for n in translate(batch, task)]
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "tokens": tokens, "peak_rss": memory("VmHWM")}), flush=True)


def batches(sentences: Batch, size: int) -> Iterator[Batch]:
    """Consecutive batches of this size."""
    return (sentences[i : i + size] for i in range(0, len(sentences), size))


class Worker:
    """A worker process, seen from the parent."""

    def __init__(self, subject: Subject, ids_file: Path, core: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        arguments = [subject.engine, str(subject.folder), str(ids_file), str(core)]
        self.process = subprocess.Popen(
            [sys.executable, __file__, "worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.opened = self._answer()

    def run(self, task: Task) -> dict[str, Any]:
        """One pass."""
        assert self.process.stdin
        print(json.dumps(asdict(task)), file=self.process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a worker died; what it said is above")
        return json.loads(line)


# ---------------------------------------------------------------------------------------------------- in the parent


def prepare(model: Path, folder: Path) -> list[Subject]:
    """All subjects; folders that are not there yet are made."""
    subjects = [Subject("subbyte", "float32", model)]
    for precision in PACKED:
        out = folder / f"subbyte-{precision}"
        if not out.exists():
            import subbyte

            print(f"making {out}", file=sys.stderr)
            subbyte.quantize(model, out, recipe=precision)
        subjects.append(Subject("subbyte", precision, out))
    for precision in ("float32", "int8"):
        out = folder / f"ctranslate2-{precision}"
        if not out.exists():
            print(f"making {out}", file=sys.stderr)
            arguments = ["--model", str(model), "--output_dir", str(out), "--quantization", precision]
            command = [sys.executable, "-m", "ctranslate2.converters.transformers", *arguments]
            subprocess.run(command, check=True, stdout=sys.stderr)
        subjects.append(Subject("ctranslate2", precision, out))
    return subjects


def measure(workers: dict[Subject, Worker], rounds: int) -> list[dict[str, Any]]:
    """A record for each subject and task, after `rounds` rounds in which the subjects take turns."""
    runs = []
    for task in TASKS:
        answers: dict[Subject, list[dict[str, Any]]] = {subject: [] for subject in workers}
        for number in range(rounds + 1):
            print(f"\r{task}: round {number} of {rounds} ", end="", file=sys.stderr, flush=True)
            for subject, worker in workers.items():
                answers[subject].append(worker.run(task))
        print(file=sys.stderr)
        for subject, found in answers.items():
            if task.tokens and set(found[0]["tokens"]) != {task.tokens}:
                sys.exit(f"{subject} generated {sorted(set(found[0]['tokens']))} tokens, not {task.tokens}")
            runs.append(record(subject, task, found[1:], workers[subject].opened))
    return runs


def record(subject: Subject, task: Task, found: list[dict[str, Any]], opened: dict[str, Any]) -> dict[str, Any]:
    """The keys of `subbyte bench`, and a few more. Times are of one pass over all sentences."""
    low, median, high = statistics.quantiles([one["seconds"] for one in found], n=4, method="inclusive")
    tokens, peak = sum(found[0]["tokens"]), found[-1]["peak_rss"]
    return {
        "engine": subject.engine,
        "version": version_of(subject.engine),
        "precision": subject.precision,
        "batch_size": task.batch_size,
        "beam_size": task.beam_size,
        "sequence_length": task.tokens,  # None: free
        "median_seconds": median,
        "p25_seconds": low,
        "p75_seconds": high,
        "tokens_per_second": tokens / median,
        "bytes_on_disk": bytes_of(subject.folder),
        "peak_rss_bytes": peak,
        "rss_growth_bytes": peak - opened["rss_after_imports"],  # model and working memory, without libraries
        "load_seconds": opened["load_seconds"],
        "sentences": len(found[0]["tokens"]),
        "tokens": tokens,
    }


def bytes_of(folder: Path) -> int:
    """Bytes of the files in a folder, without its card. (CTranslate2's has no sentencepiece models.)"""
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file() and file.name != "README.md")


def version_of(package: str) -> str:
    """The version of an installed package; a source tree has none."""
    try:
        return version(package)
    except ModuleNotFoundError:
        return "source"


def cpu_name() -> str:
    """The model name in /proc/cpuinfo."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n")
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def table(document: dict[str, Any]) -> str:
    """A markdown table: milliseconds a sentence (median, quartiles), and how much faster than CTranslate2 int8."""
    runs: dict[str, dict[str, dict[str, Any]]] = {}
    for run in document["runs"]:
        task = Task(run["batch_size"], run["beam_size"], run["sequence_length"])
        runs.setdefault(f"{run['engine']} {run['precision']}", {})[str(task)] = run
    rows = [["", *map(str, TASKS), "MB on disk", "MB grown after imports"]]
    rows.append(["---"] * len(rows[0]))
    for subject, found in runs.items():
        cells = []
        for task in map(str, TASKS):
            run, ms = found[task], 1000 / found[task]["sentences"]
            ratio = runs[YARDSTICK][task]["median_seconds"] / run["median_seconds"]
            quartiles = f"{run['p25_seconds'] * ms:.2f}-{run['p75_seconds'] * ms:.2f}"
            cells.append(f"{run['median_seconds'] * ms:.2f} ({quartiles}) **{ratio:.2f}x**")
        last = next(reversed(found.values()))
        rows.append([subject, *cells, f"{last['bytes_on_disk'] / 1e6:.1f}", f"{last['rss_growth_bytes'] / 1e6:.1f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Prepare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sentences", type=int, default=100)
    options = parser.parse_args()

    from subbyte.folder import open_model
    from subbyte.text_lines import read_lines
    from subbyte.tokenization import load_tokenizer

    options.work.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(options.model, open_model(options.model).config)
    ids_file = options.work / "ids.json"
    ids_file.write_text(
        json.dumps([tokenizer.encode(s) for s in islice(read_lines(options.source), options.sentences)])
    )
    core = max(os.sched_getaffinity(0))
    workers = {subject: Worker(subject, ids_file, core) for subject in prepare(options.model, options.work)}
    document = {"cpu": cpu_name(), "threads": 1, "runs": measure(workers, options.rounds)}
    for worker in workers.values():
        worker.close()
    (options.work / "speed.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    print(f"{document['cpu']}, one thread; milliseconds a sentence (quartiles), speed over {YARDSTICK}\n")
    print(table(document))


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
