"""Standard errors over texts: those of the formula where there is one, and of what came out the same on every text."""

from __future__ import annotations

import numpy as np
import pytest

from subbyte.measure.analysis.noise import GROUPS, Difference, difference, share_noise, standard_error
from subbyte.measure.analysis.told import lines, plus_minus
from subbyte.metrics import spearman


def test_of_a_mean_it_is_that_of_the_formula():
    x = np.random.default_rng(0).normal(size=GROUPS)
    assert standard_error(lambda of: float(x[of].mean()), GROUPS) == pytest.approx(x.std(ddof=1) / np.sqrt(GROUPS))


def test_with_more_texts_than_groups_it_is_about_the_same():
    x = np.random.default_rng(0).normal(size=10 * GROUPS)
    found = standard_error(lambda of: float(x[of].mean()), len(x))
    assert found == pytest.approx(x.std() / np.sqrt(len(x)), rel=0.25)


def test_of_spearman_it_is_what_other_texts_would_change():
    rng = np.random.default_rng(1)

    def drawn(count):
        x = rng.normal(size=count)
        return x, x + rng.normal(size=count)

    x, y = drawn(200)
    found = standard_error(lambda of: spearman(x[of], y[of]), 200)
    others = np.std([spearman(*drawn(200)) for _ in range(300)])
    assert found == pytest.approx(others, rel=0.35)


def test_what_both_have_on_a_text_is_no_noise_of_their_difference():
    texts = np.random.default_rng(0).normal(size=50)
    found = difference(texts + 0.1, texts)
    assert found.by == pytest.approx(0.1) and found.noise < 1e-12 and not found.tie


def test_a_difference_below_its_noise_is_a_tie_and_says_how_many_texts_would_show_it():
    found = Difference(0.012, 0.020)
    assert found.tie and not Difference(0.07, 0.02).tie and not Difference(-0.07, 0.02).tie
    enough = found.enough(100)
    assert enough == 2500 and 0.012 >= 3 * 0.020 * np.sqrt(100 / enough)


def test_no_difference_at_all_is_a_tie_that_no_number_of_texts_would_end():
    assert Difference(0.0, 0.0).tie and Difference(0.0, 0.0).enough(100) is None


def test_none_of_few_is_not_never():
    assert share_noise(0.0, 16) > 0.05 and share_noise(1.0, 16) > 0.05 and share_noise(0.0, 10_000) < 0.0002


@pytest.mark.parametrize(
    "value, noise, wanted",
    [
        (0.019667, 0.00092, "0.0197 ± 0.0009"),
        (0.019667, 0.00149, "0.0197 ± 0.0015"),
        (0.0, 0.012, "0.000 ± 0.012"),
        (-0.0001, 0.02, "0.00 ± 0.02"),
        (86.7, 3.2, "87 ± 3"),
        (0.0, 0.0, "0 ± 0"),
        (3e-9, 2e-10, "3e-09 ± 2e-10"),
        (0.5, 0.0, "0.5 ± 0"),
    ],
)
def test_a_figure_has_the_digits_that_its_noise_leaves(value, noise, wanted):
    assert plus_minus(value, noise) == wanted


def test_numbers_of_lines_are_rounded_up():
    assert [lines(count) for count in (7, 60, 61, 101, 1112, 12345)] == ["7", "60", "61", "110", "1,200", "13,000"]
