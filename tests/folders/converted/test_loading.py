"""Converted folders that are damaged are refused, all their faults at once."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.same_models import assert_same
from builders.tiny_marian import edit_json, tiny_marian_folder
from builders.tiny_packed import quantized
from subbyte.errors import FormatError, SubbyteError
from subbyte.folders.converted import loading, saving, weights_manifest, weights_reader
from subbyte.folders.opening import open_model
from subbyte.folders.tensor_files import read_header
from subbyte.models.model import Model


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
    for i, path in enumerate(places(weights_manifest.manifest_of(model, "p"))):
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
        (lambda m: m.update(format_version=3), "written by a later subbyte.*upgrade subbyte"),
        (lambda m: m.update(format_version=0), "format_version is 0"),
        (lambda m: m.pop("format_version"), "format_version is None"),
        (lambda m: m.update(surprise=1), "surprise"),
        (
            lambda m: [m.pop(k) for k in ("aliases", "architecture")] and m.update(format_version=2),
            "list of 1|version 2",
        ),
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
        {"quantization_config": {"quant_method": "subbyte", "format_version": 3, "recipe": {}}},
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
