"""The engine of encoders against numpy_bert's forward pass: floats, packed weights, and activations on grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from builders.numpy_bert import forward, random_model
from builders.random_encoders import CONFIGS, SCHEMES, WIDE, batch, grid, packed, static
from subbyte.models import encoder
from subbyte.models.families import encoder_of
from subbyte.models.model import Float, Model, Static
from subbyte.numbers.grids import Grid
from subbyte.run.encoder_engine import EncoderEngine

INPUTS = ("embeddings.output", "output", "context", "ffn_input", "hidden", "pooler")  # of products


def multiplied(model: Model, point: str) -> bool:
    return encoder_of(model.config).points()[point].multiplied


def check(model: Model, isa: str = "best", points: list[str] | None = None, tolerance: float = 2e-5) -> None:
    """Every point of the engine is what numpy makes of what the engine has at the points before."""
    engine = EncoderEngine(model, isa=isa, threads=1)
    ids, types = batch(model)
    # Scores and probabilities never stand in the engine's memory: numpy makes its own.
    names = [point for point in engine.points if point.rpartition(".")[2] not in ("scores", "probabilities")]
    arrays = engine.observe(ids, types, names)
    ends = np.cumsum([len(text) for text in ids])
    for number, (end, text, kinds) in enumerate(zip(ends, ids, types, strict=True)):
        seen = {
            point: array[number : number + 1] if point in ("pooler", "classifier") else array[end - len(text) : end]
            for point, array in zip(names, arrays, strict=True)
        }
        expected = forward(model, text, kinds, engine.activations, seen)
        for point in points or names:
            span = np.abs(expected[point]).max()
            np.testing.assert_allclose(seen[point], expected[point], rtol=0, atol=tolerance * span, err_msg=point)


@pytest.mark.parametrize("name", CONFIGS)
def test_float_encoders_are_those_of_numpy(name: str, isa: str) -> None:
    model = random_model(**CONFIGS[name])
    engine = EncoderEngine(model, isa=isa, threads=1)
    longest = engine.settings.longest
    ids, types = batch(model, (5, 1, longest, 3))
    expected = [forward(model, *text) for text in zip(ids, types, strict=True)]
    last = f"layers.{engine.settings.layers - 1}.output"
    states = engine.states(ids, types)
    assert [len(state) for state in states] == [5, 1, longest, 3]
    for state, one in zip(states, expected, strict=True):
        np.testing.assert_allclose(state, one[last], rtol=1e-5, atol=1e-5)
    poolings = {"mean": lambda x: x.mean(0), "cls": lambda x: x[0], "max": lambda x: x.max(0)}
    for pooling, pool in poolings.items():
        np.testing.assert_allclose(
            engine.pooled(ids, types, pooling), [pool(one[last]) for one in expected], rtol=1e-5, atol=1e-5
        )
    if engine.settings.labels:
        logits = np.concatenate([one["classifier"] for one in expected])
        np.testing.assert_allclose(engine.logits(ids, types), logits, rtol=1e-5, atol=1e-5)


def test_without_types_all_are_the_first() -> None:
    engine = EncoderEngine(random_model(), threads=1)
    ids, types = batch(random_model())
    zeros = [[0] * len(text) for text in ids]
    assert np.array_equal(engine.logits(ids), engine.logits(ids, zeros))
    assert not np.array_equal(engine.logits(ids), engine.logits(ids, types))


@pytest.mark.parametrize("name", ["bert", "odd", "distilbert", "roberta bare"])
def test_all_points_of_float_encoders_are_those_of_numpy(name: str) -> None:
    """What `observe` returns, scores and probabilities too."""
    model = random_model(**CONFIGS[name])
    engine = EncoderEngine(model, threads=1)
    ids, types = batch(model)
    expected = [forward(model, *text) for text in zip(ids, types, strict=True)]
    names = [*engine.points][::-1]
    for point, found in zip(names, engine.observe(ids, types, names), strict=True):
        values = np.concatenate([one[point] for one in expected])
        assert found.dtype == np.float32 and found.shape == values.shape
        np.testing.assert_allclose(found, values, rtol=1e-5, atol=2e-5, err_msg=point)


@pytest.mark.parametrize("kind", ["float", "int8", "static", "static dense", "operands", "operands dense"])
def test_what_matrices_multiply_is_seen(kind: str) -> None:
    """`inputs` returns the points before each matrix, rounded as they are there."""
    scheme = None if kind == "float" or "dense" in kind else "int8"
    on_grids = "static" in kind or "operands" in kind
    model = static("wide", scheme, bits=8) if on_grids else packed("wide", scheme) if scheme else random_model(**WIDE)
    if "operands" in kind:
        model = replace(
            model,
            activations=Static(
                {p: replace(g, operand=multiplied(model, p)) for p, g in model.activations.grids.items()}
            ),
        )
    engine = EncoderEngine(model, threads=1)
    ids, types = batch(model)
    names = [name for name, role in model.roles.items() if role.kind != "embedding"]
    found = dict(zip(names, engine.inputs(ids, types, names), strict=True))
    points = {"query": "embeddings.output", "1.attention.self.key": "layers.0.output", "pooler": "layers.2.output"}
    points |= {"0.attention.output": "layers.0.context", "2.intermediate": "layers.2.ffn_input"}
    points |= {"1.output.dense": "layers.1.hidden", "classifier": "pooler"}
    for end, point in points.items():
        name = next(
            name for name in names if end in name and ("attention" in name) == ("attention" in end or end == "query")
        )
        (values,) = engine.observe(ids, types, [point])
        values = engine._rounded(point, values)
        firsts = np.cumsum([0, *map(len, ids)])[:-1]
        expected = values[firsts] if end == "pooler" else values
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    assert engine.inputs(ids, types, [encoder.WORDS])[0].size == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["wide", "odd", "roberta"])
def test_packed_encoders_are_those_of_numpy(name: str, scheme: str) -> None:
    check(packed(name, scheme))
    check(replace(packed(name, scheme), activations=Float()))


# Bondarenko et al. 2021: per-tensor, per-embedding-group and mixed precision, simulated by rounding floats.
GRIDS: Mapping[str, dict[str, Any]] = {
    "8": {"bits": 8}, "8 symmetric": {"bits": 8, "symmetric": True}, "4": {"bits": 4}, "2": {"bits": 2},
    "16": {"bits": 16}, "16 symmetric": {"bits": 16, "symmetric": True},
    "8 groups": {"bits": 8, "groups": 3}, "16 groups": {"bits": 16, "groups": 3},
    "8 symmetric groups": {"bits": 8, "groups": 3, "symmetric": True}, "4 groups": {"bits": 4, "groups": 3},
}  # fmt: skip


def wide_static(scheme: str | None, kind: str) -> Model:
    """Three groups divide 48 columns; the feed-forward layer's 64 have four."""
    options = dict(GRIDS[kind])
    model = static("wide", scheme, **options | {"groups": 1})
    if options.get("groups", 1) == 1:
        return model
    arguments = {key: value for key, value in options.items() if key != "groups"}
    grids = {
        point: grid("wide", point, groups={48: 3, 64: 4}[of.width], **arguments)
        for point, of in encoder_of(model.config).points().items()
        if of.width in (48, 64)
    }
    return replace(model, activations=Static({**model.activations.grids, **grids}))


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("scheme", ["int8", "affine", "binary", "clusters", None], ids=str)
def test_integers_are_what_rounding_floats_simulates(scheme: str | None, kind: str) -> None:
    """Every product on a grid, with folded zeros and scales, equals float products of rounded values (A2.6)."""
    check(wide_static(scheme, kind), tolerance=5e-5)


