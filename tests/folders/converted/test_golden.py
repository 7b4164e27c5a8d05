"""Golden bytes: changing them breaks every folder that exists."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builders.same_models import assert_same
from subbyte.errors import FormatError
from subbyte.folders.converted import weights_file, weights_manifest, weights_reader
from subbyte.folders.tensor_files import read_header
from subbyte.models.model import Model, Role
from subbyte.models.specification import Specification
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import Block, PackedMatrix

GOLDEN_MODEL = Model(
    architecture="Golden",
    task="translate",
    config={},
    generation={},
    tensors={
        "w": PackedMatrix(
            shape=(2, 3),
            group_size=3,
            blocks=(
                Block(
                    bits=2,
                    codes=np.array([[[0b101], [0b010]], [[0b110], [0b000]]], np.uint8),
                    scale=np.array([[1.0], [0.5]], np.float16),
                    levels=(-1, 0, 1, 1),
                ),
            ),
            cluster=None,
            scheme={"family": "uniform", "bits": 2},
        ),
        "b": np.array([1.0, -2.0], np.float32),
    },
    roles={"w": Role("output", "decoder")},
    aliases={"v": "w"},
    folder=Path(),
)
GOLDEN_SPECIFICATION = Specification({"w": (2, 3), "b": (2,)}, GOLDEN_MODEL.roles, GOLDEN_MODEL.aliases)
GOLDEN = Path(__file__).parents[2] / "golden" / "format1.safetensors"


def test_the_bytes_of_the_format_have_not_changed() -> None:
    assert weights_file.file_of(GOLDEN_MODEL, "subbyte 0.1.0") == GOLDEN.read_bytes()


def test_the_golden_file_is_read() -> None:
    with GOLDEN.open("rb") as file:
        header = read_header(file, "golden", FormatError)
        body = np.frombuffer(file.read(), np.uint8)
    manifest = weights_manifest.read_manifest(header, "golden")
    tensors, faults = weights_reader.tensors_of(header, body, manifest, GOLDEN_SPECIFICATION)
    assert faults == []
    assert_same(GOLDEN_MODEL, replace(GOLDEN_MODEL, tensors=tensors))
    matrix = tensors["w"]
    assert isinstance(matrix, PackedMatrix)
    assert dequantize(matrix).tolist() == [[0.0, 1.0, 1.0], [-0.5, 0.0, -0.5]]


def test_the_documentation_shows_the_golden_file() -> None:
    page = (Path(__file__).parents[3] / "docs" / "format.md").read_text("utf-8")
    dump = re.findall(r"^[0-9a-f]{4}  ((?:[0-9a-f]{2} ?){1,16}) ", page, re.MULTILINE)
    assert bytes.fromhex(" ".join(dump)) == GOLDEN.read_bytes()


@pytest.mark.parametrize(
    "levels",
    [(-3, -2, -1, 0, 1, 2, 3, 3), (-3, -1, 1, 3), (-127, 127), (127, -127), (127, 64, 32, 16), (0, 0, 1, 1), (5, 5)],
)
def test_levels_come_back(levels: tuple[int, ...]) -> None:
    plain = json.loads(json.dumps(weights_manifest.compact_levels(levels)))
    assert weights_manifest.expand_levels(plain, (len(levels) - 1).bit_length()) == levels
