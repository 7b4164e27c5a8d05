"""How long a packed folder takes to open: a random transformer-base, 60.6 M weights worth 3 bits, on 2 threads.

    python studies/coded/load.py [WORK]

WORK keeps the folders (default: a temporary one). Opened are the folder in format 1 and the packed one: read, checked
and decoded (`open_to_run`), then laid out for the kernels (`engine_of`); medians of 9. Where it may, the process takes
the cores for itself meanwhile (SCHED_FIFO), so that others do not count. A line goes to load.jsonl.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import quantized
from subbyte.folders.converted import saving
from subbyte.folders.opening import open_to_run
from subbyte.run.opening import engine_of

BASE = {
    "d_model": 512, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 8,
    "decoder_attention_heads": 8, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048, "vocab_size": 32000,
    "decoder_vocab_size": 32000, "pad_token_id": 31999, "decoder_start_token_id": 31999,
}  # fmt: skip
RECIPE = '[[tensors]]\nmatch = "*"\nfamily = "entropy_coded"\nbits = 8\nstep = 0.5\n'
TIMES = 9


def main(work: str) -> None:
    """Measure both folders."""
    folders = {name: Path(work) / name for name in ("plain", "packed")}
    if not folders["packed"].exists():
        model = quantized(tiny_marian_folder(Path(work) / "source", **BASE), RECIPE)
        for name, folder in folders.items():
            saving.save(model, folder, report={}, force=True, packed=name == "packed")
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        fifo = True
    except OSError:
        fifo = False
    record: dict[str, object] = {"fifo": fifo, "load_average": os.getloadavg()[0]}
    for name, folder in folders.items():
        opening, laying, processor = [], [], []
        for _ in range(TIMES):
            start, used = time.perf_counter(), time.process_time()
            model = open_to_run(folder)
            opened = time.perf_counter()
            engine = engine_of(model, threads=2)
            opening.append(1000 * (opened - start))
            laying.append(1000 * (time.perf_counter() - opened))
            processor.append(1000 * (time.process_time() - used))
            record["parameters"] = model.parameters
            del model, engine
        record[name] = {
            "bytes": (folder / "model.safetensors").stat().st_size,
            "opening_ms": round(median(opening), 1),
            "engine_ms": round(median(laying), 1),
            "processor_ms": round(median(processor), 1),
        }
    line = json.dumps(record)
    print(line)
    with Path(__file__).with_name("load.jsonl").open("a", encoding="utf-8") as records:
        records.write(line + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as home:
            main(home)
