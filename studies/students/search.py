"""How the bits of `student4` were chosen: what each matrix costs, and the cheapest choice that fits into a budget.

    python studies/students/search.py DATA --measure        # half an hour; writes sensitivities.json
    python studies/students/search.py DATA --budget 8.8e6   # prints the rules of a recipe, and what it should cost

A matrix alone is rounded to PROBE bits, with the calibration text of run.py, and the log-probability that the float
model's own translations of newstest 2016 lose is measured, per token. At other widths the loss is taken to grow as the
squared error of the matrix's outputs does. An embedding is measured by ranges of its words. The losses of both students
are added. The choice is a multiple-choice knapsack, solved exactly by dynamic programming over units of UNIT bytes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from run import DIRECTIONS, calibration, student

from subbyte.calibration import grams
from subbyte.engine import Engine
from subbyte.folder import open_model
from subbyte.granularity import RowClusters
from subbyte.model import Model
from subbyte.models import marian
from subbyte.quantization import dequantize, quantize_matrix
from subbyte.schemes import Uniform
from subbyte.text_lines import read_lines
from subbyte.tokenization import load_tokenizer
from subbyte.translator import Translator

SENSITIVITIES = Path(__file__).parent / "sensitivities.json"
SENTENCES = 160  # of newstest 2016
BATCH = 32
PROBE = 3
WIDTHS = (3, 4, 5, 6)
RANGES = (0, 500, 1000, 2000, 4000, 8000, 16000, 32000)  # of the embedding's rows
LEAST = 2e-5  # nats a token; what is measured below that is noise
UNIT = 256
ROW_BYTES = 3  # a scale and a zero


class Cost(NamedTuple):
    """One matrix, or some rows of one: what rounding it to PROBE bits loses, and how errors at other widths compare."""

    rows: int
    cols: int
    nats: float
    errors: Mapping[int, float]

    def bytes(self, bits: int) -> int:
        return self.rows * (self.cols * bits // 8 + ROW_BYTES)

    def loss(self, bits: int) -> float:
        """In nats a token."""
        most = max(self.errors)
        error = self.errors[bits] if bits in self.errors else self.errors[most] / 4 ** (bits - most)
        return max(self.nats, LEAST) * error / self.errors[PROBE]


def measure(data: Path, direction: str) -> Iterator[tuple[str, Cost]]:
    """The cost of every matrix of a student, by name, and of its embedding by the range of rows."""
    folder = student(direction)
    model = open_model(folder)
    tokenizer = load_tokenizer(folder, model.config)
    sums = grams(model, tokenizer, read_lines(calibration(data, direction)))
    lines = list(islice(read_lines(data / "newstest_en_de" / "newstest2016.en.txt.gz"), SENTENCES))
    if direction == "pt-en":
        lines = Translator.from_pretrained(student("en-pt")).translate(lines, beam_size=1)
    exact = Engine(model)
    search = exact.generation(beam_size=1)
    sources = [tokenizer.encode(line) for line in lines]
    batches = [sources[i : i + BATCH] for i in range(0, len(sources), BATCH)]
    targets = [[[*best.tokens, search.end] for (best,) in exact.translate(batch, search)] for batch in batches]

    def nats(changed: Model) -> float:
        engine = Engine(changed, activations="int8")
        pairs = zip(batches, targets, strict=True)
        return -float(np.mean([log for pair in pairs for logs in engine.score(*pair) for log in logs]))

    start = nats(model)
    for name in model.roles:
        w = np.asarray(model.tensors[name])
        rounded = {b: dequantize(quantize_matrix(w, Uniform(b, mode="affine"), gram=sums[name])) for b in WIDTHS}
        for rows in [slice(*ends) for ends in pairwise(RANGES)] if name == marian.SHARED else [slice(len(w))]:
            changed = w.copy()
            changed[rows] = rounded[PROBE][rows]
            lost = nats(replace(model, tensors={**model.tensors, name: changed})) - start
            wrong = {b: (w[rows] - r[rows]).astype(np.float64) for b, r in rounded.items()}
            errors = {b: float(np.sum((d @ sums[name]) * d)) for b, d in wrong.items()}
            label = f"{name}[{rows.start}:{rows.stop}]" if name == marian.SHARED else name
            yield label, Cost(*changed[rows].shape, lost, errors)


class Option(NamedTuple):
    """A way of storing a matrix: bits, or the clusters of an embedding and the bits of the first of them."""

    bytes: int
    loss: float
    bits: int
    clusters: tuple[int, float] | None = None


def options(costs: Mapping[str, Sequence[Cost]]) -> dict[str, list[Option]]:
    """Of every matrix, with the losses of all students added."""
    found = {}
    ranges = {name: cost for name, cost in costs.items() if name.startswith(marian.SHARED)}
    for name, of_students in costs.items():
        if name not in ranges:
            widths = (2, *WIDTHS, 8)
            found[name] = [Option(of_students[0].bytes(b), sum(c.loss(b) for c in of_students), b) for b in widths]
    words, embeddings = RANGES[-1], []
    for count, ratio, bits in product(range(1, 6), (1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 3, 4), range(4, 8)):
        if bits - count < 2:
            continue
        ends = np.cumsum([0, *RowClusters(count, ratio).sizes(words)])
        size, loss = 0, 0.0
        for cluster, (first, last) in enumerate(pairwise(ends)):
            for cost, (start, stop) in zip(ranges.values(), pairwise(RANGES), strict=True):
                share = max(0, min(last, stop) - max(first, start)) / (stop - start)
                size += round(share * cost[0].bytes(bits - cluster))
                loss += share * sum(c.loss(bits - cluster) for c in cost)
        embeddings.append(Option(size + words // 4, loss, bits, (count, ratio)))
    return {marian.SHARED: embeddings, **found}


def choose(found: Mapping[str, Sequence[Option]], budget: int) -> dict[str, Option]:
    """One option of each matrix, with the least loss of all that fit into `budget` bytes."""
    room = budget // UNIT
    least = np.zeros(room + 1)
    picks = []
    for several in found.values():
        losses = np.full((len(several), room + 1), np.inf)
        for i, option in enumerate(several):
            size = math.ceil(option.bytes / UNIT)
            if size <= room:
                losses[i, size:] = least[: room + 1 - size] + option.loss
        picks.append(losses.argmin(axis=0))
        least = losses.min(axis=0)
    chosen = {}
    for (name, several), pick in reversed([*zip(found.items(), picks, strict=True)]):
        chosen[name] = several[pick[room]]
        room -= math.ceil(chosen[name].bytes / UNIT)
    return chosen


def rules(chosen: Mapping[str, Option]) -> Iterator[str]:
    """The choice as TOML: the embedding, then a rule for the matrices of each width."""
    for name, option in chosen.items():
        if option.clusters:
            count, ratio = option.clusters
            clusters = f"\nclusters = {{ count = {count}, ratio = {ratio} }}" if count > 1 else ""
            yield f'match = "{name}"\nbits = {option.bits}{clusters}'
    for bits in sorted({option.bits for option in chosen.values()}):
        names = sorted(name for name, option in chosen.items() if option.bits == bits and not option.clusters)
        if names:
            yield "match = [\n" + "".join(f'  "{name}",\n' for name in names) + f"]\nbits = {bits}"


def main() -> None:
    """Measure, or choose from what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--budget", type=float, help="bytes of all matrices, float vectors not counted")
    arguments = parser.parse_args()
    if arguments.measure:
        measured: dict[str, dict[str, Any]] = {}
        for direction in DIRECTIONS:
            for name, cost in measure(arguments.data, direction):
                measured.setdefault(direction, {})[name] = cost._asdict()
                print(direction, name, f"{cost.nats:.5f}", flush=True)
        SENSITIVITIES.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    if arguments.budget:
        measured = json.loads(SENSITIVITIES.read_text("utf-8"))
        students = [
            {
                n: Cost(c["rows"], c["cols"], c["nats"], {int(b): e for b, e in c["errors"].items()})
                for n, c in s.items()
            }
            for s in measured.values()
        ]
        chosen = choose(options({name: [s[name] for s in students] for name in students[0]}), int(arguments.budget))
        for rule in rules(chosen):
            print(f'[[tensors]]\n{rule}\nfamily = "uniform"\nmode = "affine"\ngranularity = "row"\n')
        total = sum(option.bytes for option in chosen.values())
        print(f"# {total:,} bytes, {sum(option.loss for option in chosen.values()) / len(students):.4f} nats a student")


if __name__ == "__main__":
    main()
