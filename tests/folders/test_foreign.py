"""Paths that are no model of ours: the sentence names what is there, and what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import subbyte
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_student import tiny_student_folder
from subbyte.errors import FormatError, ModelError, UsageError
from subbyte.folders.foreign import hub_name
from subbyte.folders.opening import open_model

CONFIG = {"model_type": "marian", "architectures": ["MarianMTModel"]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a model in "translator"."""
    monkeypatch.chdir(tmp_path)
    tiny_marian_folder(tmp_path / "translator")
    return tmp_path


def refusal(path: str | Path) -> str:
    """The sentence that refuses a path."""
    with pytest.raises(ModelError) as caught:
        open_model(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Helsinki-NLP/opus-mt-en-de", "Helsinki-NLP/opus-mt-en-de"), ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
        ("https://huggingface.co/a/b", "a/b"), ("https://hf.co/a/b/tree/main", "a/b"), ("hf.co/a/b-c.d", "a/b-c.d"),
        ("./a/b/c", None), ("/a/b", None), ("../a", None), ("~/a", None), ("a/b/c", None), ("a/config.json", None),
        ("m.gguf", None), ("https://example.com/a/b", None), ("a b", None), ("", None), ("-x", None),
    ],
)  # fmt: skip
def test_names_of_the_hub(path: str, name: str | None) -> None:
    assert hub_name(path) == name


@pytest.mark.parametrize("name", ["Helsinki-NLP/opus-mt-en-de", "all-MiniLM-L6-v2", "https://huggingface.co/x/y"])
def test_a_name_of_the_hub_is_told_how_to_get_it(home: Path, name: str) -> None:
    wanted = name.removeprefix("https://huggingface.co/")
    assert f"there is no such folder; if it is a model of the Hugging Face hub, run subbyte download {wanted} once" in (
        refusal(name)
    )


def test_a_slip_is_told_the_folder_beside_it(home: Path) -> None:
    assert refusal("translater").endswith("did you mean translator?")
    assert refusal(home / "nothing") == f"{home / 'nothing'}: there is no such folder"
    assert "it is a web address" in refusal("https://example.com/model.tar.gz")


def test_files_inside_a_model_name_its_folder(home: Path) -> None:
    tiny_student_folder(home / "student")
    files = [*(home / "translator").iterdir(), *(home / "student").iterdir()]
    assert len(files) > 5
    for file in files:
        assert f"is a file; a model is a folder: give the one it is in, {file.parent}" in (refusal(file))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("m.gguf", r"GGUF \(llama.cpp\), and is"), ("M.ONNX", "ONNX, and is not read"), ("m.npz", "Marian's"),
        ("m.tar.gz", "an archive: unpack it"), ("m.zip", "an archive: unpack it"), ("m.h5", "TensorFlow's"),
        ("m.pt", "a pickle of PyTorch"),
    ],
)  # fmt: skip
def test_other_files_are_named(home: Path, name: str, what: str) -> None:
    (home / name).touch()
    assert re.search(rf"{re.escape(name)}: is a file; .*; it is {what}", refusal(name))