@pytest.mark.parametrize("kind", ["8", "16"])
@pytest.mark.parametrize("scheme", ["groups", "binary groups", "tensor", "normal", "log"])
def test_weights_in_groups_multiply_one_grid(scheme: str, kind: str) -> None:
    check(wide_static(scheme, kind), tolerance=5e-5)


@pytest.mark.parametrize("name", ["odd", "distilbert", "roberta"])
def test_grids_on_widths_that_need_padding(name: str) -> None:
    check(static(name, "affine", bits=8), tolerance=5e-5)
    check(static(name, "int8", bits=16), tolerance=5e-5)


@pytest.mark.parametrize("points", [["layers.1.ffn_input"], ["embeddings.sum", "layers.2.scores"], ["pooler"]], ids=str)
def test_what_has_no_grid_is_rounded_per_token(points: list[str]) -> None:
    model = static("wide", "int8", bits=8)
    check(
        replace(model, activations=Static({point: model.activations.grids[point] for point in points})), tolerance=5e-5
    )
    check(
        replace(
            model, activations=Static({point: g for point, g in model.activations.grids.items() if point not in points})
        ),
        tolerance=5e-5,
    )


@pytest.mark.parametrize("kind", ["4", "16", "8 groups"])
@pytest.mark.parametrize("scheme", ["int8", "affine", None], ids=str)
def test_operands_are_rounded_where_matrices_read_them_and_nowhere_else(scheme: str | None, kind: str) -> None:
    model = wide_static(scheme, kind)
    operands = {
        point: replace(g, operand=True) for point, g in model.activations.grids.items() if multiplied(model, point)
    }
    assert len(operands) == 1 + 4 * 3 + 1
    check(replace(model, activations=Static({**model.activations.grids, **operands})), tolerance=5e-5)
    check(replace(model, activations=Static(operands)), tolerance=5e-5)
    ids, types = batch(model)
    both = [
        EncoderEngine(m, threads=1)
        for m in (model, replace(model, activations=Static({**model.activations.grids, **operands})))
    ]
    assert not np.array_equal(*(engine.logits(ids, types) for engine in both))


