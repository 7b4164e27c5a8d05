"""Bits of the embedding by word frequency (Figure 3 of Chung et al. 2020) on a small model, without any training.

    python studies/chung2020/embedding.py MODEL DATA              # about 25 s a run on one core, 28 runs
    python studies/chung2020/embedding.py --table

MODEL is a float32 MarianMT folder with a tied embedding, DATA has SET.en.txt.gz and SET.de.txt.gz for val and train.
Only the embedding is quantized (in memory, activations float32, beam 4 as in the figure), the same at input and output:
all words with 1 or 2 bits, or four clusters of words with 4, 3, 2 and 1 bits, each `ratio` times as large as the one
before. Words are ordered by how often they occur in train, both languages added; by their place in the vocabulary; or,
as a control, at random.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from measuring import (
    SET,
    Record,
    Texts,
    append,
    baseline,
    best,
    finished,
    measure,
    quality,
    records,
    rows_to_markdown,
)

from subbyte.compress.calibration.words import word_frequencies
from subbyte.compress.rounding import quantize_model
from subbyte.folders.opening import open_model
from subbyte.numbers.granularity import PER_ROW, RowClusters
from subbyte.numbers.matrices import sqnr_db
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import BinaryCoding, Clustered
from subbyte.text.lines import read_lines
from subbyte.text.tokenizer import load_tokenizer

STUDY = "embedding"
BEAM = 4
CLUSTERS = 4
PAPER = {"1.00": 1.22, "1.14": 15.7, "1.32": 18.02, "1.73": 20.31, "2.00": 18.15}  # average bits -> BLEU
SEEDS = (0, 1, 2)


def runs() -> Iterator[Record]:
    """The settings of every run, the most telling first. `ratio` is None where all words have the same bits."""

    def one(solver: str, bits: int, ratio: int | None, order: str | None = None, seed: int | None = None) -> Record:
        return {"solver": solver, "bits": bits, "ratio": ratio, "order": order, "seed": seed}

    for bits in (2, 1):
        yield one("greedy", bits, None)
    for ratio in (2, 4, 8, 1):
        yield one("greedy", CLUSTERS, ratio, "frequency")
    for seed in SEEDS:
        for ratio in (2, 4, 8, 1):
            yield one("greedy", CLUSTERS, ratio, "random", seed)
            if seed == 0:
                yield one("greedy", CLUSTERS, ratio, "vocabulary")
    yield one("alternating", 2, None)
    for ratio in (2, 4, 8, 1):
        yield one("alternating", CLUSTERS, ratio, "frequency")


def run(folder: Path, texts: Texts, beam: int) -> None:
    """Do what is not recorded yet."""
    model = open_model(folder)
    tokenizer = load_tokenizer(model.folder, model.config)
    (name,) = [name for name, role in model.roles.items() if role.kind == "embedding"]
    sides = [read_lines(texts.path("train", side)) for side in (0, 1)]
    pairs = (f"{source}\t{target}" for source, target in zip(*sides, strict=True))
    counts = word_frequencies(model, tokenizer, pairs)[name]
    rows = len(counts)
    float32 = baseline(folder, texts, beam)
    for settings in runs():
        key = {"study": STUDY, "model": folder.name, "set": SET, "beam": beam, "activations": "float32", **settings}
        if finished(key) or finished({**key, "beam": BEAM}):
            continue
        scheme: BinaryCoding | Clustered = BinaryCoding(settings["bits"], PER_ROW, solver=settings["solver"])
        bits = np.full(rows, settings["bits"])
        order = None
        if settings["ratio"] is not None:
            clusters = RowClusters(CLUSTERS, settings["ratio"])
            scheme = Clustered(scheme, clusters)
            order = {
                "frequency": counts,
                "vocabulary": np.arange(rows, 0, -1),
                "random": np.random.default_rng(settings["seed"]).permutation(rows),
            }[settings["order"]]
            bits = settings["bits"] - clusters.assign(order).astype(int)
        changed = quantize_model(model, {name: scheme}, None if order is None else {name: order})
        packed = changed.tensors[name]
        assert isinstance(packed, PackedMatrix)
        found = measure(changed, texts, beam=beam, activations="float32")
        record = {
            "average_bits": round(float(bits.mean()), 4),
            "text_bits": round(float(bits @ counts / counts.sum()), 4),  # of a running word
            "sqnr_db": round(sqnr_db(np.asarray(model.tensors[name]), packed), 3),
            **quality(found, texts, float32),
        }
        append(key, record)
        print(f"{settings}: BLEU {record.get('bleu')}, NLL {record['nll']:.3f}", flush=True)


def table() -> str:
    """A row for all words alike or a ratio, by average bits; NLL in brackets; the random orders as mean and range."""
    start = best(records("float32"), BEAM) or records("float32")[0]
    found = records(STUDY)

    def cell(solver: str, ratio: int | None, bits: int, order: str | None) -> str:
        these = [r for r in found if (r["solver"], r["ratio"], r["bits"], r["order"]) == (solver, ratio, bits, order)]
        chosen = [
            best([r for r in these if r["seed"] == seed], BEAM) for seed in dict.fromkeys(r["seed"] for r in these)
        ]
        bleu, nll = ([r[metric] for r in chosen if r and metric in r] for metric in ("bleu", "nll"))
        return f"{_mean(bleu, 2)} ({_mean(nll, 3)})" if nll else ""

    head = ["average bits", "words", "bits of a running word", "by frequency", "by place in the vocabulary"]
    rows = [[*head, "random (3 draws)", "by frequency, alternating", "the paper"]]
    for ratio, bits in ((None, 1), (8, CLUSTERS), (4, CLUSTERS), (2, CLUSTERS), (None, 2), (1, CLUSTERS)):
        order = None if ratio is None else "frequency"
        these = [r for r in found if (r["ratio"], r["bits"], r["order"]) == (ratio, bits, order)]
        if these:
            average = f"{these[0]['average_bits']:.2f}"
            words = "all alike" if ratio is None else f"4 clusters, r = {ratio}"
            cells = [average, words, f"{these[0]['text_bits']:.2f}"]
            cells += [cell("greedy", ratio, bits, order)]
            cells += [cell("greedy", ratio, bits, kind) if order else "" for kind in ("vocabulary", "random")]
            paper = f"{PAPER[average]:.2f}" if average in PAPER else ""
            rows.append([*cells, cell("alternating", ratio, bits, order), paper])
    return (
        f"float32: BLEU {start['bleu']:.2f} (beam {start['beam']}), NLL {start['nll']:.3f}.\n\n{rows_to_markdown(rows)}"
    )


def _mean(values: list[float], digits: int) -> str:
    """The mean, with the range of several; ? for none."""
    if not values:
        return "?"
    spread = f" [{min(values):.{digits}f}, {max(values):.{digits}f}]" * (len(values) > 1)
    return f"{np.mean(values):.{digits}f}{spread}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, or show what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--nll", action="store_true", help="no translations: the likelihood of the references alone")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
    elif options.model and options.data:
        run(options.model, Texts(options.data), 0 if options.nll else BEAM)
    else:
        parser.error("give MODEL and DATA, or --table")


if __name__ == "__main__":
    main()
