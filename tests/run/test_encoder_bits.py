"""Encoders give the same bits everywhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from builders.numpy_bert import random_model
from builders.random_encoders import WIDE, batch, static
from subbyte.compress.rounding import quantize_model
from subbyte.models.families import encoder_of
from subbyte.models.model import Dynamic, Model, Static
from subbyte.numbers.granularity import PerGroup
from subbyte.numbers.grids import Grid, limit
from subbyte.numbers.schemes import BinaryCoding, Uniform
from subbyte.run.encoder_engine import EncoderEngine

LARGE = {"hidden_size": 96, "num_attention_heads": 6, "intermediate_size": 128, "num_hidden_layers": 1}
LENGTHS = (16, 3, 1, 9, 12, 16, 7, 2)  # enough to be worth sharing among threads


@cache
def large(kind: str) -> Model:
    """Models that threads share."""
    model = random_model(**LARGE)
    if kind == "float":
        return model
    scheme = BinaryCoding(3) if kind == "binary" else Uniform(4, PerGroup(16)) if kind == "groups" else Uniform(8)
    model = replace(quantize_model(model, dict.fromkeys(model.roles, scheme)), activations=Dynamic())
    if not kind.startswith("static"):
        return model
    bits, groups = {"static": (8, 1), "static 16": (16, 1), "static groups": (8, 2)}[kind]
    grids = {
        point: Grid(bits, tuple((np.linspace(4, 9, k) / limit(bits)).tolist()), (3,) * k)
        for point, of in encoder_of(model.config).points().items()
        for k in [groups if of.width > 8 else 1]
    }
    return replace(model, activations=Static(grids))


KINDS = ("float", "int8", "binary", "groups", "static", "static 16", "static groups")


@cache
def by_the_reference(kind: str) -> tuple[bytes, ...]:
    return answers(EncoderEngine(large(kind), isa="reference", threads=1), *batch(large(kind), LENGTHS))


def answers(engine: EncoderEngine, ids: list[list[int]], types: list[list[int]]) -> tuple[bytes, ...]:
    """The bits of the logits and of the pooled vectors, text by text."""
    both = zip(engine.logits(ids, types), engine.pooled(ids, types), strict=True)
    return tuple(logits.tobytes() + vector.tobytes() for logits, vector in both)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_are_the_same_everywhere(kind: str, isa: str) -> None:
    """On every instruction set, with every number of threads, whatever stands beside a text."""
    model = large(kind)
    ids, types = batch(model, LENGTHS)
    engine = EncoderEngine(model, isa=isa, threads=1)
    assert answers(engine, ids, types) == by_the_reference(kind)
    assert answers(EncoderEngine(model, isa=isa, threads=2), ids, types) == by_the_reference(kind)
    for size in (1, 5):
        parts = [slice(first, first + size) for first in range(0, 5, size)]
        alone = [one for part in parts for one in answers(engine, ids[part], types[part])]
        assert tuple(alone) == by_the_reference(kind)[: len(alone)]


def test_several_callers_wait_for_each_other() -> None:
    engine = EncoderEngine(large("static"), threads=2)
    batches = [batch(large("static"), (7, 16, 2), seed) for seed in range(6)]
    expected = [answers(engine, *one) for one in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: answers(engine, *batches[i % 6]), range(24)))
    assert found == expected * 4


def test_a_look_at_points_leaves_nothing_behind() -> None:
    engine = EncoderEngine(static("wide", "int8", bits=8), threads=1)
    ids, types = batch(random_model(**WIDE))
    before = engine.logits(ids, types)
    first = engine.observe(ids, types, ["layers.1.ffn_sum", "layers.1.ffn_sum"])
    second = engine.observe(ids, types, ["layers.1.ffn_sum"])
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[0], first[1])
    name = "encoder.layer.0.output.dense.weight"
    assert np.array_equal(*(engine.inputs(ids, types, [name])[0] for _ in range(2)))
    assert np.array_equal(before, engine.logits(ids, types))
