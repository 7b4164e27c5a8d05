"""report.json: what became of every tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from subbyte.models.model import Model
from subbyte.numbers.matrices import sqnr_db
from subbyte.numbers.packed import PackedMatrix


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
