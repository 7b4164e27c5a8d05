"""Packed folders: the vocabularies in few bytes, only those that are read, and the same ids of every text."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

import subbyte
from builders.tiny_encoder import tiny_encoder_folder
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import quantized
from builders.tiny_student import tiny_student_folder
from subbyte.errors import FormatError, ModelError
from subbyte.folders import compressed_file
from subbyte.folders.converted import loading, saving, tokenizer_files
from subbyte.folders.opening import open_model
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer
from subbyte.text.tokenizer import load_tokenizer

LINES = [
    "a small dog runs in the park",
    "zwei Hunde, drei K\u00e4tzchen",
    "",
    "\u2581 <unk> </s>",
    "a b c \U0001f600 d",
]
LETTERS = "abcdefghijklmnop"
BOMB = lzma.compress(bytes(1 << 26))
PACKED = (".xz", ".gz")


def one_vocabulary(folder: Path) -> Path:
    """A MarianMT folder whose two sentencepiece models are the same."""
    shutil.copyfile(tiny_marian_folder(folder) / "source.spm", folder / "target.spm")
    return folder


def parts_only(folder: Path) -> Path:
    """An encoder of the days before tokenizer.json."""
    (tiny_encoder_folder(folder, words=[a + b for a in LETTERS for b in LETTERS]) / "tokenizer.json").unlink()
    return folder


SOURCES: dict[str, Callable[[Path], Path]] = {
    "translation": tiny_marian_folder,
    "one vocabulary": one_vocabulary,
    "student": tiny_student_folder,
    "two vocabularies": lambda folder: tiny_student_folder(
        folder, separate=True, tied_embeddings_all=None, tied_embeddings="true"
    ),
    "encoder": tiny_encoder_folder,
    "encoder, vocab.txt": parts_only,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each kind a source, and it converted, plain and packed; not to be changed."""
    home = tmp_path_factory.mktemp("folders")
    for kind, make in SOURCES.items():
        model = quantized(make(home / kind / "source"), "uniform4")
        (home / kind / "source" / "README.md").write_text("---\nlicense: mit\n---\n# A model\n\nOf somebody.\n")
        saving.save(model, home / kind / "plain", report={"seed": 0})
        saving.save(model, home / kind / "packed", report={"seed": 0}, packed=True)
    return home


def ids_of(folder: Path) -> list[list[int]]:
    model = open_model(folder)
    if model.task == "encode":
        return load_encoder_tokenizer(folder, model.config).encode([(line,) for line in LINES])[0]
    tokenizer = load_tokenizer(folder, model.config)
    ids = [tokenizer.encode(line) + tokenizer.encode_target(line) for line in LINES]
    assert [tokenizer.decode(one) for one in ids] == [load_tokenizer(folder, model.config).decode(one) for one in ids]
    return ids


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_packed_folder_has_the_ids_of_the_plain_one(folders: Path, kind: str) -> None:
    home = folders / kind
    assert ids_of(home / "packed") == ids_of(home / "plain") == ids_of(home / "source")
    plain, packed = (sum(f.stat().st_size for f in (home / name).iterdir() if f.name in tokenizer(home / name))
                     for name in ("plain", "packed"))  # fmt: skip
    assert packed < plain
    assert len(subbyte.verify(home / "packed")) == len(names_in(home / "packed")) - 1


def tokenizer(folder: Path) -> set[str]:
    """The names of the files of the tokenizer, packed or not."""
    said = names_in(folder) - {"config.json", "model.safetensors", "report.json", "manifest.json", "README.md"}
    return said - {"generation_config.json"}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("translation", {"source.spm", "target.spm", "vocab.json", "tokenizer_config.json"}),
        ("one vocabulary", {"source.spm", "vocab.json", "tokenizer_config.json"}),
        ("student", {"vocab.xxyy.spm"}),
        ("two vocabularies", {"srcvocab.xxyy.spm", "trgvocab.xxyy.spm"}),
        ("encoder", {"tokenizer.json", "tokenizer_config.json"}),
        ("encoder, vocab.txt", {"vocab.txt", "tokenizer_config.json"}),
    ],
)
def test_only_what_is_read_is_there(folders: Path, kind: str, names: set[str]) -> None:
    assert {compressed_file.plain_name(name) for name in tokenizer(folders / kind / "packed")} == names


@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_left_out_is_never_opened(folders: Path, tmp_path: Path, kind: str) -> None:
    """Spoiled in the plain folder, it changes nothing."""
    plain = Path(shutil.copytree(folders / kind / "plain", tmp_path / "plain"))
    kept = {compressed_file.plain_name(name) for name in names_in(folders / kind / "packed")}
    for name in names_in(plain) - kept - ({"target.spm"} if kind == "one vocabulary" else set()):
        (plain / name).write_bytes(b"\xff spoiled")
    assert ids_of(plain) == ids_of(folders / kind / "source")


@pytest.mark.parametrize("kind", SOURCES)
def test_saved_again_a_folder_is_what_it_was(folders: Path, tmp_path: Path, kind: str) -> None:
    """Plain from packed, and packed from plain; search settings and the card but for its numbers stay as they came."""
    for first, second in (("packed", "plain"), ("plain", "packed"), ("packed", "packed")):
        model, out = loading.load(folders / kind / first), tmp_path / f"{first}-{second}"
        saving.save(model, out, report={"seed": 0}, packed=second == "packed")
        wanted = folders / kind / second
        assert {compressed_file.plain_name(name) for name in names_in(out)} <= {
            compressed_file.plain_name(name) for name in names_in(wanted)
        }
        for path in out.iterdir():
            if path.name == "README.md":
                assert path.read_text().count("\n") == (wanted / path.name).read_text().count("\n")
                assert "\nbase_model: source\n" in path.read_text()
            elif path.name == "generation_config.json":
                assert json.loads(path.read_bytes()) == json.loads((wanted / path.name).read_bytes())
            elif path.name != "manifest.json":
                assert path.read_bytes() == (wanted / path.name).read_bytes(), path.name


