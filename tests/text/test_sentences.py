# ruff: noqa: RUF001  (marks of all scripts are the point)
"""Taking texts apart into sentences: where, how fast, and that nothing is lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.random_texts import TEXTS
from subbyte.text.sentences import Segments, segments
from subbyte.text.target_languages import language_of

SPLIT = [
    "A dog runs.|Two men sleep.|What?|Yes!",
    "He left...|Then he came!|Oh…|She stayed.",
    '"Really?" she asked.|"Yes!"|He nodded.|(He was tired.)|Good.',
    "“I know.”|She smiled.|„Ja.“|Er ging.|« Oui. »|Il part.|»Nein!«|Sie blieb.",
    'Er sagte "gut".|Sie ging.',
    "das ende. klein weiter.|So.",
    "He left.|- She stayed.|3) Nobody came.",
    "It costs 3.50 dollars at http://a.b/c?d=E.F today.|Version 1.2.3 is here.|Mail a@b.c now.",
    "See No. 5 and fig. 3b.|He said no.|We left.",
    "Er kam am 2. 10. 2020.|Sie kam 1999.|Beide blieben.",
    "これは犬です。|猫もいます！|「本当？」と言った。|「次」です。",
    "यह एक कुत्ता है।|वह दौड़ता है।|ठीक?",
    "هذا كلب.|هل تراه؟|نعم.",
    "გამარჯობა.|როგორ ხარ?|კარგად.",
    "Это собака.|Он на ул. Ленина.|Да!",
]
WHOLE = [
    "Dr. Smith met J. R. R. Tolkien, i.e. the author, in the U.S. Army.",
    "Das ist z. B. gut, d.h. am 3. Oktober um 5 Uhr mit Prof. Müller.",
    "Heinrich VIII. Tudor usw. Und so weiter",
]


@pytest.mark.parametrize("line", SPLIT + WHOLE)
def test_where_sentences_end(line: str) -> None:
    assert segments(line.replace("|", " ")).sentences == tuple(line.split("|"))


@pytest.mark.parametrize("space", ["\t", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", " \t "])
def test_no_sentence_goes_across_these(space: str) -> None:
    assert segments(f"one{space}two").glue == ("", space, "")
    assert segments(f"One.{space}two").glue == ("", space, "")


def test_sentences_that_stand_together_are_split_only_after_wide_marks() -> None:
    assert segments("犬。猫！鳥").sentences == ("犬。", "猫！", "鳥")
    assert segments("a.B c?D").sentences == ("a.B c?D",)


@pytest.mark.parametrize(
    "text, glue",
    [
        ("  # Title \r\n", ("  # ", " \r\n")),
        ("> - 12. A dog.  Yes.", ("> - 12. ", "  ", "")),
        ("a\n\n---\n\nb\n", ("", "\n\n---\n\n", "\n")),
        ("1.5 % | 3", ("1.5 % | 3",)),
        ("\ufeffA dog", ("\ufeff", "")),
        ("", ("",)),
    ],
)
def test_what_is_not_words_is_glue(text: str, glue: tuple[str, ...]) -> None:
    assert segments(text).glue == glue


@given(TEXTS)
def test_glue_and_sentences_are_the_text(text: str) -> None:
    found = segments(text)
    assert found.joined(found.sentences) == text
    assert "".join(map("".join, zip(found.glue, (*found.sentences, ""), strict=True))) == text
    for sentence in found.sentences:
        assert sentence == sentence.strip() and any(map(str.isalpha, sentence))
        assert not {*sentence} & {*"\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"}
    for glue in found.glue:
        assert not any(map(str.isalpha, glue))


@given(TEXTS, st.integers(1, 12))
def test_what_does_not_fit_is_cut_until_it_does(text: str, most: int) -> None:
    found = segments(text, lambda sentence: len(sentence) <= most)
    assert found.joined(found.sentences) == text
    assert all(len(sentence) <= most for sentence in found.sentences)


@given(TEXTS, st.integers(1, 100))
def test_lines_can_be_taken_apart_one_by_one(text: str, most: int) -> None:
    def fits(sentence: str) -> bool:
        return len(sentence) <= most

    lines = [segments(line, fits).sentences for line in text.split("\n")]
    assert tuple(sentence for line in lines for sentence in line) == segments(text, fits).sentences


def test_clauses_come_before_words_and_words_before_letters() -> None:
    def parts(text: str, most: int) -> tuple[str, ...]:
        return segments(text, lambda sentence: len(sentence) <= most).sentences

    assert parts("one two three, four five", 15) == ("one two three,", "four five")
    assert parts("one two, three four five six", 20) == ("one two,", "three four five six")
    assert parts("a" + " " * 50 + "b", 10) == ("a", "b")
    assert parts("one two three four five", 15) == ("one two", "three four five")
    assert parts("x" * 20, 10) == ("x" * 10, "x" * 10)
    assert parts("一二三四、五六七八九十", 8) == ("一二三四、", "五六七八九十")


def test_translations_get_a_space_where_the_source_needs_none() -> None:
    found = segments("犬。猫？ 鳥。")
    assert found.joined(["A dog.", "A cat?", "A bird."]) == "A dog. A cat? A bird."
    assert found.joined(["狗。", "", "鸟。"]) == "狗。 鸟。"


def test_there_is_a_translation_for_each_sentence() -> None:
    with pytest.raises(ValueError):
        Segments(("", ""), ("a",)).joined([])


@pytest.mark.parametrize(
    "unit", [".", "A. ", "“Ab. ", '"a b. ', "(", " ", "\n", "- ", "1. ", ">", ". » ", "word, ", "x"]
)
def test_time_grows_with_the_text_and_not_faster(unit: str) -> None:
    """300 kB: 1 s at most; what grows with the square takes a minute."""
    text = unit * (300_000 // len(unit))
    start = time.perf_counter()
    found = segments(text, lambda sentence: len(sentence) < 2000)
    assert time.perf_counter() - start < 10
    assert found.joined(found.sentences) == text


@pytest.mark.parametrize(
    "text, expected",
    [
        (">>de<< a dog", (">>de<<", "a dog")),
        (">>de<<a dog", (">>de<<", "a dog")),
        (">>fr<< a dog", ("", ">>fr<< a dog")),
        (" >>de<< a dog", ("", " >>de<< a dog")),
        (">>de<<\r", (">>de<<", "\r")),
        (">>de", ("", ">>de")),
    ],
)
def test_the_language_at_the_start(text: str, expected: tuple[str, str]) -> None:
    assert language_of(text, (">>de<<", ">>nl<<")) == expected
