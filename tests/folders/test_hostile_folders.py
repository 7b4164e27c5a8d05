"""Folders as a stranger would make them: every truncation and every number. See docs/security.md."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.hostile import FAMILY, SMALL, STUDENT, error_of, use, weights_of
from builders.tiny_marian import edit_json, tiny_marian_folder
from builders.tiny_student import BYTES, CONFIG, tiny_student, write_student
from subbyte.errors import FormatError, ModelError
from subbyte.folders import files
from subbyte.folders.converted import sums
from subbyte.folders.opening import open_model
from subbyte.folders.tensor_files import read_header
from subbyte.run.translation_engine import Engine
from subbyte.text.tokenizer import load_tokenizer


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
        (folder / CONFIG).write_text(
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
