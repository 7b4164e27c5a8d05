"""What is recommended follows from the figures of the document: on documents made by hand."""

from __future__ import annotations

import shlex

import pytest

from builders.analysis_documents import counted, document, size, spread, vectors
from subbyte.compress import encoder_agreement, translation_agreement
from subbyte.measure.analysis.advice import FEW
from subbyte.measure.analysis.keeping import LIMITS


def near(mean, noise=0.0005, texts=100, seed=0):
    return vectors(spread(mean, noise, texts, seed))


def sentence(found, start):
    (one,) = (one for one in found["findings"] if one.startswith(start))
    return one


def test_the_smallest_that_keeps_the_answers_is_recommended_and_its_command_comes_first():
    found = document(
        size("encoder4", 4.1, near(0.01), calibrated=True),
        size("int8", 8.1, near(0.003)),
        size("normal3", 3.1, near(0.2)),
    )
    command, headline, *_ = found["findings"]
    assert found["recommended"] == {
        "recipe": "encoder4", "calibrated": True, "command": command, "keeps": True, "certain": True
    }  # fmt: skip
    assert shlex.split(command) == [
        *"subbyte quantize".split(), "models/mini lm", "minilm-encoder4", "--recipe", "encoder4", "--calibration",
        "texts.txt",
    ]  # fmt: skip
    assert headline.startswith("encoder4 is 7.8 times smaller than float32 (4.1 bits a weight") and "keeps" in headline
    assert "cosine 0.9900 ± 0.0005, where 0.979 is the least" in headline
    assert sentence(found, "The next larger step").startswith("The next larger step is int8, 3.95 times smaller")
    assert "does not keep the answers: cosine 0.8000 ± 0.0005" in sentence(found, "The next smaller step, normal3")


def test_a_preset_that_needs_no_text_gets_a_command_without_one():
    found = document(size("int8", 8.1, near(0.003)))
    assert "--calibration" not in found["findings"][0]


def test_of_the_same_size_the_better_by_its_figure_is_recommended():
    """w8a8-peg was, though w8a8-mixed was closer."""
    found = document(
        size("w8a8", 8.08, near(0.131), calibrated=True),
        size("w8a8-peg", 8.07, near(0.02, seed=1), calibrated=True),
        size("w8a8-mixed", 8.08, near(0.006, seed=2), calibrated=True),
    )
    assert found["recommended"]["recipe"] == "w8a8-mixed"
    told = sentence(found, "Of about 8.1 bits a weight")
    assert "w8a8-mixed is the closest" in told and "tie" not in told
    assert told.index("w8a8-peg by 0.014") < told.index("w8a8 by 0.12")


@pytest.mark.parametrize("calibrated, wanted", [(False, "first"), (True, "second")])
def test_of_those_that_tie_one_without_a_text_or_else_the_first_is_recommended(calibrated, wanted):
    found = document(
        size("first", 4.1, near(0.0101, 0.001, seed=1), calibrated=calibrated),
        size("second", 4.1, near(0.0099, 0.001, seed=2)),
    )
    assert found["recommended"]["recipe"] == wanted
    assert "second and first tie: 0.000" in sentence(found, "Of about 4.1 bits a weight")
    assert "closest" not in " ".join(found["findings"])


def test_a_tie_has_its_difference_and_noise():
    found = document(
        size("uniform3", 3.1, near(0.262, 0.01, seed=1)),
        size("normal3", 3.1, near(0.250, 0.0174, seed=2)),
        size("int8", 8.1, near(0.001)),
    )
    told = sentence(found, "Of about 3.1 bits a weight")
    assert told.startswith("Of about 3.1 bits a weight, normal3 and uniform3 tie: 0.012 ± 0.019 between them.")


def test_what_both_lose_on_the_same_texts_is_no_noise_between_them():
    hard = spread(0.01, 0.002)
    found = document(size("a", 4.1, vectors(hard)), size("b", 4.1, vectors([one - 0.001 for one in hard])))
    assert "b is the closest" in sentence(found, "Of about 4.1") and found["recommended"]["recipe"] == "b"


def test_a_distance_of_exactly_zero():
    found = document(
        size("same", 8.1, vectors([0.0] * 100)), size("equal", 8.1, vectors([0.0] * 100)), size("far", 4.0, near(0.3))
    )
    assert found["recommended"]["recipe"] == "same" and found["recommended"]["certain"]
    assert "distance 0 ± 0" in sentence(found, "same: ")
    assert "same and equal tie: 0 ± 0" in sentence(found, "Of about 8.1")
    assert not any("nan" in one or "inf" in one for one in found["findings"])


def test_a_gain_in_likelihood_is_a_distance_of_zero_and_a_tie():
    found = document(
        size("uniform3", 3.1, counted("lost", 0.0, spread(0.01, 0.02, seed=1)), "translation"),
        size("normal3", 3.1, counted("lost", 0.0, spread(-0.01, 0.02, seed=2)), "translation"),
        task="translation",
    )
    assert "distance 0.00 ± 0.02" in sentence(found, "uniform3: ") or "0.01 ± 0.02" in sentence(found, "uniform3: ")
    assert " tie: 0.02 ± " in sentence(found, "Of about 3.1")


