"""Converted folders: what is saved comes back, what is damaged is refused, what is interrupted leaves no trace."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from builders.tiny_marian import edit_json, tiny_marian_folder
from builders.tiny_packed import EVERY_KIND, TRANSLATION_PRESETS, quantized
from subbyte.compress.recipes.recipe import parse_recipe, resolve
from subbyte.errors import FormatError, ModelError, SubbyteError, UsageError
from subbyte.folders import atomic
from subbyte.folders.converted import loading, saving, sums, weights_file, weights_reader
from subbyte.folders.converted.model_card import base_name
from subbyte.folders.opening import open_model
from subbyte.folders.tensor_files import read_header
from subbyte.models.model import Model, Role
from subbyte.models.specification import Specification
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import Block, PackedMatrix


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny quantized model with blocks of every kind."""
    return quantized(tiny_marian_folder(tmp_path_factory.mktemp("source") / "tiny", encoder_layers=1))


@pytest.fixture(scope="module")
def saved(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder; not to be changed."""
    out = tmp_path_factory.mktemp("saved") / "out"
    saving.save(model, out, report={"seed": 0})
    return out


@pytest.fixture
def out(saved: Path, tmp_path: Path) -> Path:
    """A copy of it that may be spoiled."""
    return Path(shutil.copytree(saved, tmp_path / "out"))


def assert_same(a: Model, b: Model) -> None:
    assert a.tensors.keys() == b.tensors.keys()
    for name, tensor in a.tensors.items():
        other = b.tensors[name]
        if not isinstance(tensor, PackedMatrix):
            assert isinstance(other, np.ndarray) and other.dtype == np.float32 and np.array_equal(tensor, other)
            continue
        assert isinstance(other, PackedMatrix)
        assert (tensor.shape, tensor.group_size, tensor.scheme) == (other.shape, other.group_size, other.scheme)
        same_array(tensor.cluster, other.cluster)
        for block, again in zip(tensor.blocks, other.blocks, strict=True):
            assert (block.bits, block.levels) == (again.bits, again.levels)
            for field in ("codes", "scale", "alphas", "zero"):
                same_array(getattr(block, field), getattr(again, field))
    assert (a.roles, a.aliases, a.activations, a.recipe) == (b.roles, b.aliases, b.activations, b.recipe)


def same_array(a: np.ndarray | None, b: np.ndarray | None) -> None:
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        assert a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


# --- round trips


@pytest.mark.parametrize("preset", TRANSLATION_PRESETS)
def test_every_preset_comes_back_and_has_the_bits_it_claims(tiny_folder: Path, tmp_path: Path, preset: str) -> None:
    model = quantized(tiny_folder, preset)
    saving.save(model, tmp_path / "out", report={})
    loaded = open_model(tmp_path / "out")
    assert_same(model, loaded)
    assert sums.verify(tmp_path / "out")
    for name in loaded.roles:
        matrix = loaded.tensors[name]
        assert isinstance(matrix, PackedMatrix)
        values = np.sort(dequantize(matrix).reshape(matrix.shape[0], matrix.groups, -1), axis=-1)
        distinct = 1 + np.count_nonzero(np.diff(values), axis=-1).max(axis=1)  # [rows]
        bits = np.array([block.bits for block in matrix.blocks])
        assert (distinct <= 2 ** (bits[0] if matrix.cluster is None else bits[matrix.cluster])).all(), name


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"share_encoder_decoder_embeddings": False, "tie_word_embeddings": False},
        {"d_model": 20, "encoder_ffn_dim": 39, "decoder_ffn_dim": 9},  # bit planes that end within a byte
    ],
)
def test_every_kind_of_block_comes_back(tmp_path: Path, overrides: dict[str, Any]) -> None:
    text = EVERY_KIND if not overrides.get("d_model") else EVERY_KIND.replace("granularity = {group = 16}", "")
    model = quantized(tiny_marian_folder(tmp_path / "tiny", **overrides), text)
    saving.save(model, tmp_path / "out", report={})
    assert_same(model, loading.load(tmp_path / "out"))


def test_the_safetensors_library_reads_what_we_write(saved: Path, model: Model) -> None:
    theirs = load_file(saved / "model.safetensors")
    ours = weights_file.arrays_of(model)
    assert theirs.keys() == ours.keys()
    assert all(np.array_equal(theirs[name], ours[name]) for name in ours)


def test_saving_twice_gives_the_same_bytes(model: Model, saved: Path, tmp_path: Path) -> None:
    saving.save(model, tmp_path / "again", report={"seed": 0})
    for path in saved.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_loaded_arrays_are_views_of_one_aligned_buffer(saved: Path) -> None:
    tensors = loading.load(saved).tensors
    arrays = [tensor for tensor in tensors.values() if isinstance(tensor, np.ndarray)]
    arrays += [
        block.codes for tensor in tensors.values() if isinstance(tensor, PackedMatrix) for block in tensor.blocks
    ]
    assert all(array.flags.aligned and array.flags.c_contiguous and array.base is not None for array in arrays)


def test_the_folder_holds_what_it_should(model: Model, saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    assert names == {
        "config.json", "generation_config.json", "model.safetensors", "report.json", "manifest.json", "README.md",
        "source.spm", "target.spm", "vocab.json", "tokenizer_config.json",
    }  # fmt: skip
    for name in ("source.spm", "vocab.json", "generation_config.json"):
        assert (saved / name).read_bytes() == (model.folder / name).read_bytes()
    config = json.loads((saved / "config.json").read_text())
    quantization = config.pop("quantization_config")
    assert config == {**model.config, "model_type": "subbyte"}
    assert (quantization["method"], quantization["format_version"]) == ("subbyte", 1)
    recipe = parse_recipe_of(quantization["recipe"])
    assert resolve(recipe, model) == resolve(parse_recipe(EVERY_KIND, "test", "test"), model)
    assert json.loads((saved / "report.json").read_text())["seed"] == 0


def parse_recipe_of(plain: dict[str, Any]) -> Any:
    """The stored recipe, read as one again."""

    def value(item: Any) -> str:
        if isinstance(item, dict):
            return "{" + ", ".join(f"{key} = {value(one)}" for key, one in item.items()) + "}"
        return json.dumps(item)

    tables = plain["tensors"]
    lines = [f"{key} = {value(item)}" for key, item in plain.items() if key != "tensors"]
    for table in tables:
        lines += ["[[tensors]]", *(f"{key} = {value(item)}" for key, item in table.items())]
    return parse_recipe("\n".join(lines), "stored", "stored")


def test_a_converted_folder_can_be_saved_again(saved: Path, model: Model, tmp_path: Path) -> None:
    saving.save(loading.load(saved), tmp_path / "again", report={})
    assert_same(loading.load(tmp_path / "again"), model)


def test_the_card_keeps_the_licence_and_attribution_of_the_source(tiny_folder: Path, tmp_path: Path) -> None:
    (tiny_folder / "README.md").write_text(
        "---\nlicense: cc-by-4.0\ntags:\n- old\nlanguage:\n- en\n- de\nlibrary_name: transformers\n---\n\nBy A. N.\n"
    )
    (tiny_folder / "LICENSE").write_text("the licence")
    saving.save(quantized(tiny_folder), tmp_path / "out", report={})
    card = (tmp_path / "out" / "README.md").read_text()
    front = card.split("---\n")[1]
    assert "license: cc-by-4.0\n" in front and "language:\n- en\n- de\n" in front
    assert "base_model: tiny\nbase_model_relation: quantized\nlibrary_name: subbyte\n" in front
    assert "- old" not in front and "transformers" not in front
    assert "By A. N." in card and str(tmp_path) not in card
    assert (tmp_path / "out" / "LICENSE").read_text() == "the licence"


@pytest.mark.parametrize(("named", "base"), [("owner/tiny", "owner/tiny"), ("owner/what-it-was-made-from", "tiny")])
def test_the_card_names_the_model_not_what_that_was_trained_from(model: Model, named: str, base: str) -> None:
    renamed = replace(model, config={**model.config, "_name_or_path": named}, folder=Path("tiny"))
    assert base_name(renamed) == base


# --- golden bytes: changing them breaks every folder that exists

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
        start = file.tell()
        body = np.frombuffer(file.read(), np.uint8)
    manifest = weights_file.read_manifest(header, "golden")
    tensors, faults = weights_reader.tensors_of(header, body, start, manifest, GOLDEN_SPECIFICATION)
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
    plain = json.loads(json.dumps(weights_file.compact_levels(levels)))
    assert weights_file.expand_levels(plain, (len(levels) - 1).bit_length()) == levels


# --- damaged files


def rewrite(out: Path, change: Callable[[dict[str, Any]], None], of: str = "header") -> None:
    """Change the header of model.safetensors, or the manifest in it, and leave the data as it is."""
    data = (out / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if of == "manifest":
        manifest = json.loads(header["__metadata__"]["subbyte"])
        change(manifest)
        header["__metadata__"]["subbyte"] = json.dumps(manifest)
    else:
        change(header)
    write_file(out, json.dumps(header).encode(), data[8 + length :])


def write_file(out: Path, header: bytes, body: bytes) -> None:
    header += b" " * (-len(header) % 8)
    (out / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + body)


def write_array(out: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    """Change the content of one array in the file."""
    path = out / "model.safetensors"
    with path.open("rb") as file:
        entry = read_header(file, "", FormatError).entries[name]
    data = np.fromfile(path, np.uint8)
    change(data[entry.start : entry.stop].view(weights_reader.DTYPES[entry.dtype]).reshape(entry.shape))
    data.tofile(path)


def test_a_file_cut_anywhere_is_refused(out: Path) -> None:
    path = out / "model.safetensors"
    data = path.read_bytes()
    for length in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(FormatError):
            loading.load(out)


def test_a_flipped_bit_is_refused_or_harmless(out: Path) -> None:
    path = out / "model.safetensors"
    data = bytearray(path.read_bytes())
    generator = np.random.default_rng(0)
    header = 8 + int.from_bytes(data[:8], "little")
    places = [*range(8), *generator.integers(8, header, 150), *generator.integers(header, len(data), 30)]
    refused = 0
    for place in map(int, places):
        data[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(data)
        try:
            loading.load(out)
        except FormatError:
            refused += 1
        data = bytearray(data)
        path.write_bytes(data)
    assert refused > 120


EMBEDDING = "model.shared.weight"
GROUPED = "model.decoder.layers.0.encoder_attn.q_proj.weight"  # affine, groups
EIGHT = "model.encoder.layers.0.fc1.weight"
AFFINE8 = "model.encoder.layers.0.self_attn.q_proj.weight"
BINARY = "model.decoder.layers.0.fc1.weight"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (f"{EIGHT}.codes", lambda a: a.__setitem__((3, 4), -128), "level of -128"),
        (f"{AFFINE8}.zero", lambda a: a.__setitem__((0, 0), -128), "level of -128"),
        (f"{EIGHT}.scale", lambda a: a.__setitem__((0, 0), np.nan), "not a finite number above zero"),
        (f"{EIGHT}.scale", lambda a: a.__setitem__((1, 0), np.inf), "not a finite number above zero"),
        (f"{GROUPED}.scale", lambda a: a.__setitem__((0, 1), 0), "not a finite number above zero"),
        (f"{GROUPED}.scale", lambda a: a.__setitem__((0, 1), -1), "not a finite number above zero"),
        (f"{GROUPED}.scale", lambda a: a.__setitem__((0, 1), -0.0), "not a finite number above zero"),
        (f"{BINARY}.alphas", lambda a: a.__setitem__((0, 1), (100, 20, 8)), "sum is above 127"),
        (f"{BINARY}.alphas", lambda a: a.fill(255), "sum is above 127"),
        (f"{EMBEDDING}.cluster", lambda a: a.fill(0xFF), "ids beyond the 5 clusters"),
        (f"{EMBEDDING}.cluster", lambda a: a.__setitem__((0, -1), a[0, -1] | 0x80), "ids beyond the 5 clusters"),
        (f"{EMBEDDING}.cluster", lambda a: a.fill(0), "no row is in cluster 1, 2, 3, 4"),
        (f"{EMBEDDING}.cluster", lambda a: a[0].__setitem__(0, a[0, 0] ^ 1), "should be"),  # counts no longer match
        ("final_logits_bias", lambda a: a.__setitem__(0, np.nan), "not a finite number"),
    ],
)
def test_array_contents_are_checked(out: Path, name: str, change: Callable[[np.ndarray], None], message: str) -> None:
    write_array(out, name, change)
    with pytest.raises(FormatError, match=message) as error:
        loading.load(out)
    assert name.rsplit(".", 1)[0] in str(error.value)


def test_bits_beyond_the_last_column_are_refused(tmp_path: Path) -> None:
    saving.save(quantized(tiny_marian_folder(tmp_path / "tiny", d_model=20), "uniform3"), tmp_path / "out", report={})
    write_array(tmp_path / "out", f"{EMBEDDING}.codes", lambda a: a[0, 0].__setitem__(-1, a[0, 0, -1] | 0x10))
    with pytest.raises(FormatError, match="bits set beyond its 20 columns"):
        loading.load(tmp_path / "out")


def test_arrays_that_are_not_aligned_are_refused(out: Path) -> None:
    data = (out / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    body = b""
    for name in sorted(header, key=lambda name: (name != f"{EMBEDDING}.cluster", name)):  # an odd number of bytes first
        start, stop = header[name]["data_offsets"]
        header[name]["data_offsets"] = [len(body), len(body) + stop - start]
        body += data[8 + length + start : 8 + length + stop]
    write_file(out, json.dumps({"__metadata__": metadata, **header}).encode(), body)
    with pytest.raises(FormatError, match=r"array model\.shared\.weight\.scale\.0 is not aligned to its type"):
        loading.load(out)


def change_entry(name: str, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header[name].update(fields)


def swap_names(a: str, b: str) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        header[a], header[b] = header[b], header[a]

    return change


def shift(header: dict[str, Any]) -> None:
    """Make one tensor overlap the next."""
    header[f"{EIGHT}.codes"]["data_offsets"] = [x + 1 for x in header[f"{EIGHT}.codes"]["data_offsets"]]


def many(header: dict[str, Any]) -> None:
    header.update({f"x{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(5000)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.pop("final_logits_bias"), "starts at byte|the tensors end"),
        (change_entry("final_logits_bias", dtype="I8"), "takes 103 bytes|takes"),
        (change_entry("final_logits_bias", dtype="I32"), "is I32 .* should be F32"),
        (change_entry("final_logits_bias", dtype="Q4"), "dtype 'Q4' is unknown"),
        (change_entry("final_logits_bias", dtype=["F32"]), "dtype .* is unknown"),
        (change_entry("final_logits_bias", shape=[2**62, 4]), "not a list of at most 8 sizes"),
        (change_entry("final_logits_bias", shape=[2**42, 2**42]), "takes"),
        (change_entry("final_logits_bias", shape=[-1]), "not a list of at most 8 sizes"),
        (change_entry("final_logits_bias", shape=[1] * 9), "not a list of at most 8 sizes"),
        (change_entry("final_logits_bias", shape="abc"), "not a list"),
        (change_entry("final_logits_bias", shape=[True]), "not a list"),
        (change_entry("final_logits_bias", data_offsets=[0, 2**60]), "are not two positions"),
        (change_entry("final_logits_bias", data_offsets=[8, 4]), "takes"),
        (change_entry("final_logits_bias", data_offsets=[1]), "are not two positions"),
        (change_entry("final_logits_bias", extra=1), "exactly dtype, shape and data_offsets"),
        (change_entry(f"{EIGHT}.codes", shape=[32, 48]), r"is I8 \[32, 48\], should be I8 \[48, 32\]"),
        (change_entry(f"{EIGHT}.codes", dtype="U8"), "is U8 .* should be I8"),
        (change_entry(f"{GROUPED}.scale", shape=[2, 32]), r"is F16 \[2, 32\], should be F16 \[32, 2\]"),
        (change_entry(f"{GROUPED}.zero", shape=[64, 1]), "should be I8"),
        (change_entry(f"{BINARY}.alphas", shape=[64, 6, 1]), "should be U8"),
        (change_entry(f"{BINARY}.codes", shape=[1, 3, 64, 4]), "should be U8"),
        (swap_names(f"{EIGHT}.codes", f"{EMBEDDING}.codes.0"), "should be"),
        (shift, "starts at byte"),
        (many, "unexpected array x0"),
        (lambda h: h.pop("__metadata__"), "no 'subbyte' in its metadata"),
        (lambda h: h.update(__metadata__={"subbyte": 1}), "not an object of strings"),
        (lambda h: h.update(__metadata__={"subbyte": "{"}), "not valid JSON"),
        (lambda h: h.update(__metadata__={"subbyte": "\ud800"}), "not UTF-8"),
    ],
)
def test_headers_are_checked(out: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    rewrite(out, change)
    with pytest.raises(FormatError, match=message):
        loading.load(out)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b'{"a": 1, "a": 2}', "keys that occur twice"),
        (b"[" * 20000, "nested too deeply|not valid JSON"),
        (b"[" * 200000, "more than 65,536 values"),
        (b'{"a":' * 64 + b"0" + b"}" * 64, "should have exactly dtype"),
        (b'{"a":' * 65 + b"0" + b"}" * 65, "nested too deeply, in more than 64 levels"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": "\\ud83d\\ude00 \\uDFFF"}', "half of a surrogate pair"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "not valid JSON"),
        (b"{}", "the tensors end"),
        (b"[]", "should hold a JSON object"),
        (b"", "not valid JSON"),
        (b" " * (1 << 20), "more than the 524,288 we read"),
    ],
)
def test_headers_that_are_none(out: Path, header: bytes, message: str) -> None:
    write_file(out, header, b"1234")
    with pytest.raises(FormatError, match=message):
        loading.load(out)


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_header_lengths_that_lie(out: Path, length: int) -> None:
    data = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").write_bytes(length.to_bytes(8, "little") + data[8:])
    with pytest.raises(FormatError):
        loading.load(out)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def test_whatever_changes_in_the_manifest_is_refused(out: Path, model: Model) -> None:
    strange = [None, True, -1, 0, 2**63, 1.5, "x", [], {}, [[]], "9" * 50]
    original = (out / "model.safetensors").read_bytes()
    for i, path in enumerate(places(weights_file.manifest_of(model, "p"))):
        value = strange[i % len(strange)]
        if "scheme" in path or path == ("producer",):
            continue  # for people: nothing depends on it
        if "levels" in path and type(value) is int:
            value = "x"  # another number would be a level too

        def change(manifest: dict[str, Any], path: Any = path, value: Any = value) -> None:
            for key in path[:-1]:
                manifest = manifest[key]
            unchanged = type(manifest[path[-1]]) is type(value) and manifest[path[-1]] == value
            manifest[path[-1]] = "unlike before" if unchanged else value

        (out / "model.safetensors").write_bytes(original)
        rewrite(out, change, "manifest")
        with pytest.raises(FormatError):
            loading.load(out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format_version=2), "written by a later subbyte.*upgrade subbyte"),
        (lambda m: m.update(format_version=0), "format_version is 0"),
        (lambda m: m.pop("format_version"), "format_version is None"),
        (lambda m: m.update(surprise=1), "surprise"),
        (lambda m: m.pop("aliases"), "aliases"),
        (lambda m: m["aliases"].pop("lm_head.weight"), "the manifest ties"),
        (lambda m: m.update(activations="int4"), "activations are 'int4'"),
        (lambda m: m.update(architecture="Other"), "the manifest is that of 'Other'"),
        (lambda m: m["tensors"].pop(EIGHT), f"missing tensor {EIGHT}"),
        (lambda m: m["tensors"].update(ghost=m["tensors"][EIGHT]), "unexpected tensor ghost"),
        (lambda m: m["tensors"][EIGHT].update(format=99), "format 99 is none of"),
        (lambda m: m["tensors"][EIGHT].update(shape=[32, 48]), r"is \[32, 48\], should be \[48, 32\]"),
        (lambda m: m["tensors"][EIGHT].update(role="shared.output"), "role is 'shared.output'"),
        (lambda m: m["tensors"][EIGHT].update(group_size=24), "group_size is 24, should be 32 or a multiple of 16"),
        (lambda m: m["tensors"][EIGHT].update(group_size=8), "group_size is 8, should be 32 or a multiple of 16"),
        (lambda m: m["tensors"][EIGHT].update(group_size=16), r"should be F16 \[48, 2\]"),
        (lambda m: m["tensors"][EIGHT].update(group_size=0), "group_size is 0"),
        (lambda m: [f["blocks"][0].update(levels=[0, 128]) for f in m["formats"]], "does not describe|levels"),
        (lambda m: [f["blocks"].extend(f["blocks"] * 8) for f in m["formats"]], "1 to 8 blocks"),
    ],
)
def test_manifests_are_checked(out: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    rewrite(out, change, "manifest")
    with pytest.raises(FormatError, match=message):
        loading.load(out)


def test_every_fault_is_named_at_once(out: Path) -> None:
    write_array(out, f"{EIGHT}.codes", lambda a: a.fill(-128))
    write_array(out, f"{BINARY}.alphas", lambda a: a.fill(99))
    rewrite(out, lambda m: m["tensors"][GROUPED].update(group_size=5), "manifest")
    rewrite(out, change_entry("final_logits_bias", dtype="I32"))
    with pytest.raises(FormatError) as error:
        loading.load(out)
    assert all(name in str(error.value) for name in (EIGHT, BINARY, GROUPED, "final_logits_bias"))


@pytest.mark.parametrize(
    "change",
    [
        {"encoder_layers": 2},
        {"decoder_layers": 2},
        {"d_model": 64},
        {"encoder_ffn_dim": 64},
        {"vocab_size": 50, "decoder_vocab_size": 50, "pad_token_id": 1, "decoder_start_token_id": 1},
        {"encoder_attention_heads": 5},
        {"tie_word_embeddings": False},
        {"model_type": "t5"},
        {"normalize_before": True},
        {"quantization_config": {"quant_method": "subbyte"}},
        {"quantization_config": {"format_version": 1, "recipe": {}}},
        {"quantization_config": {"source_model_type": 3, "format_version": 1, "recipe": {}}},
        {"quantization_config": {"source_model_type": "t5", "format_version": 1, "recipe": {}}},
        {"quantization_config": None},
        {"quantization_config": []},
        {"quantization_config": {"quant_method": "subbyte", "format_version": 2, "recipe": {}}},
        {"quantization_config": {"quant_method": "subbyte", "format_version": 1, "recipe": []}},
    ],
)
def test_the_configuration_must_fit_the_tensors(out: Path, change: dict[str, Any]) -> None:
    edit_json(out / "config.json", **change)
    with pytest.raises(FormatError):
        open_model(out)


def test_generation_ids_must_be_words(out: Path) -> None:
    edit_json(out / "generation_config.json", eos_token_id=5000)
    with pytest.raises(FormatError, match="eos_token_id is 5000"):
        open_model(out)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_files_are_named(out: Path, name: str) -> None:
    (out / name).unlink()
    with pytest.raises(FormatError, match=name):
        open_model(out)


def test_a_damaged_configuration_is_a_format_error(out: Path) -> None:
    (out / "config.json").write_text("{")
    with pytest.raises(FormatError, match="not valid JSON"):
        open_model(out)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "generation_config.json"])
def test_links_out_of_the_folder_are_refused(out: Path, tmp_path: Path, name: str) -> None:
    (out / name).rename(tmp_path / name)
    (out / name).symlink_to(tmp_path / name)
    with pytest.raises(SubbyteError, match="leads out of the folder"):
        open_model(out)


def test_links_of_the_hub_cache_are_followed(out: Path, tmp_path: Path, model: Model) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "c0ffee"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in out.iterdir():
        path.rename(blobs / path.name)
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert_same(open_model(snapshot), model)


def test_a_pipe_does_not_block(out: Path) -> None:
    (out / "model.safetensors").unlink()
    os.mkfifo(out / "model.safetensors")
    with pytest.raises(FormatError, match="not a regular file"):
        loading.load(out)


@pytest.mark.parametrize("item", [b"[],", b'"ab",', b"{},", b"[[]],", b"1.5,"])
def test_a_hostile_header_takes_no_more_memory_than_promised(out: Path, item: bytes) -> None:
    write_file(out, b'{"a": [' + item * ((1 << 19) // len(item) - 10) + b"0]}", b"1234")
    size = (out / "model.safetensors").stat().st_size
    tracemalloc.start()
    with pytest.raises(FormatError):
        loading.load(out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size + (16 << 20)


# --- sums


def test_sums_are_verified(out: Path) -> None:
    (out / "notes.txt").write_text("extra files are tolerated")
    assert set(sums.verify(out)) >= {"config.json", "model.safetensors", "vocab.json", "README.md"}
    (out / "vocab.json").write_text("{}")
    (out / "source.spm").unlink()
    with pytest.raises(FormatError) as error:
        sums.verify(out)
    assert "vocab.json: is" in str(error.value) and "source.spm: the file is missing" in str(error.value)


@pytest.mark.parametrize("files", [None, {}, {"config.json": {}}, {"../config.json": {}, "config.json": 1}])
def test_sums_must_be_whole(out: Path, files: object) -> None:
    edit_json(out / "manifest.json", files=files)
    with pytest.raises(FormatError):
        sums.verify(out)


# --- refusing to write


def test_an_existing_folder_is_only_replaced_by_force(model: Model, out: Path) -> None:
    (out / "note").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        saving.save(model, out, report={})
    assert (out / "note").exists()
    (out / "note").unlink()
    (out / "vocab.json").unlink()  # what is missing is no loss
    saving.save(model, out, report={"of": "the second"}, force=True)
    assert "the second" in (out / "report.json").read_text() and (out / "vocab.json").exists()
    assert_same(loading.load(out), model)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_the_source_is_never_replaced(tiny_folder: Path) -> None:
    model = quantized(tiny_folder, "int8")
    for out in (tiny_folder, tiny_folder.parent, tiny_folder / "..", tiny_folder.parent / "tiny" / "." / ""):
        with pytest.raises(UsageError, match="is the folder of the source model, or one around it"):
            saving.save(model, out, report={}, force=True)
    saving.save(model, tiny_folder / "inside", report={})
    assert open_model(tiny_folder)


def test_what_is_not_a_model_folder_is_not_replaced(model: Model, tmp_path: Path) -> None:
    (tmp_path / "home" / "projects").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for name, message in [
        ("home", "holds what subbyte did not write there: projects;"),
        ("file", "is a file"),
        ("link", "is a link"),
    ]:
        with pytest.raises(UsageError, match=message):
            saving.save(model, tmp_path / name, report={}, force=True)
    (tmp_path / "empty").mkdir()
    saving.save(model, tmp_path / "empty", report={})
    saving.save(model, tmp_path / "new" / "deep" / "out", report={})


def test_float_matrices_are_not_saved(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="still float32"):
        saving.save(open_model(tiny_folder), tmp_path / "out", report={})
    assert not (tmp_path / "out").exists()


# --- interruption


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.rename", "pathlib.Path.write_bytes", "pathlib.Path.mkdir"])
def test_a_full_disk_leaves_no_trace(
    model: Model, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, force: bool
) -> None:
    out = tmp_path / "home" / "out"
    out.parent.mkdir()
    if force:
        shutil.copytree(saved, out)
    before = sorted(path.name for path in out.parent.iterdir())
    monkeypatch.setattr(where, no_space)
    monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    with pytest.raises(SubbyteError, match="cannot be written: No space left on device"):
        saving.save(model, out, report={}, force=force)
    monkeypatch.undo()
    assert sorted(path.name for path in out.parent.iterdir()) == before
    if force:
        assert_same(loading.load(out), model)


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.write_bytes"])
def test_an_interruption_leaves_no_trace(model: Model, out: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        saving.save(model, out, report={}, force=True)
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert '"seed": 0' in (out / "report.json").read_text()


def test_a_rename_that_fails_half_way_puts_the_old_folder_back(
    model: Model, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def second_fails(path: Path, target: Path) -> Path:
        if ".subbyte-new-" in path.name:
            no_space()
        return rename(path, target)

    monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(SubbyteError, match="No space left"):
        saving.save(model, out, report={}, force=True)
    assert '"seed": 0' in (out / "report.json").read_text()
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_folders_without_exchange_are_replaced_too(model: Model, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    saving.save(model, out, report={}, force=True)
    assert '"seed": 0' not in (out / "report.json").read_text() and [path.name for path in out.parent.iterdir()] == [
        "out"
    ]


KILLED = """
import os, sys
from pathlib import Path
from subbyte.folders.atomic import new_folder
with new_folder(Path(sys.argv[1]), force=True) as folder:
    (folder / "half").write_text("half")
    os._exit(9)
"""


def test_what_a_killed_run_left_goes_with_the_next(model: Model, out: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED, out], env={**os.environ, "PYTHONPATH": ":".join(sys.path)}, check=False
    )
    left = [path.name for path in out.parent.iterdir() if path.name != "out"]
    assert len(left) == 1 and left[0].startswith(".out.subbyte-new-")
    assert_same(loading.load(out), model)
    saving.save(model, out, report={}, force=True)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_old_folder_that_was_only_moved_aside_comes_back(model: Model, out: Path) -> None:
    aside = out.parent / ".out.subbyte-old-00000000"
    out.rename(aside)
    with pytest.raises(RuntimeError, match="stop"), atomic.new_folder(out, force=True):
        raise RuntimeError("stop")
    assert_same(loading.load(out), model)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_the_folder_of_a_run_that_is_alive_is_left_alone(model: Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with atomic.new_folder(out, force=True) as other:
        (other / "half").write_text("half")
        saving.save(model, out, report={})
        assert (other / "half").exists()
    assert [path.name for path in out.iterdir()] == ["half"]  # the last to finish wins, whole
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