def test_folders_too_high_name_the_model_below(home: Path) -> None:
    assert refusal(".").endswith("; give a folder in it, such as translator")
    shutil.copytree(home / "translator", home / "cache" / "snapshots" / "abc")
    (home / "cache" / "blobs").mkdir()
    assert refusal("cache").endswith("; give a folder in it, such as cache/snapshots/abc")
    for name in "bcd":
        shutil.copytree(home / "translator", home / name)
    assert refusal(".").endswith("; give a folder in it, such as b, c, d and 1 more")


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ([], "it is empty$"), (["adapter_config.json", "adapter_model.safetensors"], "adapter.*into a/b first.*peft"),
        (["m.gguf"], r"it holds m.gguf, which is GGUF"), (["model.onnx"], "ONNX and is not read; give the"),
        (["model.bin", "shared_vocabulary.json"], "CTranslate2's"), (["a.xml", "a.bin"], "OpenVINO's"),
        (["tf_model.h5"], "TensorFlow's"), (["flax_model.msgpack"], "Flax's"), (["rust_model.ot"], "rust-bert's"),
        (["model.pt"], "a pickle of PyTorch"),
        (["model.safetensors"], "weights, but not the"), (["a", "b", "c", "d"], "a, b, c and 1 more$"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("configured", [False, True])
def test_folders_of_other_formats(home: Path, files: list[str], what: str, configured: bool) -> None:
    folder = home / "other"
    folder.mkdir()
    for name in files:
        (folder / name).write_text(json.dumps({"base_model_name_or_path": "a/b"}))
    if configured and not re.search("config|empty|adapter|more|weights", what):
        shutil.copy(home / "translator" / "config.json", folder)
        assert re.search(rf"has no weights.*{what}", refusal(folder))
    elif not configured and files != ["model.bin", "shared_vocabulary.json"]:  # which looks like Marian's
        assert re.search(rf"is not a model folder: it has no config.json.*; .*{what}", refusal(folder))


@pytest.mark.parametrize(
    ("family", "what"),
    [
        ("t5", "an encoder-decoder"), ("mbart", "an encoder-decoder"), ("m2m_100", "an encoder-decoder"),
        ("llama", "a language model that"), ("qwen3", "a language model that"), ("xlm-roberta", "an encoder of"),
        ("whisper", "a model of images or sound"), (None, "so it is not the config.json"),
    ],
)  # fmt: skip
def test_other_models_are_named(home: Path, family: str | None, what: str) -> None:
    (home / "other").mkdir()
    (home / "other" / "config.json").write_text(json.dumps({"model_type": family} if family else {"a": 1}))
    assert re.search(rf"model_type {family!r} \({what}.*\), which is not supported; supported: ", refusal("other"))


def test_an_adapter_beside_a_config_is_named(home: Path) -> None:
    (home / "other").mkdir()
    (home / "other" / "config.json").write_text("{}")
    (home / "other" / "adapter_config.json").write_text("[3]")
    assert "put it into the model it was trained on first" in refusal("other")


def test_a_pickle_is_told_how_to_convert_it_in_parts_too(home: Path) -> None:
    for name in ("pytorch_model.bin", "pytorch_model-00001-of-00002.bin"):
        folder = home / name.partition(".")[0]
        shutil.copytree(home / "translator", folder)
        (folder / "model.safetensors").rename(folder / name)
        assert re.search(rf"holds its weights in {name}, a pickle.*save_pretrained\('{folder}'\)", refusal(folder))


def test_nothing_that_blocks_is_opened(home: Path) -> None:
    (home / "other").mkdir()
    os.mkfifo(home / "other" / "adapter_config.json")
    (home / "other" / "sub").mkdir()
    os.mkfifo(home / "other" / "sub" / "config.json")
    assert "holds an adapter" in refusal("other")


@pytest.mark.parametrize("name", [None, 3, b"folder", ["folder"]])
def test_what_is_no_name_of_a_folder_is_said(home: Path, name: Any) -> None:
    calls = (open_model, subbyte.inspect, subbyte.verify, lambda one: subbyte.quantize(one, "out", "int8"))
    for call in (*calls, lambda one: subbyte.quantize("translator", one, "int8")):
        with pytest.raises(UsageError, match=re.escape(f"{name!r} is no name of a file or folder")):
            call(name)


def test_only_what_we_wrote_is_verified(home: Path) -> None:
    with pytest.raises(FormatError, match=r"^translator: has no manifest.json: it was not written by subbyte"):
        subbyte.verify("translator")
    with pytest.raises(FormatError, match=r"there is no such folder; did you mean translator\?"):
        subbyte.verify("translater")
    with pytest.raises(FormatError, match="is a file; a model is a folder: give the one it is in, translator"):
        subbyte.verify("translator/config.json")