def test_noise_that_reaches_over_the_limit_is_said_with_the_lines_that_would_tell():
    found = document(size("encoder4", 4.1, near(0.019, 0.003)), size("int8", 8.1, near(0.003)))
    assert found["recommended"]["recipe"] == "encoder4" and not found["recommended"]["certain"]
    assert "seems to keep the answers" in found["findings"][1]
    told = sentence(found, "The noise of these texts reaches over the limit: whether encoder4")
    assert "about 4,100 lines would" in told  # 100 judged texts, (3 * 0.003 / 0.002)^2 times, and as many for ranges


def test_a_smaller_one_that_may_do_is_named_and_not_recommended():
    found = document(size("tiny", 3.1, near(0.024, 0.003)), size("int8", 8.1, near(0.003)))
    assert found["recommended"]["recipe"] == "int8" and found["recommended"]["certain"]
    assert "may keep the answers or not" in sentence(found, "The next smaller step, tiny")
    assert "whether tiny keeps" in sentence(found, "The noise of these texts")


def test_a_larger_one_of_which_that_is_open_is_of_no_interest():
    found = document(size("small", 4.1, near(0.01)), size("large", 8.1, near(0.022, 0.003)))
    assert found["recommended"]["recipe"] == "small"
    assert not any("noise of these texts" in one for one in found["findings"])


def test_a_larger_one_that_is_closer_by_no_more_than_noise_is_no_step():
    found = document(size("encoder4", 4.1, near(0.01, 0.002)), size("int8", 8.1, near(0.0095, 0.002, seed=3)))
    assert sentence(found, "Nothing larger that was measured is closer")


@pytest.mark.parametrize("texts", [12, FEW - 1])
def test_few_texts_are_too_short_and_it_is_said_how_many_would_do(texts):
    found = document(size("int8", 8.1, near(0.003, texts=texts)), size("uniform2", 2.1, near(0.5, texts=texts)))
    told = sentence(found, "The text is too short to tell")
    assert f"{texts} of its {2 * texts} lines were judged; about {2 * FEW} lines would." in told
    assert not found["recommended"]["certain"] and "seems to keep" in found["findings"][1]


def test_enough_texts_are_not_called_too_short():
    found = document(size("int8", 8.1, near(0.003, texts=FEW)), size("uniform2", 2.1, near(0.5, texts=FEW)))
    assert not any("too short" in one or "noise of these" in one for one in found["findings"])
    assert found["recommended"]["certain"]


def test_no_lost_token_in_few_is_not_certain():
    quality = counted("lost", 0.0, [0.0] * 40)
    found = document(size("uniform3", 3.1, quality, "translation"), task="translation")
    assert found["recommended"]["keeps"] and not found["recommended"]["certain"]


def test_where_nothing_keeps_the_answers_the_closest_is_told_as_such():
    found = document(size("int8", 8.1, near(0.1)), size("uniform2", 2.1, near(0.5)))
    assert found["recommended"]["recipe"] == "int8" and not found["recommended"]["keeps"]
    assert found["findings"][1].startswith("No preset that was measured keeps the answers") and found["findings"][0]
    assert "next" not in " ".join(found["findings"])


@pytest.mark.parametrize("moved, wanted", [(0.015, "small"), (0.025, "large")])
def test_labels_are_kept_where_little_probability_moves(moved, wanted):
    found = document(
        size("small", 4.1, counted("moved", moved, spread(0.01, 0.001)), "classification"),
        size("large", 8.1, counted("moved", 0.001, spread(0.0001, 0.00001)), "classification"),
        task="classification",
    )
    assert found["recommended"]["recipe"] == wanted
    assert "probability on other labels" in found["findings"][1] and "where 2.1 % is the most" in found["findings"][1]


def test_the_limits_are_those_of_quantize():
    assert LIMITS["translation"].value == translation_agreement.KEPT
    for task, measured in (("classification", "labels"), ("regression", "number")):
        assert LIMITS[task].value == pytest.approx(encoder_agreement.KEPT[measured])
    assert 1 - LIMITS["vectors"].value == pytest.approx(encoder_agreement.KEPT["vectors"])


def test_the_same_preset_with_a_text_and_without_has_two_names():
    found = document(
        size("encoder4", 4.12, near(0.01), calibrated=True), size("encoder4", 4.12, near(0.059, seed=4)),
        size("int8", 8.1, near(0.003)),
    )  # fmt: skip
    assert found["recommended"]["calibrated"] and "--calibration texts.txt" in found["findings"][0]
    assert "encoder4 is the closest" in sentence(found, "Of about 4.1") and "encoder4 without a text by" in sentence(
        found, "Of about 4.1"
    )


def test_nothing_measured_is_nothing_recommended():
    found = document()
    assert found["recommended"] is None and found["findings"] == []
