"""report.json: what became of every tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from subbyte.models.model import Model
from subbyte.numbers.matrices import sqnr_db
from subbyte.numbers.packed import PackedMatrix


def tensor_reports(model: Model, packed: Model, rules: Mapping[str, str]) -> dict[str, Any]:
    """Bits and error of each quantized matrix, and what chose its scheme; no error (None): nothing was lost."""
    reports = {}
    for name, matrix in packed.tensors.items():
        if isinstance(matrix, PackedMatrix):
            w = model.tensors[name]
            assert isinstance(w, np.ndarray)
            error = sqnr_db(w, matrix)
            bits = [block.bits for block in matrix.blocks]
            lost = round(error, 3) if math.isfinite(error) else None
            reports[name] = {"bits": bits, "sqnr_db": lost, "rule": rules.get(name)}
    return reports
