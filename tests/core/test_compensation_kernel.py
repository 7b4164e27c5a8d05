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
    shift = np.random.default_rng(1).normal(size=problem[-2].shape).astype(np.float32) / 4
    for sweeps, moved in ((0, None), (1, None), (3, None), (0, shift), (3, shift)):
        wanted = _core.compensate(*problem, sweeps, shift=moved, isa="reference")
        np.testing.assert_array_equal(_core.compensate(*problem, sweeps, shift=moved, isa=isa), wanted)
        np.testing.assert_array_equal(_core.compensate(*problem, sweeps, shift=moved, isa=isa, threads=3), wanted)
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
        ({"shift": np.ones((4, 1, 4), np.float32)}, "shift: must be one for each border"),
        ({"shift": np.ones((1, 1, 3), np.float32)}, "shift: must be one for each border"),
    ],
)
def test_a_compensation_that_cannot_be_is_refused(change, message):
    names = ("w", "order", "spread", "gram", "borders", "values")
    problem = dict(zip(names, compensation(4, 16, 1, 4, False), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        _core.compensate(**problem, sweeps=1)


def test_borders_move_by_what_an_error_weighs():
    """Where outputs do not depend on each other, a shift counts in proportion to the room that a column leaves."""
    weight = np.array([1, 4], np.float32)
    gram, spread = np.diag(weight), np.diag(1 / np.sqrt(weight))
    w = np.array([[0.7, 0.7], [0.6, 0.6], [0.8, 0.8]], np.float32)
    problem = {
        "w": w, "order": np.arange(2, dtype=np.uint32), "spread": spread, "gram": gram,
        "borders": np.full((1, 1, 1), 0.5, np.float32), "values": np.array([[[0, 1]]], np.float32),
    }  # fmt: skip
    shift = np.full((1, 1, 1), 0.25, np.float32)  # to 0.75 in the first column, 0.5625 in the second
    for sweeps in (0, 2):
        found = _core.compensate(**problem, sweeps=sweeps, shift=shift)
        np.testing.assert_array_equal(found, [[0, 1], [0, 1], [1, 1]])
