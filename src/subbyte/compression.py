"""A float model folder in, a compressed one out: reading, choosing schemes, quantizing and saving put together."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from subbyte import store
from subbyte.errors import UsageError
from subbyte.folder import open_model
from subbyte.frequencies import word_frequencies
from subbyte.inspection import Inspection, inspect
from subbyte.model import Model, PackedMatrix
from subbyte.quantization import quantize_model, sqnr_db
from subbyte.recipe import load_recipe, resolve, resolved
from subbyte.text_lines import read_lines
from subbyte.tokenization import load_tokenizer


def quantize(
    model_folder: str | Path,
    out: str | Path,
    recipe: str | Path,
    *,
    force: bool = False,
    frequencies: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Compress a float32 model folder into the folder `out`, and return what `inspect(out)` says.

    recipe       the name of a preset, or a TOML file
    force        `out` may be a converted folder that is replaced
    frequencies  a text (.gz too) whose words are counted for recipes with row clusters: a line is a source sentence, a
                 tab and its translation, or one sentence of either language; default: the order of the vocabulary
    progress     called with the weights done so far and those in all

    >>> subbyte.quantize("opus-mt-en-de", "out", recipe="uniform4")["average_bits"]
    4.21
    """
    chosen = load_recipe(recipe)
    model = open_model(model_folder)
    if any(isinstance(tensor, PackedMatrix) for tensor in model.tensors.values()):
        name = model.recipe.get("name", "unknown")
        raise UsageError(
            f"{model_folder}: is compressed already (recipe {name}); give the float32 model it was made from"
        )
    store.refuse_output(model.folder, Path(out), force=force)
    tokenizer = load_tokenizer(model.folder, model.config)
    schemes = resolve(chosen, model)
    counts = word_frequencies(model, tokenizer, read_lines(frequencies)) if frequencies else None
    packed = quantize_model(model, schemes, counts, lambda _, done, total: progress(done, total) if progress else None)
    packed = replace(packed, activations=chosen.activations, recipe=resolved(chosen, schemes))
    report = {
        "recipe": chosen.name,
        "seed": None,  # nothing is random
        "frequencies": Path(frequencies).name if frequencies else None,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "tensors": _tensor_reports(model, packed),
    }
    store.save(packed, out, report=report, force=force)
    return inspect(out)


def _tensor_reports(model: Model, packed: Model) -> dict[str, Any]:
    """Bits and error of each quantized matrix; an error of None means that nothing was lost."""
    reports = {}
    for name, matrix in packed.tensors.items():
        if isinstance(matrix, PackedMatrix):
            w = model.tensors[name]
            assert isinstance(w, np.ndarray)
            error = sqnr_db(w, matrix)
            bits = [block.bits for block in matrix.blocks]
            reports[name] = {"bits": bits, "sqnr_db": round(error, 3) if math.isfinite(error) else None}
    return reports
