"""Packed vocabularies: the same ids of 50,000 lines, the bytes of every file, and what unpacking costs at the start.

    python studies/coded/tokenization.py NAME MODEL DATA [--rounds 20]

MODEL is a float32 folder, DATA has sets with *.txt.gz and *.tsv.gz, of which lines are drawn. The model is rounded to
4 bits and saved plain and packed; the weights have no say in anything here. A record of NAME is appended to
tokenization.jsonl, in the place of an older one.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import subbyte
from subbyte.folders.compressed_file import plain_name, read_plain
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer
from subbyte.text.lines import read_lines
from subbyte.text.tokenizer import load_tokenizer

RECORDS = Path(__file__).with_suffix(".jsonl")
WORK = Path(__file__).parents[1] / "checkpoints" / "coded" / "tokenization"
LINES = 50_000
START = "from subbyte.cli.app import main; main()"


def lines_of(data: Path) -> list[str]:
    """50,000 different lines: a shuffled mix of all sets, some of them rows of a table with its tabs."""
    files = sorted([*data.glob("*/*.txt.gz"), *data.glob("*/*.tsv.gz")])
    found = list(dict.fromkeys(line for file in files for line in read_lines(file)))
    random.Random(0).shuffle(found)
    assert len(found) >= LINES, f"{data}: has {len(found):,} lines"
    return found[:LINES]


def ids_of(folder: Path, lines: Sequence[str]) -> tuple[Model, list[Any]]:
    """All that a tokenizer says of the lines: ids of both sides and the texts they stand for, or ids and types."""
    model = open_model(folder)
    if model.task == "encode":
        tokenizer = load_encoder_tokenizer(folder, model.config, sentence=model.sentence)
        pairs = list(zip(lines[::2], lines[1::2], strict=True))
        return model, [tokenizer.encode([(line,) for line in lines]), tokenizer.encode(pairs)]
    translating = load_tokenizer(folder, model.config)
    source, target = [translating.encode(line) for line in lines], [translating.encode_target(line) for line in lines]
    return model, [source, target, [translating.decode(ids) for ids in target]]


def sizes_of(folder: Path) -> dict[str, int]:
    """Bytes of every file."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def with_vocabularies(folder: Path, out: Path, pack: Callable[[bytes], bytes] | None) -> Path:
    """A packed folder with its vocabularies packed otherwise, or not at all."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder, out)
    for path in [path for path in out.iterdir() if plain_name(path.name) != path.name]:
        content = read_plain(out, plain_name(path.name), subbyte.ModelError, 1 << 26)
        path.unlink()
        (out / f"{plain_name(path.name)}{'.gz' if pack else ''}").write_bytes(pack(content) if pack else content)
    return out


def starts(folders: dict[str, Path], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of processor time of the command for one short line, one thread: the least of all rounds, the median."""
    command = open_model(next(iter(folders.values()))).task
    seconds: dict[str, list[float]] = {name: [] for name in folders}
    for _ in range(rounds):
        for name, folder in folders.items():
            words = [sys.executable, "-c", START, command, str(folder), "--threads", "1"]
            start = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(words, input=b"Yes.\n", check=True, capture_output=True)
            end = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds[name].append(end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime)
    return {name: {"least": round(min(found), 4), "median": round(statistics.median(found), 4)}
            for name, found in seconds.items()}  # fmt: skip


def unpacking(folder: Path) -> float:
    """Seconds to read the vocabularies of a folder, unpacked: the quickest of twenty times."""
    names = {plain_name(name) for name in sizes_of(folder) if name.endswith((".spm", ".xz", ".gz"))}
    names |= {name for name in ("vocab.json", "tokenizer.json") if (folder / name).exists()}
    found = []
    for _ in range(20):
        start = time.perf_counter()
        for name in names:
            read_plain(folder, name, subbyte.ModelError, 1 << 26)
        found.append(time.perf_counter() - start)
    return round(min(found), 5)


def main() -> None:
    """Convert, compare, time, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    plain, packed = WORK / given.name / "plain", WORK / given.name / "packed"
    subbyte.quantize(given.model, plain, "uniform4", check=False, force=True)
    subbyte.pack(plain, packed, force=True)
    lines = lines_of(given.data)
    model, wanted = ids_of(plain, lines)
    assert ids_of(packed, lines)[1] == wanted, f"{given.name}: the packed folder makes other ids"
    assert ids_of(given.model, lines)[1] == wanted, f"{given.name}: the source makes other ids"
    forms = {
        "plain": with_vocabularies(packed, WORK / given.name / "unpacked", None),
        "gzip": with_vocabularies(packed, WORK / given.name / "gzip", lambda data: gzip.compress(data, 9, mtime=0)),
        "xz": packed,
    }
    tokens = sum(len(ids) for ids in (wanted[0][0] if model.task == "encode" else wanted[0]))
    record = {
        "name": given.name, "lines": len(lines), "tokens": tokens, "equal": True,
        "bytes": {"plain": sizes_of(plain), "packed": sizes_of(packed)},
        "folder": {"plain": sum(sizes_of(plain).values()), "packed": sum(sizes_of(packed).values())},
        "vocabulary_seconds": {name: unpacking(folder) for name, folder in forms.items()},
        "start_seconds": starts(forms, given.rounds), "rounds": given.rounds,
    }  # fmt: skip
    older = RECORDS.read_text("utf-8").splitlines() if RECORDS.exists() else []
    kept = [line for line in older if json.loads(line)["name"] != given.name]
    RECORDS.write_text("".join(f"{line}\n" for line in [*kept, json.dumps(record)]), "utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
