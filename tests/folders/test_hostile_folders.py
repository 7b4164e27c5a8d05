"""Folders as a stranger would make them: an error of ours, in little time and memory. See docs/security.md."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import subbyte
from builders.tiny_marian import edit_json, tiny_marian_folder
from builders.tiny_student import BYTES, FLOAT32, marian_file, tiny_student, tiny_student_folder, write_student
from subbyte.errors import FormatError, ModelError, UsageError
from subbyte.folders import files
from subbyte.folders.converted import saving, sums
from subbyte.folders.opening import open_model
from subbyte.folders.tensor_files import read_header
from subbyte.run.translation_engine import Engine
from subbyte.text.tokenizer import load_tokenizer

KINDS = ("converted", "safetensors", "bergamot")
SMALL: dict[str, Any] = {
    "d_model": 4, "encoder_layers": 1, "encoder_attention_heads": 1, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 4, "decoder_ffn_dim": 4, "max_position_embeddings": 8,
}  # fmt: skip
STUDENT: dict[str, Any] = {
    "dim_emb": "4", "transformer_heads": "2", "transformer_dim_ffn": "4", "enc_depth": "1", "dec_depth": "1",
}  # fmt: skip
FAMILY = (FormatError, ModelError)
SLACK = 16 << 20


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder of every kind, each under its name; not to be changed."""
    home = tmp_path_factory.mktemp("hostile")
    subbyte.quantize(tiny_marian_folder(home / "safetensors", **SMALL), home / "converted", "uniform3")
    tiny_student_folder(home / "bergamot", **STUDENT)
    return home


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, originals: Path, tmp_path: Path) -> Path:
    """A copy of one, which may be spoiled; its name is the kind."""
    return Path(shutil.copytree(originals / request.param, tmp_path / request.param))


def weights_of(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.name.startswith("model") and path.suffix != ".json")


def error_of(folder: Path) -> type[Exception]:
    """What a folder of this kind is refused with."""
    return FormatError if folder.name == "converted" else ModelError


def use(folder: Path) -> None:
    """Everything that reads a folder."""
    model = open_model(folder)
    tokenizer = load_tokenizer(folder, model.config)
    subbyte.Translator(Engine(model, threads=1), tokenizer).translate(["a dog"], max_length=5)


def every_integer(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the integers of a document are."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        if type(value) is int:
            yield (*path, key)
        elif isinstance(value, dict | list):
            yield from every_integer(value, (*path, key))


# --- truncations


def test_every_truncation_of_the_weights_is_refused(folder: Path) -> None:
    """Every length by the reader of the file (of Marian's file in test_bergamot), every 101st by that of the folder."""
    path = weights_of(folder)
    error = error_of(folder)
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        if length % 101 == 0:
            with pytest.raises(error):
                open_model(folder)
        elif folder.name != "bergamot":
            with path.open("rb") as file, pytest.raises(error):
                read_header(file, "it", error)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "manifest.json"])
def test_every_truncation_of_a_json_file_is_refused(originals: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(originals / "converted", tmp_path / "converted"))
    data = (folder / name).read_bytes()
    for length in range(len(data.rstrip())):
        (folder / name).write_bytes(data[:length])
        with pytest.raises(FormatError):
            files.read_json(folder, name, FormatError)
        if length % 41 == 0:
            with pytest.raises(FormatError):
                sums.verify(folder) if name == "manifest.json" else open_model(folder)


def test_every_truncation_of_a_tokenizer_file_is_refused_or_harmless(folder: Path) -> None:
    for path in [*folder.glob("vocab.json"), *folder.glob("tokenizer_config.json"), *folder.glob("*.yml")]:
        data = path.read_bytes()
        for length in range(0, len(data), 37):
            path.write_bytes(data[:length])
            try:
                load_tokenizer(folder, open_model(folder).config)
            except FAMILY:
                continue
            assert path.suffix == ".yml" or not length  # a list may end anywhere; an empty one leaves the usual names
        path.write_bytes(data)


# --- numbers

STRANGE = (0, 1, -1, 2**31, 2**42 + 1, 2**53, 2**63, 2**64 - 1, 2**64)


@pytest.mark.parametrize("kind", ["converted", "safetensors"])  # test_bergamot has those of the third
def test_every_integer_of_a_header_is_checked(originals: Path, tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(originals / kind, tmp_path / kind))
    path = weights_of(folder)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    rng = np.random.default_rng(0)
    for place in every_integer(header):
        *outer, last = place
        owner = header
        for key in outer:
            owner = owner[key]
        old = owner[last]
        for new in rng.choice(len(STRANGE), 3, replace=False):
            new = STRANGE[new]
            owner[last] = new
            text = json.dumps(header).encode()
            path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
            if new != old:
                with pytest.raises(error_of(folder)):
                    open_model(folder)
        owner[last] = old


