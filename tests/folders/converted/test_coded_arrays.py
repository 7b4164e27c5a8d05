"""Packed folders whose coded arrays are damaged are refused; tensor and chunk are named, memory is bounded."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.same_models import assert_same
from builders.tiny_marian import edit_json, tiny_marian_folder
from builders.tiny_packed import quantized
from subbyte.errors import FormatError
from subbyte.folders.converted import loading, saving
from subbyte.folders.tensor_files import Entry, read_header
from subbyte.models.model import Model

NAME = "model.encoder.layers.0.fc2.weight"  # 3 bits


@pytest.fixture(scope="module")
def packed_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    home = tmp_path_factory.mktemp("packed")
    source = tiny_marian_folder(home / "tiny", encoder_layers=1, decoder_layers=1, d_model=96, vocab_size=103)
    return quantized(source)


@pytest.fixture(scope="module")
def packed_folder(packed_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    out = tmp_path_factory.mktemp("saved") / "out"
    saving.save(packed_model, out, report={}, packed=True)
    return out


@pytest.fixture
def out(packed_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be spoiled."""
    return Path(shutil.copytree(packed_folder, tmp_path / "out"))


def entries(out: Path) -> dict[str, Entry]:
    with (out / "model.safetensors").open("rb") as file:
        return dict(read_header(file, "", FormatError).entries)


def spoil(out: Path, name: str, at: int, value: int) -> None:
    """Set a byte of an array; `at` may count from its end."""
    entry = entries(out)[name]
    path = out / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[(entry.start if at >= 0 else entry.stop) + at] ^= value
    path.write_bytes(data)