def test_scores_and_probabilities_are_rounded() -> None:
    """With a coarse grid at either, the context is what numpy has."""
    model = static("wide", "int8", bits=8)
    for point in ("scores", "probabilities"):
        coarse = {f"layers.{i}.{point}": grid("wide", f"layers.{i}.{point}", 3) for i in range(3)}
        check(
            replace(model, activations=Static({**model.activations.grids, **coarse})),
            points=["layers.1.context"],
            tolerance=5e-5,
        )


def test_one_group_is_the_whole_tensor() -> None:
    """Groups with the same grid each are one group with it."""
    whole = static("wide", "int8", bits=8)
    wide = {
        point: g
        for point, g in whole.activations.grids.items()
        if point.rpartition(".")[2] in INPUTS or point in INPUTS
    }
    split = {
        point: Grid(8, g.scale * count, g.zero * count)
        for point, g in wide.items()
        for count in [4 if point.endswith("hidden") else 3]
    }
    ids, types = batch(whole)
    one, many = (
        EncoderEngine(m, threads=1)
        for m in (whole, replace(whole, activations=Static({**whole.activations.grids, **split})))
    )
    (before,), (after,) = (engine.observe(ids, types, ["layers.0.query"]) for engine in (one, many))
    np.testing.assert_allclose(before, after, rtol=0, atol=1e-5)
    assert many.weight_bytes > one.weight_bytes


@pytest.mark.parametrize("activations", ["int8", "float32"])
def test_grids_may_be_left_out(activations: str) -> None:
    model = static("wide", "int8", bits=2)
    ids, types = batch(model)
    found = EncoderEngine(model, threads=1, activations=activations).logits(ids, types)
    expected = EncoderEngine(packed("wide", "int8"), threads=1, activations=activations).logits(ids, types)
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, EncoderEngine(model, threads=1).logits(ids, types))


@pytest.mark.parametrize("groups", [2, 6, 48])
def test_groups_of_any_width_are_fine_where_nothing_multiplies_codes(groups: int) -> None:
    """At points that no product reads, and at dense weights."""
    for scheme, point in ((None, "layers.0.ffn_input"), ("int8", "layers.0.ffn_sum"), ("int8", "layers.1.key")):
        model = packed("wide", scheme) if scheme else random_model(**WIDE)
        grids = {point: grid("wide", point, 8, groups)}
        check(replace(model, activations=Static(grids)), tolerance=5e-5)
