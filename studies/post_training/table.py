"""The table of the study: a function of its records, which run.py wrote. Computes nothing.

python studies/post_training/table.py --split val
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).parent / "records.jsonl"
SPLITS = {"val": ("val",), "test": ("test_2016_flickr", "test_2017_flickr")}


def table(records: Sequence[dict[str, Any]], split: str) -> str:
    """A markdown table, a row a recipe and way of rounding activations; last come all sets of the split together.

    The difference is to float32 on the same sentences; p is that of sacrebleu's paired bootstrap.
    """
    names = SPLITS[split]
    runs: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    pooled = {}
    for record in records:
        system = (record["recipe"], record["activations"])
        if record["kind"] == "run" and record["set"] in names:
            runs.setdefault(system, {})[record["set"]] = record
        elif record["kind"] == "comparison" and record["set"] == split:
            pooled[system] = record
    head = ["recipe", "activations", "bits a weight", "times smaller", "MB on disk", "MB of weights in memory"]
    head += [f"{metric} {name}" for name in names for metric in ("BLEU", "chrF")]
    head += ["BLEU of all sets", "difference", "p"]
    rows = [head, ["---"] * len(head)]
    for system, found in runs.items():
        any_run = next(iter(found.values()))
        cells = [f"{any_run['average_bits']:.2f}", f"{any_run['compression']:.2f}"]
        cells += [f"{any_run[key] / 1e6:.2f}" for key in ("bytes_on_disk", "resident_weight_bytes")]
        for name in names:
            cells += [f"{found[name][key]:.2f}" if name in found else "" for key in ("bleu", "chrf")]
        if system in pooled:
            bleu, baseline = pooled[system]["bleu"], pooled[system]["bleu_baseline"]
            cells += [f"{bleu:.2f}", f"{bleu - baseline:+.2f}", f"{pooled[system]['p_value']:.3f}"]
        else:
            baselines = {record["bleu_baseline"] for record in pooled.values()}
            cells += [f"{baseline:.2f}" for baseline in sorted(baselines)[:1]] if system[0] == "float32" else [""]
            cells += ["", ""]
        rows.append([*system, *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=SPLITS, required=True)
    options = parser.parse_args()
    print(table([json.loads(line) for line in RECORDS.read_text("utf-8").splitlines()], options.split))


if __name__ == "__main__":
    main()
