"""Whether a compressed model still says what its source says, and what `quantize` does with the answer."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import subbyte
from builders.real_text import sentences
from builders.tiny_marian import edit_json
from builders.tiny_student import tiny_student_folder
from subbyte.compress.calibration.texts import LOOKED_AT
from subbyte.compress.recipes.recipe import load_recipe, resolve
from subbyte.compress.rounding import quantize_model
from subbyte.compress.translation_agreement import LIMITS, WORD_LINES, WORDS, Agreement, ask, word_lines
from subbyte.errors import UsageError
from subbyte.folders.opening import open_model
from subbyte.metrics import chrf
from subbyte.models.model import Model, activations_of
from subbyte.text.tokenizer import Tokenizer, load_tokenizer


def opened(folder: Path) -> tuple[Model, Tokenizer]:
    model = open_model(folder)
    return model, load_tokenizer(folder, model.config)


def compressed(model: Model, recipe: str) -> Model:
    chosen = load_recipe(recipe)
    return replace(quantize_model(model, resolve(chosen, model)), activations=activations_of(chosen.activations))


def agreement(source: Model, result: Model, tokenizer: Tokenizer, text: Sequence[str] = ()) -> Agreement:
    return ask(source, tokenizer, text).agreement(result)


def disagrees(found: Agreement) -> bool:
    return found["lost"] > found["limit"]


def report(out: Path) -> Any:
    return json.loads((out / "report.json").read_text("utf-8"))["agreement"]


def test_a_model_agrees_with_itself(tiny_folder: Path) -> None:
    model, tokenizer = opened(tiny_folder)
    words, text = agreement(model, model, tokenizer), agreement(model, model, tokenizer, ["a dog runs ."] * 20)
    assert (words["compared"], words["lines"]) == ("words", WORD_LINES)
    assert (text["compared"], text["lines"]) == ("text", 20)
    for found in (words, text):
        assert (found["lost"], found["nats"], found["limit"]) == (0, 0, LIMITS[found["compared"]])
        assert found["chrf"] == pytest.approx(100) and not disagrees(found)


def test_another_model_disagrees(tiny_folder: Path) -> None:
    model, tokenizer = opened(tiny_folder)
    other = {name: w[::-1] if w.ndim == 2 else w for name, w in model.tensors.items() if isinstance(w, np.ndarray)}
    found = agreement(model, replace(model, tensors=other), tokenizer)
    assert disagrees(found) and found["nats"] is not None and found["nats"] > 1 and found["chrf"] < 60


def test_what_is_compared_of_a_translation_is_bounded(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary may hold a word of thousands of characters, and chrF takes long on long text (found by fuzzing)."""
    lengths: list[int] = []

    def measured(translations: list[str], references: list[str]) -> float:
        lengths.extend(len(text) for text in [*translations, *references])
        return 0.0

    monkeypatch.setattr("subbyte.compress.translation_agreement.chrf", measured)
    model, tokenizer = opened(tiny_folder)
    monkeypatch.setattr(type(tokenizer), "decode", lambda self, ids: "word " * 10_000)
    agreement(model, model, tokenizer, ["a dog runs ."])
    assert set(lengths) == {2000}


