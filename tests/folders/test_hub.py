"""Models from the Hugging Face hub: which files are fetched, into what, and what is said where that cannot be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builders.encoder_folders import classifier_folder, sentence_folder
from builders.fake_hub import fake_hub
from builders.local_hub import COMMIT, GATED, local_hub
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_student import tiny_student_folder
from subbyte.errors import UsageError
from subbyte.folders.hub import download, wanted_files
from subbyte.folders.opening import open_model

Fetch = Callable[..., subprocess.CompletedProcess[str]]
PROGRAM = "from subbyte.cli.app import main; main()"


def test_the_files_that_are_fetched() -> None:
    marian = "config.json generation_config.json source.spm target.spm vocab.json tokenizer_config.json".split()
    strange = "tf_model.h5 rust_model.ot flax_model.msgpack onnx/model.onnx onnx/config.json .gitattributes".split()
    strange += ["pytorch_model.bin", "pytorch_model.bin.index.json", "train_script.py", "openvino/openvino_model.xml"]
    assert wanted_files([*marian, "model.safetensors", *strange]) == sorted([*marian, "model.safetensors"])
    assert wanted_files([*marian, *strange]) == sorted([*marian, "pytorch_model.bin", "pytorch_model.bin.index.json"])
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert wanted_files(["config.json", *shards, "model.safetensors.index.json", "model.fp16.safetensors"]) == [
        "config.json", *shards, "model.safetensors.index.json",
    ]  # fmt: skip
    sentences = "1_Pooling/config.json 2_Dense/config.json 2_Dense/model.safetensors README.md config.json".split()
    sentences += ["model.safetensors", "modules.json", "sentence_bert_config.json", "tokenizer.json", "vocab.txt"]
    assert wanted_files([*sentences, "2_Dense/pytorch_model.bin", "data/big.json"]) == sentences
    student = ["lex.50.50.ende.s2t.bin.gz", "model.ende.intgemm.alphas.bin.gz", "vocab.ende.spm.gz"]
    assert wanted_files([*student, "metadata.json"]) == student
    for nothing in ([], ["config.json"], ["model.gguf", "README.md"], ["config.json", "onnx/model.onnx"]):
        assert wanted_files(nothing) == []


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r'^huggingface_hub is not installed; in a .*: pip install "\.\[download\]"$'):
        download("a/b")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the hub has."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed; the extra `download` has it")
    hub = tmp_path_factory.mktemp("hub")
    tiny_marian_folder(hub / "Helsinki-NLP" / "opus-mt-xx-yy")
    (hub / "Helsinki-NLP" / "opus-mt-xx-yy" / "pytorch_model.bin").write_bytes(b"a pickle")
    sentence_folder(hub / "sentence-transformers" / "all-tiny")
    tiny_student_folder(hub / "mozilla" / "xxyy")
    pickled = classifier_folder(hub / "somebody" / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    for name, document in {"t5": {"model_type": "t5"}, "gguf": None}.items():
        (hub / "somebody" / name).mkdir()
        (hub / "somebody" / name / ("m.gguf" if document is None else "model.safetensors")).write_bytes(b"weights")
        (hub / "somebody" / name / "config.json").write_text(json.dumps(document or {"model_type": "bert"}))
    return hub


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[tuple[str, list[str]]]:
    with local_hub(home) as found:
        yield found


@pytest.fixture
def fetch(address: tuple[str, list[str]], tmp_path: Path) -> Fetch:
    """fetch("owner/name", ...) runs the command in `tmp_path`."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {**os.environ, "HF_ENDPOINT": address[0], "HF_HOME": str(tmp_path / ".cache"), **environment}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, "download", *arguments], env=given, cwd=tmp_path, capture_output=True,
            text=True, timeout=120,
        )  # fmt: skip

    return run


