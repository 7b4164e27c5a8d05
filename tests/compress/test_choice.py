"""`quantize` without a recipe: which preset is chosen, on which texts, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import subbyte
from builders.encoder_folders import classifier_folder, sentence_folder
from builders.tiny_marian import edit_json
from builders.tiny_student import tiny_student_folder
from subbyte.compress import choice
from subbyte.compress.calibration import shipped_text
from subbyte.compress.calibration.texts import (
    CHECKED,
    HELD_OUT,
    Texts,
    texts_for_named,
    texts_to_choose_on,
    translated_languages,
)
from subbyte.compress.candidates import CANDIDATES
from subbyte.compress.choice import Verdict
from subbyte.compress.recipes.recipe import presets
from subbyte.errors import UsageError

FIGURES = {"noise": 0.001, "limit": 0.02}  # of the document of a verdict
MOST = 0.015  # distance up to which a preset may be chosen


class Told:
    """A task whose results are as far from their model as it was told."""

    def __init__(self, distances: dict[str, float], model: Any) -> None:
        self.distances, self.model = distances, model
        self.texts = Texts((), ("a line",), None, "text")
        self.tried: list[str] = []

    def compressed(self, recipe: Any, progress: Any = None) -> Any:
        self.tried.append(recipe.name)
        return recipe.name

    def verdict(self, packed: Any, progress: Any = None) -> Verdict:
        distance = self.distances[packed]
        return Verdict(distance, MOST, lambda limit: f"{distance} away (limit: {limit})", FIGURES)  # type: ignore[arg-type]


class Sized:
    """All that the choice asks of a model."""

    parameters = 1000


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subbyte.compress.choice.candidates", lambda model: ("uniform2", "uniform4", "int8"))
    monkeypatch.setattr(
        "subbyte.compress.choice.weights_size", lambda packed: {"uniform2": 300, "uniform4": 500}.get(packed, 1000)
    )


@pytest.mark.parametrize(
    ("distances", "chosen", "tried"),
    [
        ({"uniform2": 0.001}, "uniform2", 1),
        ({"uniform2": 0.1, "uniform4": MOST}, "uniform4", 2),
        ({"uniform2": 0.1, "uniform4": MOST + 1e-9, "int8": 0.0}, "int8", 3),
        ({"uniform2": 0.1, "uniform4": 0.1, "int8": 0.1}, "int8", 3),
        ({"uniform2": float("nan"), "uniform4": 0.0}, "uniform4", 2),
    ],
)
def test_the_smallest_that_keeps_the_answers_is_chosen(table: None, distances: Any, chosen: str, tried: int) -> None:
    task = Told(distances, Sized())
    found = choice.choose(task)  # type: ignore[arg-type]
    assert found.recipe.name == chosen and len(task.tried) == tried
    assert [one["kept"] for one in found.tried[:-1]] == [False] * (tried - 1)
    assert found.tried[-1]["kept"] == (distances[chosen] <= MOST)


def test_one_line_says_what_was_chosen_and_what_would_be_less(table: None) -> None:
    said = choice.choose(Told({"uniform2": 0.1, "uniform4": 0.0}, Sized())).sentence  # type: ignore[arg-type]
    assert (
        said.startswith(
            f"chose uniform4, 0.0 MB of weights, 8.0 times smaller than float32; 0.0 away (limit: {MOST}); "
        )
        and "\n" not in said
    )
    assert said.endswith("--recipe uniform2 is 13.3 times smaller, and further from it")
    assert "for less, try --budget" in choice.choose(Told({"uniform2": 0.0}, Sized())).sentence  # type: ignore[arg-type]


def test_a_result_is_warned_about_beyond_the_limit_only() -> None:
    verdicts = [Verdict(distance, MOST, str, FIGURES) for distance in (0.0, 0.02, 0.021, float("nan"))]  # type: ignore[arg-type]
    assert [verdict.disagrees for verdict in verdicts] == [False, False, True, True]


def test_candidates_are_presets_smallest_first() -> None:
    assert all({*names} <= {*presets()} for names in CANDIDATES.values())


@pytest.mark.parametrize("kind", ["student", "encoder", "classifier", "translation"])
def test_no_recipe_is_needed(kind: str, tiny_folder: Path, tmp_path: Path) -> None:
    source = {
        "translation": lambda: tiny_folder,
        "student": lambda: tiny_student_folder(tmp_path / "source"),
        "encoder": lambda: sentence_folder(tmp_path / "source"),
        "classifier": lambda: classifier_folder(tmp_path / "source"),
    }[kind]()
    text = tmp_path / "text"
    text.write_text("a dog runs .\ntwo men are here .\nthe cat is there .\n" * 20, "utf-8")
    document = subbyte.quantize(source, tmp_path / "out", calibration=text)
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    names = CANDIDATES["encoder" if kind == "classifier" else kind]  # type: ignore[index]
    tried = [one["recipe"] for one in document["tried"]]
    assert tried == [*names[: len(tried)]] and report["recipe"] == tried[-1]
    assert document["choice"] == report["choice"] and document["choice"].startswith(f"chose {tried[-1]}, ")
    assert report["agreement"] == document["agreement"] is not None and "text" in report["calibration"]
    assert bool(report["warnings"]) == (choice_distance(report["agreement"]) > report["agreement"]["limit"])


def choice_distance(agreement: dict[str, Any]) -> float:
    return float(agreement["distance"] if "distance" in agreement else agreement["lost"])


def test_a_choice_needs_the_check(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a recipe, or leave the check on"):
        subbyte.quantize(tiny_folder, tmp_path / "out", check=False)


# --- texts


def test_texts_that_ship_do_not_overlap() -> None:
    assert {"de", "en", "es", "fr", "pt"} <= {*shipped_text.languages()}
    for language in shipped_text.languages():
        rounded, compared = (read([language]) for read in (shipped_text.calibration_lines, shipped_text.check_lines))
        assert len(rounded) >= 150 and len(compared) >= 40 and not {*rounded} & {*compared}
        assert all(line.strip() == line and line and "\t" not in line for line in [*rounded, *compared])


def test_several_languages_are_read_in_turn() -> None:
    both = shipped_text.check_lines(["en", "de"])
    assert both[:2] == [shipped_text.check_lines(["en"])[0], shipped_text.check_lines(["de"])[0]]
    assert len(both) == sum(len(shipped_text.check_lines([one])) for one in ("en", "de"))


@pytest.mark.parametrize(
    ("code", "language"),
    [("en", "en"), ("eng", "en"), ("pt_BR", "pt"), ("DEU", "de"), ("xx", None), (None, None), (3, None)],
)
def test_codes_of_languages(code: object, language: str | None) -> None:
    assert shipped_text.named_language(code) == language


@pytest.mark.parametrize(
    ("names", "folder", "languages"),
    [
        (["vocab.enpt.spm", None], "x", ("en",)),
        (["srcvocab.ptes.spm"], "x", ("pt",)),
        ([None, "fra"], "x", ("fr",)),
        (["vocab.zhen.spm"], "opus-mt-en-de", ()),
        (["vocab.spm", None], "opus-mt-deu-eng", ("de",)),
        ([None], "a model", ("en", "de")),
    ],
)
def test_names_say_what_is_read_and_else_the_vocabulary(
    names: Any, folder: str, languages: Any, tmp_path: Path
) -> None:
    def tokens(line: str) -> int:  # of English and German alike
        known = line in [*shipped_text.check_lines(["en"]), *shipped_text.check_lines(["de"])]
        return len(line) // 4 if known else len(line)

    found = translated_languages(names, tmp_path / folder, tokens)
    assert {*found} == {*languages}


def test_a_vocabulary_that_fits_no_language_has_none() -> None:
    assert shipped_text.read_languages(len) == ()


def test_a_named_recipe_is_compared_on_what_ships_and_rounded_for_what_was_given(tmp_path: Path) -> None:
    text = tmp_path / "mine"
    text.write_text("one\ntwo\n", "utf-8")
    plain, calibrated = texts_for_named(None, None, None, ["en"]), texts_for_named(text, None, None, ["en"])
    assert plain.calibration is None and calibrated.calibration == ("one", "two")
    assert plain.check == calibrated.check and plain.check[0] == shipped_text.check_lines(["en"])[0]
    assert texts_for_named(text, None, None, []).check == ("one", "two")
    assert texts_for_named(None, text, None, ["en"]).check == ("one", "two")


def test_a_choice_holds_lines_out(tmp_path: Path) -> None:
    text = tmp_path / "mine"
    lines = [f"line {i}" for i in range(100)]
    text.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    found = texts_to_choose_on(text, None, ["en"])
    assert found.calibration and not {*found.calibration} & {*found.check}
    assert {*lines} <= {*found.calibration, *found.check} and len(found.check) <= CHECKED
    assert sum(line in found.check for line in lines) == 100 // HELD_OUT
    assert {*shipped_text.calibration_lines(["en"])} <= {*found.calibration}
    assert found.check_name == "mine (a fifth) and the text that ships (en)"


@pytest.mark.parametrize(("lines", "languages", "name"), [
    (4, ["en"], "the text that ships (en)"), (5, [], "mine (a fifth)"), (4, [], None),
])  # fmt: skip
def test_a_choice_names_only_what_it_is_compared_on(
    lines: int, languages: list[str], name: str | None, tmp_path: Path
) -> None:
    text = tmp_path / "mine"
    text.write_text("a line\n" * lines, "utf-8")
    assert texts_to_choose_on(text, None, languages).check_name == name


def test_a_choice_is_not_made_on_a_text_without_a_sentence(tmp_path: Path) -> None:
    text = tmp_path / "mine"
    text.write_text("\n  \n", "utf-8")
    with pytest.raises(UsageError, match="is empty"):
        texts_to_choose_on(text, None, ["en"])


def test_of_a_language_that_does_not_ship_words_are_compared(tiny_folder: Path, tmp_path: Path) -> None:
    edit_json(tiny_folder / "tokenizer_config.json", source_lang="xx")
    document = subbyte.quantize(tiny_folder, tmp_path / "out")
    assert document["agreement"] is not None and document["agreement"]["compared"] == "words"  # type: ignore[typeddict-item]
    assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["calibration"] is None
    assert document["choice"] is not None and document["choice"].endswith("in the language of this model ships")
