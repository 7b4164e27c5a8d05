"""Grids of activations: the arithmetic of rounding, and activations.json as a stranger would write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from subbyte.errors import FormatError, SchemeError
from subbyte.folders.converted import grids_file
from subbyte.folders.converted.grids_file import from_plain, to_plain
from subbyte.models.encoder import Point
from subbyte.numbers.grids import BITS, Grid, fake_quantize, from_range, limit, quantize

POINTS = {
    name: Point(0, name, width)
    for name, width in {"embeddings.output": 6, "layers.0.ffn_input": 6, "layers.0.scores": 1}.items()
}
ENDS = st.floats(-1e6, 1e6, width=32)


def one(value: float) -> np.ndarray:
    return np.array([value], np.float32)


@pytest.mark.parametrize(("bits", "top"), [(2, 1), (4, 7), (8, 127), (16, 32512)])
def test_codes_are_around_zero(bits: int, top: int) -> None:
    assert limit(bits) == top


def test_the_formula_by_hand() -> None:
    grid = Grid(4, (0.5, 2.0), (0, 3))
    x = np.array([[0.25, 0.75, -9.0, 9.0, 1.0, 3.0, -100.0, 8.0]], np.float32)
    assert quantize(x, grid).tolist() == [[0, 2, -7, 7, 3, 5, -7, 7]]  # halves go to the even code, then zero is added
    assert fake_quantize(x, grid).tolist() == [[0, 1, -3.5, 3.5, 0, 4, -20, 8]]
    assert quantize(x, grid).dtype == np.int8 and quantize(x, Grid(16, (1.0,), (0,))).dtype == np.int16


def test_ranges_by_hand() -> None:
    grid = from_range(np.array([-1.0, 0.0, -3.0, 2.0]), np.array([2.0, 254.0, -1.0, 4.0]), 8)
    assert grid.scale == pytest.approx((3 / 254, 1, 3 / 254, 4 / 254), rel=1e-7)
    assert grid.zero == (-42, -127, 127, -127)  # ranges on one side of 0.0 reach to it
    symmetric = from_range(np.array([-1.0, 0.0]), np.array([2.0, 254.0]), 8, symmetric=True)
    assert symmetric == Grid(8, (float(np.float32(2 / 127)), 2.0), (0, 0))
    assert from_range(one(0), one(0), 8) == Grid(8, (1e-8,), (-127,))


@given(low=ENDS, width=st.floats(0, 1e6, width=32), bits=st.sampled_from(BITS), symmetric=st.booleans())
def test_zero_is_a_level_and_the_range_is_covered(low: float, width: float, bits: int, symmetric: bool) -> None:
    ends = np.sort(np.array([low, low + width], np.float32))
    grid = from_range(ends[:1], ends[1:], bits, symmetric)
    assert fake_quantize(one(0), grid) == 0
    assert abs(fake_quantize(ends[:, None], grid) - ends[:, None]).max() <= 1.01 * grid.scale[0]
    x = np.linspace(ends[0], ends[1], 1000, dtype=np.float32)[:, None]
    assert len(np.unique(quantize(x, grid))) <= 2**bits - 1


@given(
    x=arrays.arrays(np.float32, (5, 6), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
    groups=st.sampled_from([1, 2, 3, 6]),
    bits=st.sampled_from([2, 3, 4, 8]),
)
def test_each_group_has_its_levels_and_is_rounded_by_itself(x: np.ndarray, groups: int, bits: int) -> None:
    parts = np.split(x, groups, axis=1)
    grid = from_range(*(np.array([end(part) for part in parts]) for end in (np.min, np.max)), bits)
    rounded = fake_quantize(x, grid)
    for i, part in enumerate(np.split(rounded, groups, axis=1)):
        assert len(np.unique(part)) <= 2**bits
        alone = Grid(bits, grid.scale[i : i + 1], grid.zero[i : i + 1])
        np.testing.assert_array_equal(part, fake_quantize(parts[i], alone))


@pytest.mark.parametrize(
    ("bits", "scale", "zero", "message"),
    [
        (1, (1.0,), (0,), "bits are 1"),
        (9, (1.0,), (0,), "bits are 9"),
        (True, (1.0,), (0,), "bits are True"),
        (8, (0.0,), (0,), "scale should be"),
        (8, (-1.0,), (0,), "scale should be"),
        (8, (float("nan"),), (0,), "scale should be"),
        (8, (float("inf"),), (0,), "scale should be"),
        (8, (1e-9,), (0,), "scale should be"),
        (8, (1.0,), (128,), "zero should be"),
        (8, (1.0,), (0.0,), "zero should be"),
        (8, (1.0, 1.0), (0,), "2 scales with 1 zeros"),
        (8, (), (), "0 scales"),
    ],
)
def test_what_is_no_grid(bits: Any, scale: Any, zero: Any, message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        Grid(bits, scale, zero)


def test_what_is_no_range_or_does_not_divide() -> None:
    for low, high in [(1, 0), (0, np.nan), (-np.inf, 0)]:
        with pytest.raises(SchemeError, match="a range needs finite numbers"):
            from_range(one(low), one(high), 8)
    with pytest.raises(SchemeError, match="bits are 32"):
        from_range(one(0), one(1), 32)
    with pytest.raises(SchemeError, match="5 columns do not divide into 2 groups"):
        quantize(np.zeros((1, 5), np.float32), Grid(8, (1.0, 1.0), (0, 0)))


# --- the file

GRIDS = {"layers.0.ffn_input": Grid(8, (0.1, 3e-8), (-127, 5)), "layers.0.scores": Grid(16, (0.7,), (32512,))}


@pytest.mark.parametrize("permutation", [None, (5, 4, 3, 2, 1, 0)])
def test_the_file_comes_back(tmp_path: Path, permutation: tuple[int, ...] | None) -> None:
    (tmp_path / grids_file.FILE).write_text(json.dumps(to_plain(GRIDS, permutation)))
    assert grids_file.read(tmp_path, POINTS) == (GRIDS, permutation)


def good() -> dict[str, Any]:
    return to_plain(GRIDS, [0, 1, 2, 3, 4, 5])


def with_point(name: str = "layers.0.ffn_input", **changes: Any) -> dict[str, Any]:
    document = good()
    document["points"][name] = {
        "bits": 8,
        "scale": [1.0, 2.0],
        "zero": [0, 0],
        "operand": False,
        "rotation": 1,
    } | changes
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "format None, should be 2"),
        (good() | {"format": 1}, "format 1"),
        (good() | {"format": True}, "format True"),
        (good() | {"scales": 3}, "'scales' is not a key"),
        (good() | {"points": [1]}, "points should be an object"),
        *((good() | {"permutation": pi}, "permutation should be the numbers 0..5") for pi in (
            3, "012345", [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 4, 6], [False, True, 2, 3, 4, 5],
            [0.0, 1, 2, 3, 4, 5], [[0], 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 10**30],
        )),
        (with_point("layers.9.ffn_input"), "layers.9.ffn_input: is not a point"),
        (with_point(extra=1), "layers.0.ffn_input: should have bits, scale, zero, operand and rotation"),
        (good() | {"points": {"layers.0.scores": 3}}, "layers.0.scores: should have"),
        (with_point(operand=1), "operand is 1, should be true or false"),
        (with_point("layers.0.scores", operand=True), "layers.0.scores: is read by no matrix"),
        (with_point(bits="8"), "bits are '8'"),
        (with_point(bits=[8]), r"bits are \[8\]"),
        (with_point(bits=10**30), "bits are 10000"),
        (with_point(scale=1.0), "scale should be numbers"),
        (with_point(scale="11"), "scale should be numbers"),
        (with_point(scale=[1.0, None]), "scale should be numbers"),
        (with_point(scale=[1.0, 0]), "scale should be numbers"),
        (with_point(scale=[1.0, 1e39]), "scale should be numbers"),
        (with_point(scale=[1.0, 10**400]), "scale should be numbers"),
        (with_point(zero=[0, 128]), "zero should be whole numbers from -127 to 127"),
        (with_point(zero=[0, True]), "zero should be"),
        (with_point(zero=[0]), "2 scales with 1 zeros"),
        (with_point(scale=[], zero=[]), "0 scales with 0 zeros"),
        (with_point(scale=[1.0] * 4, zero=[0] * 4), "6 columns do not divide into 4 groups"),
        (with_point(rotation=8), "rotation is 8, should be one of 1, 16"),
        (with_point(rotation=True), "rotation is True"),
        (with_point(rotation=16), "rotation is for operands with one scale"),
        (with_point(rotation=16, operand=True, scale=[1.0], zero=[0]), "6 columns do not divide into blocks of 16"),
    ],
)  # fmt: skip
def test_files_that_are_not_right_are_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        from_plain(document, POINTS)


def test_all_faults_are_named_at_once() -> None:
    document = with_point(bits=1) | {"permutation": [1], "more": 0}
    document["points"]["nothing"] = {}
    document["points"]["layers.0.scores"] = {"bits": 8, "scale": [0], "zero": [999], "operand": False, "rotation": 1}
    with pytest.raises(FormatError) as error:
        from_plain(document, POINTS, "here")
    parts = ("here:", "'more'", "permutation", "nothing:", "ffn_input: bits", "scores: scale", "scores: zero")
    assert all(part in str(error.value) for part in parts)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["bits", "scale", "zero", "operand", "rotation"]), inner)
    ),
    max_leaves=8,
)


@given(st.sampled_from(["format", "permutation", "points"]), JSON, JSON)
def test_whatever_is_in_it_is_a_grid_or_refused(key: str, value: Any, point: Any) -> None:
    document = good()
    document["points"]["layers.0.scores"] = point
    document[key] = value
    try:
        grids, _ = from_plain(document, POINTS)
    except FormatError:
        return
    assert all(isinstance(grid, Grid) for grid in grids.values())


def test_a_file_of_too_many_values_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    (tmp_path / grids_file.FILE).write_text('{"format": 2, "points": {"x": [' + "0," * (1 << 16) + "0]}}")
    with pytest.raises(FormatError, match="more than 65,536 values"):
        grids_file.read(tmp_path, POINTS)


def test_what_can_be_written_can_be_read(tmp_path: Path) -> None:
    names = ("embeddings.output", *(f"layers.{i}.ffn_sum" for i in range(42)))
    points = {name: Point(None, name, 768) for name in names}
    per_embedding = Grid(8, (1 / 3,) * 768, (-100,) * 768)
    (tmp_path / grids_file.FILE).write_text(
        json.dumps(to_plain(dict.fromkeys([*points][:41], per_embedding), range(768)), indent=2)
    )
    grids, permutation = grids_file.read(tmp_path, points)
    assert len(grids) == 41 and permutation == tuple(range(768))
    with pytest.raises(SchemeError, match="more than the 65,536"):
        to_plain(dict.fromkeys(points, per_embedding))