def rewrite(out: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change header and manifest, and leave the data as it is."""
    data = (out / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    manifest = json.loads(header["__metadata__"]["subbyte"])
    change(header, manifest)
    header["__metadata__"]["subbyte"] = json.dumps(manifest)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (out / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def test_a_packed_folder_is_the_same_model(packed_folder: Path, packed_model: Model) -> None:
    assert_same(loading.load(packed_folder), packed_model)
    names = entries(packed_folder)
    assert sum(".coded" in name for name in names) > 10 and f"{NAME}.coded" in names


def test_a_folder_that_is_saved_plain_again_is_as_it_was(
    packed_folder: Path, packed_model: Model, tmp_path: Path
) -> None:
    saving.save(packed_model, tmp_path / "plain", report={})
    saving.save(loading.load(packed_folder), tmp_path / "again", report={})
    assert (tmp_path / "plain/model.safetensors").read_bytes() == (tmp_path / "again/model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, 0xFF, "the table is of symbols"),
        (2, 0x01, "the frequencies sum to|the table"),
        (-1, 0x80, "chunk 0 does not end in the state it should|chunk 0"),
    ],
)
def test_tensor_and_chunk_are_named(out: Path, at: int, value: int, message: str) -> None:
    spoil(out, f"{NAME}.coded", at, value)
    with pytest.raises(FormatError, match=rf"{NAME}\.coded: .*({message})"):
        loading.load(out)


def test_every_fault_is_named_at_once(out: Path) -> None:
    coded = [name for name in entries(out) if ".coded" in name][:3]
    for name, at in zip(coded, (0, 2, -1), strict=True):
        spoil(out, name, at, 0xFF)
    with pytest.raises(FormatError) as error:
        loading.load(out)
    assert all(name in str(error.value) for name in coded)


def test_a_packed_file_cut_anywhere_is_refused(out: Path) -> None:
    path = out / "model.safetensors"
    data = path.read_bytes()
    for length in [*range(0, len(data), 397), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(FormatError):
            loading.load(out)


def test_coded_arrays_cut_anywhere_are_refused(out: Path) -> None:
    """The header tells the truth of what is left; what is cut goes to the array behind."""
    name = min((name for name in entries(out) if ".coded" in name), key=lambda name: entries(out)[name].stop)
    first, original = entries(out)[name], (out / "model.safetensors").read_bytes()
    for size in [*range(0, 60), *range(60, first.shape[0], 41), first.shape[0] - 1]:

        def cut(header: dict[str, Any], _: object, size: int = size) -> None:
            start, stop = header[name]["data_offsets"]
            header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [start, start + size]}
            header["rest"] = {"dtype": "U8", "shape": [stop - start - size], "data_offsets": [start + size, stop]}

        (out / "model.safetensors").write_bytes(original)
        rewrite(out, cut)
        with pytest.raises(FormatError, match=rf"{name}: "):
            loading.load(out)


def test_a_flipped_bit_of_a_coded_array_is_refused(out: Path) -> None:
    """Of any: a state that is off stays off to the end of its chunk, but for some changes of a table."""
    entry, path = entries(out)[f"{NAME}.coded"], out / "model.safetensors"
    data = path.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(entry.start, entry.stop, 60).tolist():
        changed = bytearray(data)
        changed[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(changed)
        with pytest.raises(FormatError, match=NAME):
            loading.load(out)


def as_version_1(header: dict[str, Any], manifest: dict[str, Any]) -> None:
    manifest["format_version"] = 1


def renamed(old: str, new: str) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda header, _: header.update({new: header.pop(old)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (as_version_1, "lacks or should not have: aliases, architecture"),
        (lambda h, m: m.update(architecture="MarianMTModel"), "lacks or should not have: architecture"),
        (lambda h, m: m["tensors"].pop(), "a list of 1[0-9] tensors"),
        (lambda h, m: m["tensors"].append(0), "a list of 1[0-9] tensors"),
        (lambda h, m: m.update(tensors={}), "a list of 1[0-9] tensors"),
        (lambda h, m: m["tensors"].__setitem__(0, 99), "format 99 is none of"),
        (lambda h, m: m["tensors"].__setitem__(0, True), "format True is none of"),
        (lambda h, m: m["formats"][0].pop("shape"), "format 0 of the manifest should have"),
        (lambda h, m: m["formats"][0].update(scheme={}), "format 0 of the manifest should have"),
        (lambda h, m: m["formats"][0].update(shape=[5, 5]), r"is \[5, 5\], should be"),
        (lambda h, m: m["formats"][0].update(group_size=7), "group_size is 7"),
        (lambda h, m: h[f"{NAME}.coded"].update(dtype="I8"), "is I8 .* should be U8"),
        (lambda h, m: h[f"{NAME}.coded"].update(shape=[1, *h[f"{NAME}.coded"]["shape"]]), "should be U8"),
        (renamed(f"{NAME}.coded", f"{NAME}.codes"), "should be U8"),
        (renamed(f"{NAME}.scale", f"{NAME}.scales"), f"missing array {NAME}.scale"),
        (lambda h, m: h.update({f"{NAME}.codes": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}),
         rf"unexpected array {NAME}\.codes"),
    ],
)  # fmt: skip
def test_headers_and_manifests_are_checked(out: Path, change: Callable[..., object], message: str) -> None:
    rewrite(out, change)
    with pytest.raises(FormatError, match=message):
        loading.load(out)


def test_the_versions_of_configuration_and_file_are_one(out: Path) -> None:
    config = json.loads((out / "config.json").read_text())
    edit_json(out / "config.json", quantization_config=config["quantization_config"] | {"format_version": 1})
    with pytest.raises(FormatError, match=r"is of format version 2, config\.json of 1"):
        loading.load(out)


def test_what_a_file_promises_is_not_allocated(out: Path) -> None:
    """A folder whose configuration and manifest speak of a matrix of 400 MB, of which some bytes are there."""
    rows = 1 << 23

    def change(header: dict[str, Any], manifest: dict[str, Any]) -> None:
        for form in manifest["formats"]:
            form["shape"] = [rows if size == 48 else size for size in form["shape"]]

    config = json.loads((out / "config.json").read_text())
    edit_json(out / "config.json", encoder_ffn_dim=rows, decoder_ffn_dim=config["decoder_ffn_dim"])
    rewrite(out, change)
    size = sum(path.stat().st_size for path in out.iterdir())
    tracemalloc.start()
    with pytest.raises(FormatError):
        loading.load(out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size * 129 + (16 << 20)
