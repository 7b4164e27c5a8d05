#!/usr/bin/env python3
"""Puts the summaries of several runs of run.py, a line each, together: python fuzz/record.py LOG... > fuzz/record.json

A line of a log is {"kind": ..., "first": ..., "summary": what run.py printed}.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
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
    parts = [
        json.loads(line) for path in sys.argv[1:] for line in Path(path).read_text().splitlines() if line[:1] == "{"
    ]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    print(json.dumps({
        "commit": commit.stdout.strip(),
        "command": "python fuzz/run.py --seed 2026 --kind KIND --cases N --first F, core with SUBBYTE_SANITIZE",
        "python": platform.python_version(),
        **record(parts),
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
