"""One layer of BERT-base, one core, many rows: PyTorch in float32 beside ours in int8 and in 4-bit weights and inputs.

    taskset -c 1 python benchmarks/bert_layer.py > layer.json    # a quiet machine; needs torch, transformers and g++

All take turns in one process. Two things are timed at each M (rows: tokens of all texts together):
products   the six matrix products of the layer, 768x768 four times, 768x3072 and 3072x768, with random inputs; ours
           round the inputs to int8 in each product, whatever the width of the weights
layer      the whole layer of a model that has one: attention over texts of 128 tokens, norms, GELU and the look-up of
           the embeddings too; "4/4" rounds inputs to static grids of 4 bits
`peak` is what a loop of fused multiply-adds in registers reaches here, in the middle of the other measurements; the
ratios mean something where PyTorch's products come to 60% of it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from random_encoder import configuration, weights
from safetensors.numpy import save_file

from subbyte import _core
from subbyte.compress.recipes.recipe import load_recipe, resolve
from subbyte.compress.rounding import quantize_model
from subbyte.folders.opening import open_model
from subbyte.measure.bench.measuring import cpu_name, quartiles
from subbyte.models.model import Dynamic, Model, Static
from subbyte.models.operands import block
from subbyte.numbers.grids import Grid, limit
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.resident import laid_out

WIDTH, FFN, HEADS, WORDS = 768, 3072, 12, 1024
LENGTH = 128  # tokens of a text
MULTIPLIED = (
    "embeddings.output",
    "layers.0.context",
    "layers.0.ffn_input",
    "layers.0.hidden",
)  # by the layer's matrices
STEPS, CHAINS = 2_000_000, 16

PEAK = f"""
typedef float lanes __attribute__((vector_size(VECTOR)));
extern "C" float turn(float x) {{
  lanes sums[{CHAINS}] = {{}}, factor = lanes{{}} + x;
  for (long i = 0; i < {STEPS}; ++i)
#pragma GCC unroll {CHAINS}
    for (int c = 0; c < {CHAINS}; ++c) sums[c] = sums[c] * factor + factor;
  float all = 0;
  for (auto& sum : sums) all += sum[0];
  return all;
}}
"""


def peak_loop() -> tuple[Callable[[], object], float]:
    """A turn of independent multiply-adds in registers, compiled here, and its floating-point operations."""
    vector = 64 if "avx512f" in Path("/proc/cpuinfo").read_text() else 32
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "peak.cpp", Path(folder) / "peak.so"
        source.write_text(PEAK)
        options = [
            "-O3",
            "-march=native",
            f"-DVECTOR={vector}",
            f"-mprefer-vector-width={8 * vector}",
            "-shared",
            "-fPIC",
        ]
        subprocess.run(["g++", *options, str(source), "-o", str(library)], check=True)
        loop = ctypes.CDLL(str(library)).turn
    loop.argtypes, loop.restype = [ctypes.c_float], ctypes.c_float
    return lambda: loop(0.5), 2.0 * STEPS * CHAINS * vector / 4


def one_layer(folder: Path) -> Model:
    """A BERT of one layer with random weights, float32."""
    config = configuration(WIDTH, FFN, 1, HEADS, WORDS)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(weights(config)), folder / "model.safetensors", metadata={"format": "pt"})
    return open_model(folder)


def packed(model: Model, recipe: str) -> Model:
    """Its matrices by a recipe; inputs rounded to int8 for each token."""
    return replace(quantize_model(model, resolve(load_recipe(recipe), model)), activations=Dynamic())


def static(low: Model, floats: Model, texts: list[list[int]], bits: int) -> Model:
    """With symmetric grids of so many bits on all that the layer's matrices multiply, turned as in w4a4.

    They are wide enough for these texts; the weights are random, and are not turned back.
    """
    seen = EncoderEngine(floats, threads=1).observe(texts, (), MULTIPLIED)
    scales = [float(np.abs(values).max()) / limit(bits) for values in seen]
    grids = {
        point: Grid(bits, (scale,), (0,), operand=True, rotation=block(values.shape[1]))
        for point, values, scale in zip(MULTIPLIED, seen, scales, strict=True)
    }
    return replace(low, activations=Static(grids))


def layer_matrices(model: Model) -> list[_core.Matrix]:
    """Those of the layer, laid out."""
    return [matrix for name, matrix in laid_out(model, 1).items() if name.startswith("encoder.layer.0.")]


def measured(turns: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each by turns: quartiles of the rounds, the first of which does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds + 1):
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - start)
    names = ("p25_seconds", "median_seconds", "p75_seconds")
    return {name: dict(zip(names, quartiles(found[1:]), strict=True)) for name, found in seconds.items()}


def records(rows: int, rounds: int, folder: Path, floats: Model, low: dict[str, Model]) -> Iterator[dict[str, object]]:
    """What is measured with so many rows: the products, then the whole layer."""
    import torch
    from transformers import BertModel

    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    texts = random.integers(0, WORDS, (rows // LENGTH, LENGTH)).tolist()
    dense = [floats.tensors[name] for name in floats.roles if name.startswith("encoder.layer.0.")]
    inputs = [random.normal(size=(rows, matrix.shape[1])).astype(np.float32) for matrix in dense]
    turn, operations = peak_loop()
    pairs = [
        (torch.from_numpy(x), torch.from_numpy(np.array(w)).T.contiguous().T)
        for x, w in zip(inputs, dense, strict=True)
    ]
    ours = {f"subbyte {name}": layer_matrices(model) for name, model in low.items()}
    products: dict[str, Callable[[], object]] = {
        "peak": turn,
        "torch float32": lambda: [torch.nn.functional.linear(x, w) for x, w in pairs],
    }
    for name, matrices in ours.items():
        products[name] = lambda matrices=matrices: [_core.linear(w, x) for x, w in zip(inputs, matrices, strict=True)]
    work = sum(2.0 * rows * w.shape[0] * w.shape[1] for w in dense)
    with torch.inference_mode():
        found = measured(products, rounds)
        peak = operations / found.pop("peak")["median_seconds"] / 1e9
        speeds = {name: work / seconds["median_seconds"] / 1e9 for name, seconds in found.items()}
        yield {
            "what": "products", "rows": rows, "peak_gflops": peak, "share_of_peak": speeds["torch float32"] / peak,
            "gflops": speeds, "times_torch": {name: one / speeds["torch float32"] for name, one in speeds.items()},
            "seconds": found,
        }  # fmt: skip
        model = BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32).eval()
        ids = torch.tensor(texts)
        engines = {f"subbyte {name}": EncoderEngine(one, threads=1) for name, one in low.items()}
        engines["subbyte 4/4"] = EncoderEngine(static(low["uniform4"], floats, texts, 4), threads=1)
        layers: dict[str, Callable[[], object]] = {"torch float32": lambda: model(input_ids=ids)}
        for name, engine in engines.items():
            layers[name] = lambda engine=engine: engine.pooled(texts)
        found = measured(layers, rounds)
    median = {name: seconds["median_seconds"] for name, seconds in found.items()}
    yield {
        "what": "layer", "rows": rows, "isa": engines["subbyte 4/4"].isa, "seconds": found,
        "times_torch": {name: median["torch float32"] / one for name, one in median.items()},
    }  # fmt: skip


def main() -> None:
    """Print a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[512, 1024], help=f"multiples of {LENGTH}")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
    with tempfile.TemporaryDirectory() as folder:
        floats = one_layer(Path(folder))
        low = {name: packed(floats, name) for name in ("int8", "uniform4")}
        found = [one for rows in options.rows for one in records(rows, options.rounds, Path(folder), floats, low)]
    print(json.dumps({"cpu": cpu_name(), "threads": 1, "records": found}, indent=1))


if __name__ == "__main__":
    main()