def test_a_translator_comes_whole_and_without_the_rest(
    fetch: Fetch, address: tuple[str, list[str]], tmp_path: Path
) -> None:
    result = fetch("Helsinki-NLP/opus-mt-xx-yy")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "try: subbyte quantize opus-mt-xx-yy " in result.stdout
    assert open_model(tmp_path / "opus-mt-xx-yy").architecture == "MarianMTModel"
    assert not any("pytorch_model" in path for path in address[1])
    assert {path.name for path in tmp_path.iterdir()} == {".cache", "opus-mt-xx-yy"}
    again = fetch("https://huggingface.co/Helsinki-NLP/opus-mt-xx-yy/tree/main")
    assert again.returncode == 1 and "opus-mt-xx-yy: is there already, and not empty; use it" in again.stderr
    (tmp_path / "empty").mkdir()
    result = fetch("Helsinki-NLP/opus-mt-xx-yy", "empty", "--json", "--revision", COMMIT)
    assert json.loads(result.stdout)["folder"] == "empty" and open_model(tmp_path / "empty")
    assert json.loads(result.stdout)["revision"] == COMMIT and json.loads(result.stdout)["bytes"] > 100_000


def test_bare_names_find_their_owner_and_module_folders_come_too(fetch: Fetch, tmp_path: Path) -> None:
    result = fetch("all-tiny", "deep/down")
    assert result.returncode == 0 and "sentence-transformers/all-tiny" in result.stdout, result.stderr
    sentence = open_model(tmp_path / "deep" / "down").sentence
    assert sentence and sentence.normalize


def test_a_student_comes_too(fetch: Fetch, tmp_path: Path) -> None:
    assert fetch("mozilla/xxyy").returncode == 0
    assert open_model(tmp_path / "xxyy").architecture == "BergamotStudent"


def test_pickled_weights_are_fetched_with_the_way_to_convert_them(fetch: Fetch, tmp_path: Path) -> None:
    result = fetch("somebody/pickled")
    assert result.returncode == 0 and "AutoModelForSequenceClassification as M" in result.stderr, result.stderr
    assert (tmp_path / "pickled" / "pytorch_model.bin").exists() and "try:" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["somebody/nothing"], "there is no such model on the Hugging Face hub, or it is private"),
        (["nothing"], r"no such model on the Hugging Face hub \(nothing, sentence-transformers/nothing, Helsinki-NLP/"),
        ([GATED], r"is not open to all: ask for access on https://huggingface.co/somebody/gated, log in with hf auth"),
        (["somebody/t5"], r"somebody/t5/config.json: describes .*'t5' \(an encoder-decoder of another"),
        (["somebody/gguf"], r"has no model that is read, a config.json with safetensors; it has config.json, m.gguf"),
        (["Helsinki-NLP/opus-mt-xx-yy", "--revision", "v2"], "has no revision 'v2' on the Hugging Face hub"),
        (["../a"], "is no name of a model on the Hugging Face hub, which are like owner/model"),
        (["Helsinki-NLP/opus-mt-xx-yy", "/dev/null"], "/dev/null: is there already and is no folder"),
        (["Helsinki-NLP/opus-mt-xx-yy", "/proc/x/y"], "/proc/x/y: cannot be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_fetched_is_one_sentence(
    fetch: Fetch, address: tuple[str, list[str]], tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    del address[1][:]
    result = fetch(*arguments)
    assert result.returncode == 1 and re.search(sentence, result.stderr), result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert not any(path.endswith("model.safetensors") for path in address[1])  # nothing large before it is known
    assert {path.name for path in tmp_path.iterdir()} <= {".cache"}


@pytest.mark.parametrize("environment", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_without_a_network_it_says_how(fetch: Fetch, environment: dict[str, str]) -> None:
    result = fetch("Helsinki-NLP/opus-mt-xx-yy", **environment)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "could not be fetched from the Hugging Face hub: " in result.stderr
    assert "without a network, run subbyte download on a machine that has one, and copy the folder" in result.stderr


def test_large_models_are_announced(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in fake_hub(home / "Helsinki-NLP" / "opus-mt-xx-yy").items():
        monkeypatch.setitem(sys.modules, name, module)
    said: list[str] = []
    download("somebody/tiny", tmp_path / "quiet", say=said.append)
    monkeypatch.setattr("subbyte.folders.hub.LARGE", 1000)
    download("somebody/tiny", tmp_path / "said", say=said.append)
    assert said == ["fetching 7 of the 8 files of somebody/tiny, 0.1 MB"]
