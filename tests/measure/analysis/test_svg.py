"""Pictures: values stand where they should, zero at zero, and no label on another."""

from __future__ import annotations

import re
from html import escape
from itertools import combinations

import numpy as np
import pytest

from subbyte.measure.analysis import svg
from subbyte.measure.analysis.document import DISTANCES
from subbyte.measure.analysis.svg import Dot

LONG = "a preset with a name that is longer than any that ships, without a text"
TEXT = re.compile(r'<text x="([\d.-]+)" y="([\d.-]+)" text-anchor="(\w+)"[^>]*>([^<]*)</text>')


def boxes(picture):
    """Left, right, upper and lower edge of every text, by the mean width of a letter."""
    found = []
    for x, y, anchor, words in TEXT.findall(picture):
        width = svg.LETTER * 0.9 * len(words)
        left = float(x) - {"start": 0, "middle": width / 2, "end": width}[anchor]
        found.append((left, left + width, float(y) - 9, float(y) + 2, words))
    return found


def assert_legible(picture):
    """No two texts overlap, and none is cut off by the edge."""
    height = float(re.search(r'viewBox="0 0 \d+ (\d+)"', picture)[1])
    for left, right, top, bottom, words in boxes(picture):
        assert left >= -1 and right <= svg.WIDTH + 1 and top >= -1 and bottom <= height + 1, words
    for one, other in combinations(boxes(picture), 2):
        apart = one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]
        assert apart, (one, other)


def rows(count, value=lambda i: 0.01 * 2**i):
    every = range(count)
    return [Dot(f"preset{i}", value(i), 0.004, i % 2, f"{i}.12 bits, {32 + i} times smaller", i == 3) for i in every]


def dot(value, noise=0.0):
    return Dot("a", value, noise, 0, "remark")


@pytest.mark.parametrize("count", [1, 4, 15])
def test_presets_of_about_the_same_figures_do_not_collide(count):
    same = rows(count, lambda i: 0.02 + 1e-6 * i)
    assert_legible(svg.dots("t", "distance: 1 - cosine", ["measured", "expected of a search"], same, 0.03))
    assert_legible(svg.dots("t", "distance: 1 - cosine", ["measured"], rows(count), 0.03))


def test_long_names_are_cut_and_do_not_collide():
    several = [Dot(f"{LONG} {i}", 0.1, 0.01, 0, LONG, False) for i in range(15)]
    picture = svg.dots("t", "distance", ["measured"], several)
    assert_legible(picture)
    assert "…" in picture and LONG not in picture
    assert_legible(svg.bars("t", "distance", ["all but these", "these alone"], [(LONG, [0.1, 0.2]), ("b", [1.0, 0.0])]))


def test_short_names_are_whole():
    assert ">ffn_sum of the last two layers<" in svg.bars("t", "x", ["a"], [("ffn_sum of the last two layers", [1.0])])


def test_marks_of_a_heat_map_do_not_collide_even_at_its_right_end():
    values = np.ones((3, 384))
    values[:, 376:] = 9
    assert_legible(svg.heat("t", ["layer 0", "layer 1", "layer 2"], values))


@pytest.mark.parametrize("unit", DISTANCES.values())
def test_units_are_whole(unit):
    picture = svg.dots("t", f"distance: {unit}", ["measured"], [Dot(LONG, 0.1, 0.01, 0, "remark")])
    assert f">distance: {escape(unit)}<" in picture
    assert_legible(picture)


def circles(picture):
    return [float(x) for x in re.findall(r'<circle class="s\d" cx="([\d.]+)"', picture)]


def tick(picture, words):
    """Where a value of the axis is written; the axis is below all rows."""
    return max((float(y), float(x)) for x, y, _, text in TEXT.findall(picture) if text == words)[1]


def test_a_distance_of_zero_is_drawn_as_zero():
    picture = svg.dots("t", "x", ["a"], [dot(0.0), dot(0.001), dot(0.1)])
    zero, small, large = circles(picture)
    assert zero == pytest.approx(tick(picture, "0"), abs=0.1)
    assert small == pytest.approx(tick(picture, "0.001"), abs=0.1)
    assert large == pytest.approx(tick(picture, "0.1"), abs=0.1)
    assert zero < small < large


def test_noise_that_reaches_below_zero_ends_at_zero():
    picture = svg.dots("t", "x", ["a"], [dot(0.01, 0.02), dot(0.5, 0.1)])
    start, end = map(float, re.search(r'class="line" d="M([\d.]+) [\d.]+H([\d.]+)"', picture).groups())
    assert start == pytest.approx(tick(picture, "0"), abs=0.1)
    assert start < circles(picture)[0] < end


@pytest.mark.parametrize("values", [[0.0, 0.0], [2.0, 2.0], [1e-12, 1.0], [5.0]])
def test_whatever_the_values_are_it_can_be_drawn(values):
    for picture in (
        svg.dots("t", "x", ["a"], [dot(value) for value in values]),
        svg.bars("t", "x", ["a"], [("a", [value]) for value in values]),
        svg.bars("t", "x", ["a"], [("a", [value]) for value in values], log=True),
    ):
        assert "nan" not in picture and "inf" not in picture and ">0<" in picture
        assert_legible(picture)


@pytest.mark.parametrize("log", [False, True])
def test_bars_are_as_long_as_their_values(log):
    values = {"one": [1.0], "ten": [10.0], "hundred": [100.0], "none": [0.0]}
    picture = svg.bars("t", "x", ["a"], [*values.items()], log=log)
    one, ten, hundred, none = map(float, re.findall(r'class="s0" x="[\d.]+" y="\d+" width="([\d.]+)"', picture))
    assert none == 0 < one < hundred
    assert ten - one == pytest.approx(hundred - ten, abs=0.2) if log else 10 * ten == pytest.approx(hundred, abs=1)


def test_the_limit_is_a_line_at_its_place():
    picture = svg.dots("t", "x", ["a"], [dot(0.03), dot(0.5, 0.1)], 0.03)
    assert float(re.search(r'class="limit" d="M([\d.]+)', picture)[1]) == pytest.approx(circles(picture)[0], abs=0.1)
