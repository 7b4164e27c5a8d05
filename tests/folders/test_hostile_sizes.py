"""Folders that want much time or memory: large files, many tensors, deep JSON."""

from __future__ import annotations

import json
import os
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import subbyte
from builders.hostile import FAMILY, STUDENT, use, weights_of
from builders.tiny_marian import edit_json
from builders.tiny_student import BYTES, FLOAT32, marian_file, tiny_student, write_student
from subbyte.errors import ModelError
from subbyte.folders.converted import sums
from subbyte.folders.opening import open_model
from subbyte.text.tokenizer import load_tokenizer

SLACK = 16 << 20


# --- size and depth


def peak_of(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(FAMILY):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


JSON_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "vocab.json",
    "report.json",
    "manifest.json",
)


def read_all(folder: Path) -> None:
    use(folder)
    subbyte.inspect(folder)
    sums.verify(folder)


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize("item", [b"[],", b'"ab",', b'{"a":{}},', b"1.5,", b'"\xf0\x9f\x98\x80",'])
def test_a_small_file_does_not_become_large_in_memory(originals: Path, tmp_path: Path, name: str, item: bytes) -> None:
    folder = Path(shutil.copytree(originals / "converted", tmp_path / "m"))
    for size in (1 << 16, 1 << 19, 1 << 21):
        text = b'{"a": [' + item * (size // len(item) - 10) + b"0]}"
        (folder / name).write_bytes(text)
        total = sum(path.stat().st_size for path in folder.iterdir())
        start = time.process_time()
        assert peak_of(lambda: read_all(folder)) < total + SLACK
        assert time.process_time() - start < 1


@pytest.mark.parametrize("name", [*JSON_FILES, "source.spm", "model.safetensors"])
def test_a_huge_file_of_nothing_is_not_read(originals: Path, tmp_path: Path, name: str) -> None:
    """Files can have holes: a gigabyte that takes no space on the disk."""
    folder = Path(shutil.copytree(originals / "converted", tmp_path / "m"))
    os.truncate(folder / name, 1 << 30)
    assert peak_of(lambda: read_all(folder)) < SLACK


@pytest.mark.parametrize("kind", ["converted", "safetensors"])
def test_a_header_of_100_megabytes_is_not_read(originals: Path, tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(originals / kind, tmp_path / kind))
    size = 100 << 20
    weights_of(folder).write_bytes(size.to_bytes(8, "little") + b'{"a":')
    os.truncate(weights_of(folder), size + 16)
    assert peak_of(lambda: open_model(folder)) < SLACK


@pytest.mark.parametrize("count", [5_000, 9_000, 100_000])
@pytest.mark.parametrize("kind", ["converted", "safetensors"])
def test_many_tensors_are_refused_at_once(originals: Path, tmp_path: Path, kind: str, count: int) -> None:
    folder = Path(shutil.copytree(originals / kind, tmp_path / kind))
    header = b"{" + b",".join(b'"%x":{"dtype":"U8","shape":[],"data_offsets":[%d,%d]}' % (i, i, i + 1)
                              for i in range(count)) + b"}"  # fmt: skip
    weights_of(folder).write_bytes(len(header).to_bytes(8, "little") + header + bytes(count))
    start = time.process_time()
    assert peak_of(lambda: open_model(folder)) < weights_of(folder).stat().st_size + SLACK
    assert time.process_time() - start < 2  # counting memory takes most of it


def test_many_tensors_of_marian_are_refused_at_once(tmp_path: Path) -> None:
    tensors = {f"t{i}": (FLOAT32, (1,), bytes(4)) for i in range(20_000)}
    folder = write_student(tmp_path / "m", tiny_student(**STUDENT)[0])
    weights_of(folder).write_bytes(marian_file(tensors, alignment=4))
    start = time.process_time()
    with pytest.raises(ModelError):
        open_model(folder)
    assert time.process_time() - start < 1


def test_many_tensors_in_many_files_are_refused(originals: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(originals / "safetensors", tmp_path / "m"))
    weights_of(folder).unlink()
    index = {}
    for i in range(5):
        tensors = {f"{i}-{k}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for k in range(2000)}
        text = json.dumps(tensors, separators=(",", ":")).encode()
        (folder / f"{i}.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
        index |= dict.fromkeys(tensors, f"{i}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    with pytest.raises(ModelError, match="its files hold more than 8,192 tensors"):
        open_model(folder)


@pytest.mark.parametrize("depth", [63, 65, 300, 980, 5000])
@pytest.mark.parametrize("name", JSON_FILES)
def test_deep_json_is_refused_everywhere(originals: Path, tmp_path: Path, name: str, depth: int) -> None:
    folder = Path(shutil.copytree(originals / "converted", tmp_path / "m"))
    for text in ("[" * depth + "]" * depth, '{"a":' * depth + "0" + "}" * depth):
        document = (folder / name).read_text().rstrip()
        (folder / name).write_text(f'{document[:-1]}, "d_model2": {text}}}')
        try:
            read_all(folder)
        except FAMILY:
            pass
        else:
            assert depth < 64


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb"])
def test_half_a_character_is_refused_before_it_meets_a_file_name(folder: Path, value: str) -> None:
    for path in folder.glob("*.json"):
        if path.name != "manifest.json" and path.name != "report.json":
            text = path.read_text()
            edit_json_ascii(path, surprise=value)
            with pytest.raises(FAMILY, match="half of a surrogate pair"):
                use(folder)
            path.write_text(text)
    if folder.name == "safetensors":
        weights_of(folder).unlink()
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": value}}))
        with pytest.raises(ModelError, match="half of a surrogate pair"):
            open_model(folder)


def edit_json_ascii(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_characters_beyond_16_bits_are_whole(originals: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(originals / "converted", tmp_path / "m"))
    edit_json_ascii(folder / "config.json", surprise="\U0001f600 \\ud800")
    use(folder)


def test_the_card_of_a_source_is_bounded(originals: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(originals / "safetensors", tmp_path / "m"))
    os.truncate(folder / "README.md", 0) if (folder / "README.md").exists() else (folder / "README.md").touch()
    os.truncate(folder / "README.md", 1 << 30)
    assert peak_of(lambda: subbyte.quantize(folder, tmp_path / "out", "int8")) < SLACK
    assert not (tmp_path / "out").exists()


# --- tokenizer files


@pytest.mark.parametrize(
    ("name", "document", "message"),
    [
        ("tokenizer_config.json", {"added_tokens_decoder": {"9" * 5000: {"content": "x"}}}, "should be a whole number"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"\u0663": {"content": "x"}}}, "should be a whole number"),
        ("tokenizer_config.json", {"extra_special_tokens": ["x" * 1000 + str(i) for i in range(90)]}, "added tokens"),
        ("vocab.json", {"a" * 5: 0, "b": 2**63}, "should be a whole number below"),
        ("vocab.json", {}, "has no unknown token"),
    ],
)
def test_tokenizer_files_are_bounded(
    originals: Path, tmp_path: Path, name: str, document: dict[str, Any], message: str
) -> None:
    folder = Path(shutil.copytree(originals / "safetensors", tmp_path / "m"))
    if "extra_special_tokens" in document:  # words enough for them
        edit_json(folder / "config.json", vocab_size=1000, decoder_vocab_size=1000)
    (folder / name).write_text(json.dumps(document))
    with pytest.raises(ModelError, match=message):
        load_tokenizer(folder, json.loads((folder / "config.json").read_text()))


def test_options_in_a_marian_file_are_bounded(tmp_path: Path) -> None:
    tensors, _ = tiny_student(**STUDENT)
    text = tensors["special:model.yml"][2].rstrip(b"\0") + b"\n" + b"# no\n" * 20000 + b"\0"
    tensors["special:model.yml"] = (BYTES, (len(text),), text)
    with pytest.raises(ModelError, match="or a large one"):
        open_model(write_student(tmp_path / "m", tensors))
