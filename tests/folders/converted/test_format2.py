"""Format 2: golden bytes, and a reader in plain Python that was written from docs/format.md."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from builders import plain_reader
from builders.same_models import assert_same
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import EVERY_KIND, quantized
from subbyte.errors import FormatError
from subbyte.folders.converted import loading, saving, weights_file, weights_manifest, weights_reader
from subbyte.folders.tensor_files import read_header
from subbyte.models.model import Model, Role
from subbyte.models.specification import Specification
from subbyte.numbers.bits import pack
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import Block, PackedMatrix

SYMBOLS = np.array([3 if i % 3 else (2, 4, 3, 4, 3, 5, 3, 4, 1)[i // 3 % 9] for i in range(256)], np.uint8)
MODEL = Model(
    architecture="Golden",
    task="translate",
    config={},
    generation={},
    tensors={
        "w": PackedMatrix(
            (8, 32), 32,
            (Block(3, pack(SYMBOLS.reshape(8, 32), 3), np.full((1, 1), 0.5, np.float16), (*range(-3, 4), 3)),),
            None, {"family": "uniform", "bits": 3},
        ),
        "p": PackedMatrix(
            (2, 3), 3,
            (Block(8, np.array([[1, -2, 3], [0, 127, -127]], np.int8), np.array([[1.0], [0.25]], np.float16)),),
            None, {"family": "uniform", "bits": 8},
        ),
        "b": np.array([1.0, -2.0], np.float32),
    },
    roles={"w": Role("output", "decoder"), "p": Role("embedding", "shared")},
    aliases={"v": "w"},
    folder=Path(),
    recipe={"tensors": [{"match": ["w"], "family": "uniform", "bits": 3},
                        {"match": ["p"], "family": "uniform", "bits": 8}]},
)  # fmt: skip
SPECIFICATION = Specification({"w": (8, 32), "p": (2, 3), "b": (2,)}, MODEL.roles, MODEL.aliases)
GOLDEN = Path(__file__).parents[2] / "golden" / "format2.safetensors"


def array(name: str) -> bytes:
    """The bytes of an array of the golden file."""
    data = GOLDEN.read_bytes()
    with GOLDEN.open("rb") as file:
        entry = read_header(file, "golden", FormatError).entries[name]
    return data[entry.start : entry.stop]


def test_the_bytes_of_the_format_have_not_changed() -> None:
    assert weights_file.file_of(MODEL, "subbyte 0.1.0", packed=True) == GOLDEN.read_bytes()


def test_the_golden_file_is_read() -> None:
    with GOLDEN.open("rb") as file:
        header = read_header(file, "golden", FormatError)
        body = np.frombuffer(file.read(), np.uint8)
    assert "w.coded" in header.entries and "p.codes" in header.entries
    manifest = weights_manifest.read_manifest(header, "golden")
    tensors, faults = weights_reader.tensors_of(header, body, manifest, SPECIFICATION, MODEL.recipe)
    assert faults == []
    assert_same(MODEL, replace(MODEL, tensors=tensors))


def test_the_golden_file_is_read_by_the_page() -> None:
    found = plain_reader.read(GOLDEN)
    assert found["b"] == [1.0, -2.0] and found["p"] == [[1.0, -2.0, 3.0], [0.0, 31.75, -31.75]]
    assert found["w"] == [[(code - 3) / 2 for code in row] for row in SYMBOLS.reshape(8, 32).tolist()]


def test_the_documentation_shows_the_coded_codes() -> None:
    page = (Path(__file__).parents[3] / "docs" / "format.md").read_text("utf-8")
    dump = re.findall(r"^[0-9a-f]{2}  ((?:[0-9a-f]{2} ?){1,16})$", page, re.MULTILINE)
    assert bytes.fromhex(" ".join(dump)) == array("w.coded")


@pytest.mark.parametrize("recipe", [EVERY_KIND, "uniform2", "normal3", "binary4"])
def test_a_model_is_read_by_the_page(tmp_path: Path, recipe: str) -> None:
    folder = tiny_marian_folder(tmp_path / "tiny", encoder_layers=1, decoder_layers=1, d_model=96)
    saving.save(quantized(folder, recipe), tmp_path / "out", report={}, packed=True)
    found = plain_reader.read(tmp_path / "out" / "model.safetensors")
    model = loading.load(tmp_path / "out")
    assert found.keys() == model.tensors.keys()
    for name, tensor in model.tensors.items():
        values = dequantize(tensor) if isinstance(tensor, PackedMatrix) else tensor
        assert np.array_equal(np.array(found[name], np.float32), values), name
    assert any("coded" in name for name in header_of(tmp_path / "out"))


def test_vectors_are_float16_where_that_loses_nothing(tmp_path: Path) -> None:
    odd = {
        "b": np.array([0.1, 2.0], np.float32),
        "n.scale": np.ones(2, np.float32),
        "large": np.full(2, 1e5, np.float32),
    }
    model = replace(MODEL, tensors={**MODEL.tensors, **odd, "even": np.array([0.5, -65504.0], np.float32)})
    for packed in (False, True):
        (tmp_path / "m.safetensors").write_bytes(weights_file.file_of(model, "test", packed=packed))
        with (tmp_path / "m.safetensors").open("rb") as file:
            header = read_header(file, "", FormatError)
            body = np.frombuffer(file.read(), np.uint8)
        kinds = {name: header.entries[name].dtype for name in (*odd, "even")}
        assert kinds == {**dict.fromkeys(odd, "F32"), "even": "F16" if packed else "F32"}
        manifest = weights_manifest.read_manifest(header, "")
        spec = Specification(
            {**SPECIFICATION.shapes, **dict.fromkeys((*odd, "even"), (2,))}, MODEL.roles, MODEL.aliases
        )
        tensors, faults = weights_reader.tensors_of(header, body, manifest, spec, MODEL.recipe)
        assert faults == [] and all(tensors[name].dtype == np.float32 for name in kinds)
        assert_same(model, replace(model, tensors=tensors))
        found = plain_reader.read(tmp_path / "m.safetensors") if packed else {}
        assert all(found[name] == model.tensors[name].tolist() for name in found if name in kinds)


@pytest.mark.parametrize(("version", "value", "fault"), [
    (2, np.inf, "b: holds a value that is not a finite number"), (1, 1.0, r"array b is F16 \[2\], should be F32 \[2\]"),
])  # fmt: skip
def test_vectors_of_float16_are_checked(tmp_path: Path, version: int, value: float, fault: str) -> None:
    arrays = {**weights_file.arrays_of(MODEL, packed=version == 2), "b": np.array([value, 1.0], np.float16)}
    manifest = weights_manifest.manifest_of(MODEL, "test", packed=version == 2)
    (tmp_path / "m").write_bytes(save(arrays, metadata={"subbyte": json.dumps(manifest)}))
    with (tmp_path / "m").open("rb") as file:
        header = read_header(file, "", FormatError)
        body = np.frombuffer(file.read(), np.uint8)
    _, faults = weights_reader.tensors_of(header, body, manifest, SPECIFICATION, MODEL.recipe)
    assert len(faults) == 1 and re.fullmatch(fault, faults[0])


def header_of(folder: Path) -> set[str]:
    with (folder / "model.safetensors").open("rb") as file:
        return set(read_header(file, "", FormatError).entries)
