"""Some dozen batches of fuzz/batches.py for every family and instruction set: a text gets the same in any of them."""

from __future__ import annotations

import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from subbyte.run.resident import instruction_sets

FUZZ = Path(__file__).parents[2] / "fuzz"
BATCHES = 60
ISAS = dict(instruction_sets())
FAMILIES = ("translator", "student", "encoder", "classifier")


@cache
def batches() -> ModuleType:
    sys.path.insert(0, str(FUZZ))
    import batches

    return batches


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("family", FAMILIES)
def test_batches_are_their_texts_alone(family: str, isa: str) -> None:
    if not ISAS[isa]:
        pytest.skip(f"this machine has no {isa}")
    it = batches().subject(family, isa)
    sizes: Counter[bool] = Counter()
    count = len(batches().firsts(it.questions)) + BATCHES
    for number, batch, failure in batches().run(it, family, 1, 0, count):
        assert not failure, (number, batch, [batches().TEXTS[i] for i in batch.numbers], failure)
        sizes[all(not batches().TEXTS[i].strip() for i in batch.numbers)] += 1
    assert sizes[True] > count - BATCHES and sizes[False] > BATCHES // 3  # without a single word, and with some


def test_the_same_seed_draws_the_same_batches() -> None:
    forms = {"form": {"question": lambda numbers, size: []}}
    drawn = [batches().drawn("student", forms, seed, 7) for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_difference_is_found_and_made_small() -> None:
    """A model that answers by the length of its batch."""

    def wrong(numbers: list[int], size: int) -> list[int]:
        return [i + (len(numbers) > 2 and 9 in numbers) for i in numbers]

    forms = {"form": {"question": wrong}}
    it = batches().Subject(lambda form, _: forms[form], forms, forms)
    batch = batches().Batch("form", "question", (1, 2, 9, 3, 4), 2)
    assert "differ" in it.failure(batch)
    assert len(batches().smallest(it, batch).numbers) == 3
    assert not it.failure(batches().Batch("form", "question", (1, 9), 2))
    raising = {"form": {"question": lambda numbers, size: [1 // 0]}}
    assert "ZeroDivisionError" in batches().Subject(lambda form, _: raising[form], raising, raising).failure(batch)
