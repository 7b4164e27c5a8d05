"""The translator as Python meets it: sentences, documents, languages, scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.random_texts import TEXTS
from builders.real_text import sentences
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_student import tiny_student_folder
from subbyte.errors import UsageError
from subbyte.run.translation_engine import Generation, Hypothesis
from subbyte.run.translator import Translator


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return Translator.from_pretrained(tiny_marian_folder(tmp_path_factory.mktemp("translator") / "tiny"), threads=1)


class Echo:
    """In the places of tokenizer and engine: ids are characters, and the translation of a text is the text."""

    max_positions = 12
    languages = ()

    def unknown(self, ids: Sequence[int]) -> bool:
        return False

    def generation(self, **_: object) -> Generation:
        return Generation(
            beam_size=1, num_hypotheses=1, max_length=99, max_length_factor=0.0, min_length=0, length_penalty=1.0,
            early_stopping=False, renormalize=False, forced_end=None, start=0, end=0, banned=(),
        )  # fmt: skip

    def encode(self, text: str) -> list[int]:
        return [*(ord(letter) + 1 for letter in text), 0]

    def translate(
        self, sentences: Sequence[Sequence[int]], generation: Generation, numbers: Sequence[int] | None = None
    ) -> list[list[Hypothesis]]:
        return [[Hypothesis([*ids[:-1]], 0.0)] for ids in sentences]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(id - 1) for id in ids)


ECHO = Translator(Echo(), Echo())  # type: ignore[arg-type]


@given(TEXTS, st.integers(1, 4))
def test_a_document_keeps_all_that_is_no_word(text: str, batch_size: int) -> None:
    assert ECHO.translate_document(text, batch_size=batch_size) == text


def test_nothing_is_lost_of_a_long_line(caplog: pytest.LogCaptureFixture) -> None:
    lines = ["one two, three four five six seven eight. nine", "", "a"]
    assert ECHO.translate(lines, split_sentences=True) == lines and caplog.text == ""
    assert ECHO.translate(lines)[0] == "one two, th" and "the rest is left out" in caplog.text


def test_sentences_are_those_of_lines_by_themselves(translator: Translator) -> None:
    parts = ["A dog runs.", "Two men are here!", "Is it a cat?"]
    alone = translator.translate(parts)
    assert translator.translate([" ".join(parts)], split_sentences=True) == [" ".join(alone)]
    document = "# A dog runs.\r\n\n  Two men are here!   Is it a cat?\n"
    assert translator.translate_document(document) == f"# {alone[0]}\r\n\n  {alone[1]}   {alone[2]}\n"


def test_a_document_has_no_prefix(translator: Translator) -> None:
    with pytest.raises(UsageError, match="a prefix is that of one sentence"):
        translator.translate_document("A dog.\nA cat.", prefix="a")  # type: ignore[call-arg]


def test_line_ends_that_the_model_writes_stay_out_of_lines(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subbyte.text.marian_tokenizer.MarianTokenizer.decode", lambda *_: "a\r\nb")
    assert translator.translate_document("A dog.\r\nA cat.") == "a  b\r\na  b"


def test_the_language_goes_before_each_sentence(translator: Translator) -> None:
    one, two = (translator.translate([f">>nl<< {text}"])[0] for text in ("A dog.", "A cat."))
    assert translator.translate([">>nl<< A dog.  A cat."], split_sentences=True) == [f"{one}  {two}"]
    assert translator.translate(["A dog.  A cat."], split_sentences=True, target_language="nl") == [f"{one}  {two}"]
    assert translator.translate(["A dog.", "", ">>nl<< A cat."], target_language="nl") == [one, "", two]
    assert translator.translate([">>nl<< A dog."], target_language="de") == [one]
    assert translator.translate_document("A dog.\nA cat.", target_language="nl") == f"{one}\n{two}"
    assert translator.translate_document(">>nl<< A dog.\n>>nl<<\r\nA cat.", target_language="de").startswith(
        f"{one}\n\r\n"
    )


def test_languages_are_those_of_the_vocabulary(tmp_path: Path, translator: Translator) -> None:
    assert translator.tokenizer.languages == (">>de<<", ">>nl<<")
    with pytest.raises(UsageError, match=r"^fr: is no target language of this model; it has de, nl$"):
        translator.translate(["A dog."], target_language="fr")
    student = Translator.from_pretrained(tiny_student_folder(tmp_path / "student"))
    with pytest.raises(UsageError, match="into one language and takes none"):
        student.translate_document("A dog.", target_language="de")


def test_scores_and_hypotheses_are_not_those_of_several_sentences(translator: Translator) -> None:
    for wrong in ({"return_scores": True}, {"num_hypotheses": 2}):
        with pytest.raises(UsageError, match="split_sentences"):
            translator.translate(["A dog."], split_sentences=True, **wrong)  # type: ignore[call-overload]


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_the_score_of_a_translation_is_its_hypothesis_score(
    translator: Translator, beam_size: int, penalty: float
) -> None:
    check_scores(translator, ["A dog runs.", "Two men and a woman are here.", "A cat?"] * 4, beam_size, penalty)


@pytest.mark.parametrize("beam_size, penalty", [(1, 0.0), (4, 1.0)])
def test_scores_of_the_real_model(multi30k: Path, beam_size: int, penalty: float) -> None:
    assert check_scores(Translator.from_pretrained(multi30k), sentences(multi30k, "val", 40), beam_size, penalty) > 30


def check_scores(translator: Translator, texts: list[str], beam_size: int, penalty: float) -> int:
    """How many translations have tokens that their text gives again, all of which have the score of the search."""
    generation = translator.engine.generation(beam_size=beam_size, length_penalty=penalty)
    ids = [translator.tokenizer.encode(text) for text in texts]
    found = [best for best, *_ in translator.engine.translate(ids, generation)]
    targets = [translator.tokenizer.decode(hypothesis.tokens) for hypothesis in found]
    scores = translator.score(texts, targets, normalize=penalty == 1, batch_size=5)
    same = 0
    for target, hypothesis, score in zip(targets, found, scores, strict=True):
        ended = len(hypothesis.tokens) < generation.max_length - 2  # or else the end was forced
        if ended and translator.tokenizer.encode_target(target)[:-1] == hypothesis.tokens:
            assert score == pytest.approx(hypothesis.score, rel=1e-4, abs=1e-4)
            same += 1
    return same


def test_a_score_is_the_sum_over_tokens_and_the_end(translator: Translator) -> None:
    one, empty = translator.stream_scores([("A dog.", "ein hund"), ("", " ")])
    ids = translator.tokenizer.encode_target("ein hund")
    expected = translator.engine.score([translator.tokenizer.encode("A dog.")], [ids])[0]
    assert list(one.log_probabilities) == expected and one.total == sum(expected)
    assert one.mean == pytest.approx(one.total / len(ids)) and one.tokens[-1] == "</s>" and len(one.tokens) == len(ids)
    assert (empty.tokens, empty.total, empty.mean) == ((), 0.0, 0.0)
    assert translator.score(["A dog."], ["ein hund"], normalize=True) == [one.mean]
    assert translator.score(["A dog.", ""], ["", "ein"]) != [0.0, 0.0]
    assert translator.score([], []) == [] == translator.score([""], [""])[1:]


def test_what_cannot_be_scored_is_said(translator: Translator) -> None:
    with pytest.raises(UsageError, match="1 sources and 2 targets"):
        translator.score(["a"], ["b", "c"])
    with pytest.raises(UsageError, match="two lists"):
        translator.score("a", ["b"])  # type: ignore[call-overload]
    with pytest.raises(UsageError, match=r"target 2 has \d+ tokens; the model writes at most 64"):
        translator.score(["a", "b"], ["c", "hund " * 100])


def test_students_score_too(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "student")
    translator = Translator.from_pretrained(folder, threads=1)
    (one,) = translator.stream_scores([("a dog", "ein hund")])
    assert one.tokens[-1] == "</s>" and one.total < 0
    assert "".join(one.tokens[:-1]).replace("\u2581", " ").strip() == "ein hund"
