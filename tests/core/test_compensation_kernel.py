"""The kernel that rounds a matrix by its outputs."""

import numpy as np
import pytest

from subbyte import _core


def compensation(rows, cols, groups, levels, per_tensor, seed=0):
    """Weights and a problem of rounding them: order, spread, gram, borders, values."""
    rng = np.random.default_rng([seed, rows, cols, groups, levels])
    w = rng.standard_normal((rows, cols), dtype=np.float32)
    x = rng.standard_normal((3 * cols, cols)) @ rng.uniform(-1, 1, (cols, cols))
    gram = x.T @ x / len(x) + np.eye(cols)
    spread = np.linalg.cholesky(np.linalg.inv(gram)).T.astype(np.float32)
    values = np.sort(rng.uniform(-2, 2, (1 if per_tensor else rows, groups, levels)).astype(np.float32))
    values[..., 1] = values[..., 0]  # two levels that are one
    borders = (values[..., 1:] + values[..., :-1]) / 2
    borders[..., 0] = -np.inf
    order = rng.permutation(cols).astype(np.uint32)
    return w, order, np.ascontiguousarray(spread), gram.astype(np.float32), borders, values


@pytest.mark.parametrize("per_tensor", [False, True])
@pytest.mark.parametrize(
    ("rows", "cols", "groups", "levels"),
    [(1, 16, 1, 2), (16, 48, 3, 4), (37, 64, 1, 16), (50, 150, 1, 64), (33, 208, 13, 8), (5, 70, 1, 256)],
)
def test_compensation(isa, rows, cols, groups, levels, per_tensor):
    problem = compensation(rows, cols, groups, levels, per_tensor)
    for sweeps in (0, 1, 3):
        wanted = _core.compensate(*problem, sweeps, isa="reference")
        np.testing.assert_array_equal(_core.compensate(*problem, sweeps, isa=isa), wanted)
        np.testing.assert_array_equal(_core.compensate(*problem, sweeps, isa=isa, threads=3), wanted)
    assert wanted.dtype == np.uint8 and wanted.max() < levels and (levels < 3 or len(np.unique(wanted)) > 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": np.zeros(16, np.uint32)}, "order: must have every column once"),
        ({"order": np.arange(1, 17, dtype=np.uint32)}, "order: must have every column once"),
        ({"order": np.arange(15, dtype=np.uint32)}, "order: must be"),
        ({"spread": np.ones((16, 15), np.float32)}, "spread and gram: must be"),
        ({"gram": np.ones((15, 16), np.float32)}, "spread and gram: must be"),
        ({"values": np.ones((3, 1, 4), np.float32)}, "values: must be"),
        ({"values": np.ones((4, 3, 4), np.float32)}, "values: must be"),
        ({"values": np.ones((4, 1, 257), np.float32), "borders": np.ones((4, 1, 256), np.float32)}, "values: must be"),
        ({"borders": np.ones((4, 1, 4), np.float32)}, "borders: must be"),
        ({"borders": np.ones((1, 1, 3), np.float32)}, "borders: must be"),
        ({"w": np.ones((0, 16), np.float32)}, "order: must be"),
    ],
)
def test_a_compensation_that_cannot_be_is_refused(change, message):
    names = ("w", "order", "spread", "gram", "borders", "values")
    problem = dict(zip(names, compensation(4, 16, 1, 4, False), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        _core.compensate(**problem, sweeps=1)