def test_json_of_a_packed_folder_says_the_same_in_fewer_bytes(folders: Path) -> None:
    home = folders / "translation"
    for name in ("config.json", "report.json", "manifest.json"):
        plain, packed = ((home / folder / name).read_bytes() for folder in ("plain", "packed"))
        assert len(packed) < len(plain) and b"\n" not in packed.rstrip(b"\n")
        if name != "manifest.json":
            of = json.loads(packed)
            if name == "config.json":
                of["quantization_config"]["format_version"] = json.loads(plain)["quantization_config"]["format_version"]
            assert of == json.loads(plain)


# --- strangers


def refusal(folder: Path) -> str:
    with pytest.raises((FormatError, ModelError)) as error:
        ids_of(folder)
    return str(error.value)


@pytest.fixture(params=SOURCES)
def spoiled(request: pytest.FixtureRequest, folders: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders / request.param / "packed", tmp_path / "packed"))


def vocabularies(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix in PACKED)
    assert found
    return found


def test_damaged_vocabularies_are_named(spoiled: Path) -> None:
    for path in vocabularies(spoiled):
        whole = path.read_bytes()
        step = max(1, len(whole) // 12)
        for damaged in [whole[:size] for size in (*range(0, len(whole), step), len(whole) - 1)]:
            path.write_bytes(damaged)
            assert str(path) in refusal(spoiled), len(damaged)
        for damaged in (
            b"garbage" * 40,
            whole + b"x",
            whole + b"\0garbage",
            whole + b"garbage" * 9,
            whole + whole[:20],
        ):
            path.write_bytes(damaged)
            assert str(path) in refusal(spoiled)
        path.write_bytes(whole)
        path.rename(spoiled / "gone")
        assert "the file is missing" in refusal(spoiled)
        path.symlink_to(shutil.move(spoiled / "gone", spoiled.parent / "outside"))
        assert f"{path}: is a link that leads out of the folder" in refusal(spoiled)
        path.unlink()
        os.mkfifo(path)
        assert f"{path}: is not a regular file" in refusal(spoiled)
        path.unlink()
        shutil.move(spoiled.parent / "outside", path)
    ids_of(spoiled)


def test_bombs_are_refused_before_they_take_memory(spoiled: Path) -> None:
    for path in vocabularies(spoiled):
        whole = path.read_bytes()
        path.unlink()
        bomb = path.with_suffix(".xz")
        bomb.write_bytes(BOMB)
        tracemalloc.start()
        try:
            assert f"{bomb}: unpacks to more than" in refusal(spoiled)
            assert tracemalloc.get_traced_memory()[1] < 36 * bomb.stat().st_size + (16 << 20)
        finally:
            tracemalloc.stop()
        bomb.write_bytes(lzma.compress(b"x" * 100, preset=9))  # asks for 65 MiB
        assert f"{bomb}: cannot be unpacked: Memory usage limit exceeded (in at most 10 MiB" in refusal(spoiled)
        bomb.unlink()
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "named", [5, [], {}, {"source": "source.spm"}, {"source": "../source.spm", "target": "source.spm"}, "source.spm",
              {"source": "source.spm.xz", "target": "x"}, {"source": 1, "target": 2}],
    ids=str,
)  # fmt: skip
def test_names_of_files_that_are_none(folders: Path, tmp_path: Path, named: object) -> None:
    folder = Path(shutil.copytree(folders / "one vocabulary" / "packed", tmp_path / "packed"))
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"]["sentencepiece"] = named
    (folder / "config.json").write_text(json.dumps(config))
    assert "should name the source's and the target's file, each *.spm" in refusal(folder)


def test_what_is_there_unpacked_is_read(folders: Path, tmp_path: Path) -> None:
    """xz -dk makes the source's files again, which other programs read; they stay beside the packed ones."""
    folder = Path(shutil.copytree(folders / "translation" / "packed", tmp_path / "packed"))
    for path in vocabularies(folder):
        shutil.copyfile(folders / "translation" / "source" / path.stem, path.with_suffix(""))
        path.write_bytes(b"never read")
    assert ids_of(folder) == ids_of(folders / "translation" / "plain")


def test_without_lzma_gzip_packs_and_a_sentence_says_what_to_do(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some Pythons are built without it."""
    monkeypatch.setitem(__import__("sys").modules, "lzma", None)  # import raises ImportError
    model = loading.load(folders / "student" / "plain")
    saving.save(model, tmp_path / "out", report={}, packed=True)
    assert "vocab.xxyy.spm.gz" in names_in(tmp_path / "out")
    assert ids_of(tmp_path / "out") == ids_of(folders / "student" / "plain")
    assert "built without its module lzma; unpack it (xz -d vocab.xxyy.spm.xz)" in refusal(folders / "student/packed")


def test_what_would_unpack_to_too_much_stays_as_it_is() -> None:
    name, content = compressed_file.smallest("vocab.txt", b"a" * (1 << 24))
    assert (name, len(content)) == ("vocab.txt", 1 << 24)
    assert compressed_file.smallest("vocab.txt", b"") == ("vocab.txt", b"")
    assert tokenizer_files.FILES[:2] == ("source.spm", "target.spm")