@pytest.mark.parametrize("value", [*STRANGE, None, 1.5, "8", True, [8], {}])
def test_every_number_of_a_configuration_is_checked(folder: Path, value: object) -> None:
    """Changed, it is refused, or the folder is another model that still runs."""
    if folder.name == "bergamot":
        options = "\n".join(f"{key}: {value}" for key in ("beam-size", "normalize", "word-penalty"))
        (folder / "config.intgemm8bitalpha.yml").write_text(
            f"models:\n  - {weights_of(folder).name}\nvocabs:\n  - vocab.xxyy.spm\n  - vocab.xxyy.spm\n{options}\n"
        )
        try:
            use(folder)
        except FAMILY:
            assert value not in ("8", 1.5)
        else:
            assert value in ("8", 0, 1, 1.5)
        return
    for name in ("config.json", "generation_config.json"):
        document = json.loads((folder / name).read_text())
        for key in [key for key, old in document.items() if type(old) is int]:
            edit_json(folder / name, **{key: value})
            try:
                use(folder)
            except FAMILY:
                pass
            edit_json(folder / name, **{key: document[key]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_beams": 9999}, "num_beams is 9999, should be a whole number from 0 to 256"),
        ({"num_beams": "4"}, "num_beams is '4'"),
        ({"num_beams": True}, "num_beams is True"),
        ({"max_length": -5}, "max_length is -5"),
        ({"max_length": 1}, "max_length is 1, should be at least 2"),
        ({"max_length": 20.5}, "max_length is 20.5"),
        ({"min_length": -1}, "min_length is -1"),
        ({"min_length": 2**64}, "min_length is 18446744073709551616"),
        ({"length_penalty": "long"}, "length_penalty is 'long'"),
        ({"length_penalty": 10**400}, "length_penalty is 1000"),
        ({"length_penalty": [1.0]}, r"length_penalty is \[1.0\]"),
    ],
)
def test_search_settings_are_checked(originals: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    for kind in ("converted", "safetensors"):
        folder = Path(shutil.copytree(originals / kind, tmp_path / kind))
        edit_json(folder / "generation_config.json", **change)
        with pytest.raises(error_of(folder), match=message):
            open_model(folder)
        settings = json.loads((folder / "generation_config.json").read_text())
        (folder / "generation_config.json").unlink()  # an old folder
        edit_json(folder / "config.json", **settings)
        with pytest.raises(error_of(folder), match=message):
            open_model(folder)


@pytest.mark.parametrize(
    "line", ["beam-size: 9999", "beam-size: -5", "normalize: 999999999", "beam-size: [4]", "normalize: x"]
)
def test_search_settings_of_a_yml_are_checked(tmp_path: Path, line: str) -> None:
    folder = write_student(tmp_path / "m", tiny_student(**STUDENT)[0], config=f"{line}\n")
    with pytest.raises(ModelError):
        open_model(folder)


def test_a_model_that_may_say_nothing_is_an_error(originals: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(originals / "safetensors", tmp_path / "m"))
    words = json.loads((folder / "config.json").read_text())["vocab_size"]
    edit_json(folder / "generation_config.json", suppress_tokens=[*range(words)], forced_eos_token_id=None)
    with pytest.raises(ModelError, match="no translation was found: every word is banned"):
        use(folder)


@pytest.mark.parametrize("largest", [3e38, 1e30])
@pytest.mark.parametrize("beam_size", [1, 6])
def test_weights_whose_sums_overflow_do_no_harm(tmp_path: Path, largest: float, beam_size: int) -> None:
    """Some words get scores that are not numbers: candidates are still sorted, and only numbers are chosen."""
    model = open_model(tiny_marian_folder(tmp_path / "m", **SMALL))
    embedding = model.tensors["model.shared.weight"]
    assert isinstance(embedding, np.ndarray)
    embedding[::3] = largest * np.sign(embedding[::3])
    engine = Engine(model, threads=1)
    try:
        found = engine.translate(
            [[5, 9, 2, 0], [7, 0]], engine.generation(beam_size=beam_size, num_hypotheses=beam_size)
        )
    except ModelError:
        return
    assert all(not np.isnan(hypothesis.score) for hypotheses in found for hypothesis in hypotheses)


def test_scales_may_be_as_small_as_halves_can_say(originals: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(originals / "converted", tmp_path / "m"))
    data = bytearray((folder / "model.safetensors").read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    for name, entry in json.loads(data[8:start]).items():
        if ".scale" in name:
            first, last = (start + offset for offset in entry["data_offsets"])
            data[first:last] = struct.pack("<H", 1) * ((last - first) // 2)  # the smallest denormal number
    (folder / "model.safetensors").write_bytes(data)
    use(folder)


def test_special_ids_that_are_missing_are_named(originals: Path, tmp_path: Path) -> None:
    for kind in ("converted", "safetensors"):
        folder = Path(shutil.copytree(originals / kind, tmp_path / kind))
        for name in ("config.json", "generation_config.json"):
            edit_json(folder / name, eos_token_id=..., forced_eos_token_id=...)
        with pytest.raises(ModelError, match="name no eos_token_id"):
            use(folder)
        edit_json(folder / "config.json", eos_token_id=0, pad_token_id=...)
        with pytest.raises(error_of(folder), match="pad_token_id is None"):
            use(folder)


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


# --- other files than those that were meant


def test_links_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("lex", "manifest", "report", "README")):
            continue
        path.rename(tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
        with pytest.raises(FAMILY, match="leads out of the folder"):
            use(folder)
        path.unlink()
        (tmp_path / path.name).rename(path)
    use(folder)


def test_pipes_do_not_block(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("lex", "manifest", "report", "README")):
            continue
        data = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(FAMILY, match="not a regular file"):
            use(folder)
        path.unlink()
        path.write_bytes(data)


def test_hard_links_are_files_like_others(folder: Path, tmp_path: Path) -> None:
    os.link(weights_of(folder), tmp_path / "other name")
    use(folder)


def test_a_file_that_becomes_a_pipe_after_it_was_checked_does_not_block(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights_of(folder)
    checked = files.open_regular

    def swap(opened: Path) -> Any:
        if opened.name == path.name and opened.is_file():
            opened.unlink()
            os.mkfifo(opened)
        return checked(opened)

    for module in ("converted.loading", "hugging_face.checkpoint", "bergamot.model_file"):
        monkeypatch.setattr(f"subbyte.folders.{module}.open_regular", swap)
    with pytest.raises(error_of(folder), match="no longer a regular file"):
        open_model(folder)


@pytest.mark.parametrize("left", [0, 1, 0.5, 0.99])
def test_a_file_that_shrinks_while_it_is_read_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, left: float
) -> None:
    """It is cut after its size was asked for, as by a download that begins again."""
    path = weights_of(folder)
    size = path.stat().st_size
    fstat = os.fstat

    def cut(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        if found.st_ino == path.stat().st_ino and found.st_size == size and cut.calls:  # type: ignore[attr-defined]
            os.truncate(path, int(left) if left in (0, 1) else int(size * left))
        cut.calls += found.st_ino == path.stat().st_ino  # type: ignore[attr-defined]
        return found

    cut.calls = 0  # type: ignore[attr-defined]  # the first look is whether it is a regular file
    monkeypatch.setattr(os, "fstat", cut)
    with pytest.raises(error_of(folder), match=r"cut short|not a whole|not valid JSON"):
        open_model(folder)


def test_weights_that_were_read_do_not_change_with_the_file(folder: Path) -> None:
    model = open_model(folder)
    engine = Engine(model, threads=1)
    before = engine.logits([5, 0], [3, 4])
    weights_of(folder).write_bytes(b"")
    assert np.array_equal(before, Engine(model, threads=1).logits([5, 0], [3, 4]))


def test_a_folder_is_never_saved_onto_itself(originals: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(originals / "converted", tmp_path / "m"))
    with pytest.raises(UsageError, match="is the folder of the source model"):
        saving.save(open_model(folder), folder, report={}, force=True)
    use(folder)


# --- settings against tensors


@pytest.mark.parametrize(
    "change",
    [
        {"encoder_layers": 2},
        {"decoder_layers": 256},
        {"d_model": 8},
        {"encoder_ffn_dim": 65536},
        {"encoder_ffn_dim": 65537},  # the core sums at most 65,536 products
        {"decoder_ffn_dim": 8},
        {"vocab_size": 1 << 24, "decoder_vocab_size": 1 << 24},
        {"tie_word_embeddings": False},
        {"share_encoder_decoder_embeddings": False},
        {"encoder_attention_heads": 3},
        {"max_position_embeddings": 1},
        {"quantization_config": {"quant_method": "subbyte", "format_version": True, "recipe": {}}},
        {"quantization_config": {"quant_method": "subbyte", "format_version": 2**70, "recipe": {}}},
        {"quantization_config": {"quant_method": "subbyte", "format_version": -1, "recipe": {}}},
        {"architectures": ["BergamotStudent"]},
    ],
)
@pytest.mark.parametrize("kind", ["converted", "safetensors"])
def test_the_configuration_must_fit_the_tensors(
    originals: Path, tmp_path: Path, kind: str, change: dict[str, Any]
) -> None:
    folder = Path(shutil.copytree(originals / kind, tmp_path / kind))
    edit_json(folder / "config.json", **change)
    with pytest.raises(FAMILY):
        use(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"dim_emb": "8"}, {"enc_depth": "2"}, {"dec_depth": "256"}, {"transformer_dim_ffn": "65537"},
        {"transformer_decoder_autoreg": "self-attention"}, {"tied_embeddings_all": "false"}, {"transformer_heads": "3"},
    ],
)  # fmt: skip
def test_the_options_must_fit_the_tensors(tmp_path: Path, change: dict[str, str]) -> None:
    tensors, _ = tiny_student(**STUDENT)
    text = tensors["special:model.yml"][2].rstrip(b"\0").decode()
    for key, value in change.items():
        name = key.replace("_", "-")
        text = "\n".join(f"{name}: {value}" if line.startswith(f"{name}:") else line for line in text.splitlines())
    data = text.encode() + b"\0"
    tensors["special:model.yml"] = (BYTES, (len(data),), data)
    with pytest.raises(ModelError):
        open_model(write_student(tmp_path / "m", tensors))
