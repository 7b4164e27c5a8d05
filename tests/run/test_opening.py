"""What was opened says what it is, goes to other processes, is copied, and is closed."""

from __future__ import annotations

import ast
import copy
import gc
import multiprocessing
import pickle
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import subbyte
from builders.encoder_folders import classifier_folder, sentence_folder
from builders.tiny_marian import tiny_marian_folder
from subbyte.errors import ModelError, UsageError
from subbyte.folders.opening import open_model

KINDS = ("Translator", "Encoder", "Classifier")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("opened")
    return {
        "Translator": tiny_marian_folder(home / "translator"), "Encoder": sentence_folder(home / "encoder"),
        "Classifier": classifier_folder(home / "classifier"),
    }  # fmt: skip


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Any:
    """One of each, opened for this test."""
    kind = getattr(subbyte, request.param)
    return kind.from_pretrained(folders[request.param], threads=1, isa="reference", activations="int8")


def answer(one: Any) -> Any:
    """What it makes of a text, as something that can be compared."""
    text = "a dog runs"
    if isinstance(one, subbyte.Translator):
        return one.translate(text)
    return one.encode(text).tolist() if isinstance(one, subbyte.Encoder) else one(text)


def test_it_says_what_it_is(opened: Any, folders: dict[str, Path], tmp_path: Path) -> None:
    name = type(opened).__name__
    shown = (
        f"<{name} from_pretrained({str(folders[name])!r}): {open_model(folders[name]).architecture}, float32 weights, "
    )
    assert repr(opened) == f"{shown}int8 activations, reference, 1 threads>"
    subbyte.quantize(folders[name], tmp_path / "small", "uniform4", check=False)
    assert ", 4-bit weights, " in repr(type(opened).from_pretrained(tmp_path / "small"))
    assert repr(type(opened).from_pretrained(open_model(folders[name]))).startswith(f"<{name} of a model in memory: ")


def test_a_pickle_opens_it_again_as_it_was_opened(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folders: dict[str, Path]
) -> None:
    monkeypatch.chdir(folders["Translator"].parent)
    name = type(opened).__name__
    relative = type(opened).from_pretrained(folders[name].name, threads=1, isa="reference", activations="int8")
    monkeypatch.chdir(tmp_path)
    for one in (opened, relative):
        again = pickle.loads(pickle.dumps(one))
        assert type(again) is type(opened) and repr(again) == repr(opened) and answer(again) == answer(opened)
        assert again.engine is not one.engine


def test_other_processes_get_it(opened: Any) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(answer, [opened]) == [answer(opened)]


def test_a_pickle_without_a_folder_is_refused(folders: dict[str, Path], opened: Any) -> None:
    name = type(opened).__name__
    in_memory = type(opened).from_pretrained(open_model(folders[name]))
    with pytest.raises(
        UsageError, match=rf"this {name} cannot be pickled: it was not opened from a folder.*{name}.from_p"
    ):
        pickle.dumps(in_memory)
    assert answer(copy.deepcopy(in_memory)) == answer(in_memory)


def test_a_pickle_of_a_folder_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    data = pickle.dumps(subbyte.Translator.from_pretrained(tiny_marian_folder(tmp_path / "tiny")))
    (tmp_path / "tiny").rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="there is no such folder"):
        pickle.loads(data)


def test_copies_share_the_model_and_close_by_themselves(opened: Any) -> None:
    wanted = answer(opened)
    for other in (copy.copy(opened), copy.deepcopy(opened)):
        assert other is not opened and other.engine is opened.engine and answer(other) == wanted
        other.close()
        assert answer(opened) == wanted


def test_a_block_frees_the_memory_at_its_end(opened: Any) -> None:
    name = type(opened).__name__
    engine = weakref.ref(opened.engine)
    stream = None
    with opened as inside:
        assert inside is opened and answer(opened)
        if name == "Encoder":
            stream = opened.stream(["a", "b"], 1)
            next(stream)
    gc.collect()
    assert engine() is None
    for use in (answer, pickle.dumps, lambda one: one.__enter__()):
        with pytest.raises(UsageError, match=f"this {name} is closed; open it again with {name}.from_pretrained"):
            use(opened)
    if stream:
        with pytest.raises(UsageError, match="is closed"):
            next(stream)
    assert repr(opened).endswith(": closed>")
    opened.close()


def test_an_error_in_a_block_closes_it_and_goes_on(opened: Any) -> None:
    with pytest.raises(ZeroDivisionError), opened:
        1 / 0  # noqa: B018
    assert repr(opened).endswith(": closed>")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((None,), "takes the name of a folder, not NoneType"), ((3,), "takes the name of a folder, not int"),
        ((b"x",), "takes the name of a folder, not bytes"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", KINDS)
def test_folders_are_names(name: str, arguments: tuple[Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}.from_pretrained {sentence}"):
        getattr(subbyte, name).from_pretrained(*arguments)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [("threads", "'2'"), ("threads", "1.5"), ("isa", "3"), ("isa", "None")],
)  # fmt: skip
def test_options_of_strange_types_are_named(opened: Any, folders: dict[str, Path], option: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=f"^{option} is {sentence}, should be "):
        type(opened).from_pretrained(folders[type(opened).__name__], **{option: ast.literal_eval(sentence)})


def test_one_put_together_by_hand_says_so(folders: dict[str, Path]) -> None:
    opened = subbyte.Encoder.from_pretrained(folders["Encoder"])
    by_hand = subbyte.Encoder(opened.engine, opened.tokenizer, opened.sentence)
    assert repr(by_hand) == "<Encoder put together by hand>"
    assert np.array_equal(by_hand.encode("a"), opened.encode("a"))
