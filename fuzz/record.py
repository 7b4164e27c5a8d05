#!/usr/bin/env python3
"""Puts the summaries of several runs of run.py, a line each, together, as a line of records.jsonl.

    python fuzz/record.py --commit COMMIT --seed SEED LOG... >> fuzz/records.jsonl

A line of a log is {"kind": ..., "first": ..., "summary": what run.py printed}; COMMIT is what was fuzzed.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import Counter
from pathlib import Path
from typing import Any


def record(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What all of them say together."""
    kinds: dict[str, dict[str, Any]] = {}
    for line in lines:
        kind = kinds.setdefault(line["kind"], {"cases": 0, "outcomes": Counter()})
        kind["cases"] += line["summary"]["cases"]
        kind["outcomes"].update(line["summary"]["outcomes"])
    summaries = [line["summary"] for line in lines]
    return {
        "cases": sum(kind["cases"] for kind in kinds.values()),
        "kinds": {name: {**kind, "outcomes": dict(kind["outcomes"])} for name, kind in kinds.items()},
        "slowest": max((s["slowest"] for s in summaries), key=lambda slowest: slowest["seconds"]),
        "largest_allocation": max((s["largest_allocation"] for s in summaries), key=lambda a: a["bytes_beyond_files"]),
        "failures": [failure for s in summaries for failure in s["failures"]],
        "seconds": round(sum(s["seconds"] for s in summaries)),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", type=Path)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--seed", required=True)
    options = parser.parse_args()
    parts = [json.loads(line) for log in options.logs for line in log.read_text().splitlines() if line[:1] == "{"]
    command = f"python fuzz/run.py --seed {options.seed} --kind KIND --cases N --first F, core with SUBBYTE_SANITIZE"
    about = {"commit": options.commit, "command": command, "python": platform.python_version()}
    print(json.dumps({**about, **record(parts)}))


if __name__ == "__main__":
    main()
