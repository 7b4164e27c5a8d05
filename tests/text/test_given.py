"""One text or many, of whatever type; what is no text is named by its number before anything is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import subbyte
from builders.encoder_folders import classifier_folder, sentence_folder
from builders.tiny_marian import tiny_marian_folder
from subbyte.errors import UsageError
from subbyte.text.given import checked, one_or_many

BAD: list[tuple[Any, str]] = [
    (None, "is None; it should be a string"), (b"a dog", r"is bytes, not decoded \(text.decode"),
    (bytearray(b"a"), "is bytearray, not decoded"), (3, r"is a int \(3\)"), (2.5, r"is a float \(2.5\)"),
    (float("nan"), r"is a float \(nan\)"), (["a", "b"], "is a list of 2"), (("a", "b", "c"), "is a tuple of 3"),
    ((), "is a tuple of 0"), ({"text": "a"}, "is a dict"), (np.float32(1), "is a float32"),
    ("a \ud83d dog", r"has half of a surrogate pair, U\+D83D, as its character 3"), (Path("a"), "is a PosixPath"),
]  # fmt: skip


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> subbyte.Translator:
    return subbyte.Translator.from_pretrained(tiny_marian_folder(tmp_path_factory.mktemp("given") / "tiny"), threads=1)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> subbyte.Encoder:
    return subbyte.Encoder.from_pretrained(sentence_folder(tmp_path_factory.mktemp("given") / "sentences"), threads=1)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> subbyte.Classifier:
    folder = classifier_folder(tmp_path_factory.mktemp("given") / "labels")
    return subbyte.Classifier.from_pretrained(folder, threads=1)


@pytest.fixture
def calls(
    translator: subbyte.Translator, encoder: subbyte.Encoder, classifier: subbyte.Classifier,
    monkeypatch: pytest.MonkeyPatch,
) -> list[tuple[str, Callable[[Any], Any]]]:  # fmt: skip
    """Everything that takes a list of texts, with the engines out of order: nothing may reach them."""

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("something was run")

    for one, names in ((translator, ("translate", "score")), (encoder, ("pooled",)), (classifier, ("logits",))):
        for name in names:
            monkeypatch.setattr(type(one.engine), name, reached)
    return [
        ("text", translator.translate), ("text", lambda texts: translator.translate(texts, split_sentences=True)),
        ("source", lambda texts: translator.score(texts, ["a"] * 3)),
        ("target", lambda texts: translator.score(["a"] * 3, texts)),
        ("text", encoder.encode), ("text", classifier),
    ]  # fmt: skip


@pytest.mark.parametrize(("item", "sentence"), BAD, ids=[repr(item) for item, _ in BAD])
def test_what_is_no_text_is_named_by_its_number_before_anything_runs(
    calls: list[tuple[str, Callable[[Any], Any]]], item: Any, sentence: str
) -> None:
    for what, call in calls:
        with pytest.raises(UsageError, match=rf"^{what} 2 {sentence}"):
            call(["a dog", item, "a cat"])
        with pytest.raises(UsageError, match=rf"^{what} 1 .*\(and 1 more {what}s have faults\)$"):
            call([item, "a cat", None])


class Table:
    """As much of a table of pandas as may be taken for a list."""

    columns = ("a", "b")

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (None, "are None"), (b"a dog", "are bytes"), (3, r"are a int \(3\)"), ({"a": "b"}, "are a dict"),
        ({"a", "b"}, "are a set"), (np.array("a"), "are a ndarray"),
        (Table(), "are a table; .*one column"),
    ],
    ids=["None", "bytes", "int", "dict", "set", "array", "table"],
)  # fmt: skip
def test_what_is_no_list_is_named(calls: list[tuple[str, Callable[[Any], Any]]], texts: Any, sentence: str) -> None:
    for what, call in calls:
        with pytest.raises(UsageError, match=f"^the {what}s {sentence}"):
            call(texts)


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else a == b


class Column:
    """As much of a column of pandas as goes through it gives."""

    def __init__(self, values: list[str]) -> None:
        self.values = values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)


def test_any_iterable_of_strings_will_do(
    translator: subbyte.Translator, encoder: subbyte.Encoder, classifier: subbyte.Classifier
) -> None:
    texts = ["A dog runs.", "", "Two men."]
    for call in (translator.translate, encoder.encode, classifier):
        wanted = call(texts)  # type: ignore[operator]
        for others in (
            tuple(texts), (text for text in texts), np.array(texts), np.array(texts, object), Column(texts),
            iter(texts), [np.str_(text) for text in texts],
        ):  # fmt: skip
            assert same(call(others), wanted)  # type: ignore[operator]
    assert translator.score(iter(["a"]), np.array(["b"])) == translator.score(["a"], ["b"])


def test_one_text_gives_one_answer(
    translator: subbyte.Translator, encoder: subbyte.Encoder, classifier: subbyte.Classifier
) -> None:
    assert translator.translate("A dog runs.") == translator.translate(["A dog runs."])[0]
    assert translator.translate("") == "" == translator.translate("", split_sentences=True)
    assert (
        translator.translate("A dog. A cat.", split_sentences=True)
        == (translator.translate(["A dog. A cat."], split_sentences=True)[0])
    )
    (scored,) = translator.translate(["A dog."], return_scores=True)
    assert translator.translate("A dog.", return_scores=True) == scored
    (several,) = translator.translate(["A dog."], num_hypotheses=2, beam_size=2)
    assert translator.translate("A dog.", num_hypotheses=2, beam_size=2) == several
    assert translator.score("a", "b") == translator.score(["a"], ["b"])[0]
    for mixed in (("a", ["b"]), (["a"], "b")):
        with pytest.raises(UsageError, match="two lists of texts, or two texts"):
            translator.score(*mixed)  # type: ignore[call-overload]
    vector = encoder.encode("a dog")
    assert vector.ndim == 1 and np.array_equal(vector, encoder.encode(["a dog"])[0])
    assert classifier("a dog") == classifier(["a dog"])[0]


def test_a_pair_is_a_tuple(encoder: subbyte.Encoder, classifier: subbyte.Classifier) -> None:
    assert classifier(("a dog", "a cat")) == classifier([("a dog", "a cat")])[0]
    assert classifier([("a dog",), "a cat"]) == classifier(["a dog", "a cat"])
    assert encoder.encode(("a dog", "a cat")).shape[0] == 2
    with pytest.raises(UsageError, match=r"^text 1, the second of its pair, is None; it should be a string$"):
        classifier([("a", None)])  # type: ignore[list-item]


def test_streams_take_many_and_check_each(translator: subbyte.Translator, encoder: subbyte.Encoder) -> None:
    generation = translator.engine.generation(beam_size=1)
    with pytest.raises(UsageError, match="a list of texts is needed, not one string"):
        [*translator.stream("a dog", generation)]
    for stream in (translator.stream(["a", None], generation, 1), encoder.stream(["a", None], 8)):  # type: ignore[list-item]
        next(stream)  # type: ignore[call-overload]
        with pytest.raises(UsageError, match="text 2 is None"):
            next(stream)  # type: ignore[call-overload]
    scores = translator.stream_scores([("a", "b"), ("a", 3)])  # type: ignore[list-item]
    assert next(scores).tokens
    with pytest.raises(UsageError, match="target 2 is a int"):
        next(scores)
    with pytest.raises(UsageError, match="pair 1 is None"):
        [*translator.stream_scores([None])]  # type: ignore[list-item]


@pytest.mark.parametrize("text", [b"a dog", None, "a\ud83d"])
def test_documents_are_text(translator: subbyte.Translator, text: Any) -> None:
    with pytest.raises(UsageError, match=r"^the text (is|has)"):
        translator.translate_document(text)


@pytest.mark.parametrize("size", [None, "3", 2.0])
def test_batch_sizes_are_whole_numbers(translator: subbyte.Translator, encoder: subbyte.Encoder, size: Any) -> None:
    for call in (translator.translate, encoder.encode):
        with pytest.raises(UsageError, match=r"batch size is .*, should be a whole number"):
            call(["a"], batch_size=size)  # type: ignore[operator]


def test_whole_pairs_of_surrogates_and_strange_characters_are_text() -> None:
    texts = ["\U0001f600", "\x00", "\ufffe", "a\u0301", ""]
    assert one_or_many(texts) == (texts, False) and [*checked(texts)] == texts