def test_each_token_is_compared(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five tokens three are lost: one is no number, one infinitely less likely, one a little more than a nat."""
    scores = iter([[[-0.1, -0.1, -0.1], [-0.1, -0.1]], [[math.nan, -math.inf, -1.11], [-1.09, -0.01]]])
    monkeypatch.setattr("subbyte.compress.translation_agreement.log_probabilities_by_target", lambda *_: next(scores))
    model, tokenizer = opened(tiny_folder)
    found = agreement(model, model, tokenizer, ["a dog"])
    assert found["lost"] == 0.6 and found["nats"] is None and disagrees(found)
    assert not disagrees({**found, "lost": LIMITS["text"]}) and (found["tokens"], found["sure"]) == (5, 5)
    assert found["noise"] == pytest.approx(0.3394, abs=1e-4)  # of lines that lose 3 of 3 and 0 of 2


def test_lines_longer_than_the_model_reads_are_cut(tiny_folder: Path) -> None:
    model, tokenizer = opened(tiny_folder)
    assert agreement(model, model, tokenizer, ["dog " * 500])["lost"] == 0


def test_words_are_those_of_the_vocabulary(tiny_folder: Path, tmp_path: Path) -> None:
    lines = word_lines(opened(tiny_folder)[1])
    assert lines == word_lines(opened(tiny_folder)[1]) and len(lines) == WORD_LINES
    assert [line[:7] for line in lines[:3]] == [">>de<< ", ">>nl<< ", ">>de<< "]
    student = word_lines(opened(tiny_student_folder(tmp_path / "student"))[1])
    assert all(len(line.removesuffix(".").split(" ")) == WORDS for line in student) and len({*student}) > 1
    assert all(word.isalpha() and word.islower() for line in student for word in line.removesuffix(".").split(" "))


def test_chrf_is_that_of_sacrebleu() -> None:
    assert chrf(["Ein Hund."], ["Ein Hund."]) == pytest.approx(100) and chrf(["xyz"], ["Ein Hund."]) == 0


@pytest.mark.parametrize("recipe, strongly", [("uniform4", False), ("log1", True)])
def test_good_and_bad_recipes_are_told_apart(multi30k: Path, recipe: str, strongly: bool) -> None:
    model, tokenizer = opened(multi30k)
    result = compressed(model, recipe)
    for text in ([], sentences(multi30k, "val", 16)):
        found = agreement(model, result, tokenizer, text)
        assert disagrees(found) is strongly
        assert not LIMITS[found["compared"]] / 2 < found["lost"] < 2 * LIMITS[found["compared"]]  # far from the limit


def test_quantize_reports_and_warns(tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    subbyte.quantize(tiny_folder, tmp_path / "good", "int8")
    found = report(tmp_path / "good")
    assert (found["compared"], found["lines"]) == ("text", LOOKED_AT) and found["lost"] < 0.02 and caplog.text == ""
    subbyte.quantize(tiny_folder, tmp_path / "bad", "log1")
    document = json.loads((tmp_path / "bad" / "report.json").read_text("utf-8"))
    assert document["agreement"]["lost"] > 0.4 and document["check"] == "the text that ships (en)"
    assert f"{tmp_path / 'bad'} disagrees with {tiny_folder}" in caplog.text
    (warning,) = document["warnings"]
    assert warning.removeprefix("disagrees with its model: ") in caplog.text
    assert "take a recipe with more bits" in caplog.text and subbyte.inspect(tmp_path / "bad")["parameters"] > 0


def test_nothing_is_compared_where_nobody_wants_it(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subbyte.compress.translation.ask", None)
    subbyte.quantize(tiny_folder, tmp_path / "out", "log1", check=False)
    assert report(tmp_path / "out") is None and caplog.text == ""


def test_the_text_is_the_one_that_was_given(tiny_folder: Path, tmp_path: Path) -> None:
    def lines(name: str, content: str, **options: Any) -> tuple[str, int]:
        (tmp_path / name).write_text(content, "utf-8")
        subbyte.quantize(tiny_folder, tmp_path / f"out-{name}", "int8", **options)
        found = report(tmp_path / f"out-{name}")
        return found["compared"], found["lines"]

    assert lines("check", "a dog\n\n \ntwo men\tzwei\n", check_text=tmp_path / "check") == ("text", 2)
    edit_json(tiny_folder / "tokenizer_config.json", source_lang="xx")  # of which no text ships
    assert lines("pairs", "a dog\tein hund\nein hund\n\tx\n", frequencies=tmp_path / "pairs") == ("text", 1)
    assert lines("mixed", "a dog\nein hund\n", frequencies=tmp_path / "mixed") == ("words", WORD_LINES)
    both = {"frequencies": tmp_path / "pairs", "check_text": tmp_path / "check"}
    assert lines("both", "", **both) == ("text", 2)
    with pytest.raises(UsageError, match="is empty; it should have sentences"):
        lines("empty", " \n", check_text=tmp_path / "empty")
    assert not (tmp_path / "out-empty").exists()


def test_a_model_that_cannot_be_asked_is_compressed_all_the_same(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = json.loads((tiny_folder / "config.json").read_text())["vocab_size"]
    edit_json(
        tiny_folder / "generation_config.json", suppress_tokens=[*range(words)], forced_eos_token_id=None, num_beams=1
    )
    subbyte.quantize(tiny_folder, tmp_path / "out", "int8")
    assert report(tmp_path / "out") is None
    assert "was not compared with its model" in caplog.text and "every word is banned" in caplog.text
