"""The choice of bits is the best there is: against every other choice, for small problems."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subbyte.compress.search import choosing
from subbyte.compress.search.choosing import Cost, Option, choose, options, widths
from subbyte.numbers.granularity import PerGroup
from subbyte.numbers.schemes import BinaryCoding, Clustered, Logarithmic, Uniform

OPTIONS = st.builds(Option, st.just(Uniform(4)), st.integers(0, 12), st.integers(0, 6).map(float))
PROBLEMS = st.lists(st.lists(OPTIONS, min_size=1, max_size=4), min_size=1, max_size=5).map(
    lambda several: {str(i): one for i, one in enumerate(several)}
)


def loss(chosen) -> float:
    return sum(option.loss for option in chosen.values())


def best_of_all(problem, fits) -> float | None:
    every = (dict(zip(problem, one, strict=True)) for one in product(*problem.values()))
    return min((loss(chosen) for chosen in every if fits(chosen)), default=None)


def size(chosen) -> int:
    return sum(option.bytes for option in chosen.values())


@given(PROBLEMS, st.integers(-1, 65))
def test_no_choice_that_fits_loses_less(problem, room):
    chosen = choose(problem, room)
    best = best_of_all(problem, lambda one: size(one) <= room)
    assert (chosen is None) == (best is None)
    if chosen is not None:
        assert [*chosen] == [*problem] and all(option in problem[name] for name, option in chosen.items())
        assert size(chosen) <= room and loss(chosen) == best


@given(PROBLEMS, st.integers(0, 60), st.integers(0, 12))
def test_more_room_never_loses_more(problem, room, more):
    less, greater = (choose(problem, limit) for limit in (room, room + more))
    assert less is None or (greater is not None and loss(greater) <= loss(less))


def test_what_is_too_large_after_all_is_not_chosen():
    problem = {"a": [Option(Uniform(bits), 10 * bits, 8.0 - bits) for bits in (1, 2, 3)]}
    asked = []
    chosen = choose(problem, 35, lambda one: asked.append(one["a"].bytes) or one["a"].bytes - 12)
    assert chosen == {"a": problem["a"][0]} and asked == [30, 20, 10]
    assert choose(problem, 35, lambda _: 1) is None


def test_large_problems_use_nearly_all_the_room():
    generator = np.random.default_rng(0)
    problem = {
        str(i): [Option(Uniform(b), int(generator.integers(10**4, 10**6)) * b, 4.0**-b) for b in range(2, 9)]
        for i in range(60)
    }
    whole = sum(several[-1].bytes for several in problem.values())
    chosen = choose(problem, whole // 2)
    assert chosen and 0.997 * (whole // 2) < size(chosen) <= whole // 2


def test_a_loss_is_between_those_measured_and_grows_with_the_error():
    two, three = BinaryCoding(2), BinaryCoding(3)
    errors = {BinaryCoding(1): 40.0, two: 10.0, three: 2.5, Uniform(3): 5.0, Uniform(4): 1.25}
    cost = Cost(8, {two: 0.4, three: 0.1}, errors)
    assert cost.loss(two) == pytest.approx(0.4) and cost.loss(three) == pytest.approx(0.1)
    assert cost.loss(Uniform(3)) == pytest.approx(0.2)
    assert cost.loss(BinaryCoding(1)) == pytest.approx(1.6)  # beyond what was measured: in proportion
    assert cost.loss(Uniform(4)) == pytest.approx(0.05)
    assert cost.loss(Uniform(6)) == pytest.approx(0.05 / 16)  # not measured: four times less a bit
    assert Cost(8, {two: 0.1, three: 0.4}, errors).loss(two) >= 0.4  # noise does not make a larger error cheaper
    assert Cost(8, {two: 0.1}, {two: 0.0}).loss(two) == 0
    with pytest.raises(ValueError, match="nothing was measured"):
        cost.loss(Logarithmic(3))


def test_widths_are_those_that_the_scheme_has():
    assert [one.bits for one in widths(BinaryCoding(2))] == [1, 2, 3, 4]
    assert [one.bits for one in widths(Uniform(2, mode="midrise"))] == [1, 2, 3, 4, 5, 6, 7]
    assert {one.granularity for one in widths(Uniform(4, PerGroup(16)))} == {PerGroup(16)}


def test_options_of_an_embedding_have_clusters_and_none_is_beaten(monkeypatch):
    monkeypatch.setattr(choosing, "RATIOS", (1, 2))
    schemes = [Uniform(bits) for bits in (2, 3, 4)]
    errors = {scheme: 4.0**-scheme.bits for scheme in schemes}
    ranges = [
        Cost(10, {schemes[0]: 0.8}, errors),
        Cost(20, {schemes[0]: 0.2}, errors),
        Cost(30, {schemes[0]: 0.1}, errors),
    ]

    def size(scheme) -> int:
        if isinstance(scheme, Clustered):
            return sum(one.bits * rows for one, rows in zip(scheme.schemes, scheme.clusters.sizes(60), strict=True))
        return 60 * scheme.bits

    found = options(ranges, schemes, size)
    assert [one.bytes for one in found] == sorted({one.bytes for one in found})
    assert [one.loss for one in found] == sorted({one.loss for one in found}, reverse=True)
    assert any(isinstance(one.scheme, Clustered) for one in found)
    by_scheme = {str(one.scheme): one for one in found}
    two = next(one for text, one in by_scheme.items() if "count=2, ratio=2" in text and one.scheme.scheme.bits == 3)
    # 20 rows of 3 bits, which are the first range and half of the second; the others have 2
    assert two.loss == pytest.approx(0.8 / 4 + 0.5 * 0.2 / 4 + 0.5 * 0.2 + 0.1)
    assert not any(isinstance(one.scheme, Clustered) for one in options(ranges[:1], schemes, size))
