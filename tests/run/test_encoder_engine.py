"""The engine of encoders against numpy_bert's forward pass: floats, packed weights, and activations on grids."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from builders.numpy_bert import DISTILBERT, ROBERTA, TINY, forward, random_model
from subbyte.compress.rounding import quantize_model
from subbyte.errors import KernelError, UsageError
from subbyte.models import encoder
from subbyte.models.families import encoder_of
from subbyte.models.model import Dynamic, Float, Model, Static
from subbyte.numbers.granularity import PerGroup, PerRow, PerTensor, RowClusters
from subbyte.numbers.grids import Grid, from_range, limit
from subbyte.numbers.schemes import BinaryCoding, Clustered, Logarithmic, Normal, Scheme, Uniform
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.resident import instruction_sets

ISAS = dict(instruction_sets())

CONFIGS: Mapping[str, dict[str, Any]] = {
    "bert": {},
    "bare": {"architectures": ["BertModel"]},
    "relu": {"hidden_act": "relu", "layer_norm_eps": 1e-5},
    "silu": {"hidden_act": "silu", "type_vocab_size": 3, "num_labels": 1},
    "odd": {"hidden_size": 15, "num_attention_heads": 3, "intermediate_size": 37, "vocab_size": 53},
    "wide": {"hidden_size": 48, "num_attention_heads": 2, "intermediate_size": 64},
    "one head": {"num_attention_heads": 1, "num_hidden_layers": 1},
    "distilbert": DISTILBERT,
    "distilbert relu": {**DISTILBERT, "activation": "relu", "n_heads": 2},
    "roberta": ROBERTA,
    "roberta bare": {**ROBERTA, "architectures": ["RobertaModel"], "pad_token_id": 4},
}
SCHEMES: Mapping[str, Scheme | Clustered] = {
    "int8": Uniform(8),
    "affine": Uniform(4, mode="affine"),
    "tensor": Uniform(5, PerTensor()),
    "normal": Normal(4),
    "log": Logarithmic(3),
    "binary": BinaryCoding(3),
    "binary2": BinaryCoding(2),
    "clusters": Clustered(Uniform(8), RowClusters(2, 1.5)),
    "groups": Uniform(3, PerGroup(16), mode="affine"),
    "binary groups": BinaryCoding(3, PerGroup(16)),
}
WIDE = CONFIGS["wide"]
INPUTS = ("embeddings.output", "output", "context", "ffn_input", "hidden", "pooler")  # of products


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    if not ISAS[request.param]:
        pytest.skip(f"this machine has no {request.param}")
    return str(request.param)


def batch(model: Model, lengths: tuple[int, ...] = (5, 1, 11, 3), seed: int = 0) -> tuple[list[list[int]], ...]:
    """Ids and types of texts of these lengths."""
    rng = np.random.default_rng(seed)
    s = encoder_of(model.config)
    ids = [rng.integers(0, s.vocab_size, n).tolist() for n in lengths]
    return ids, [rng.integers(0, max(s.types, 1), n).tolist() for n in lengths]


@cache
def packed(name: str, scheme: str) -> Model:
    """A random model with all matrices under a scheme; what does not divide into groups or clusters has none."""
    model = random_model(**CONFIGS[name])
    one = SCHEMES[scheme]
    plain = one.scheme if isinstance(one, Clustered) else replace(one, granularity=PerRow())
    fits = {
        key: model.tensors[key].shape[0] > 1 if isinstance(one, Clustered) else model.tensors[key].shape[1] % 16 == 0
        for key in model.roles
    }
    schemes = {key: one if fits[key] else plain for key in model.roles}
    return replace(quantize_model(model, schemes), activations=Dynamic())


@cache
def observed(name: str) -> dict[str, np.ndarray]:
    """What a random float model has at every point on some texts, to choose ranges by."""
    model = random_model(**CONFIGS[name])
    seen = [forward(model, *text) for text in zip(*batch(model, seed=7), strict=True)]
    return {point: np.concatenate([one[point] for one in seen]) for point in seen[0]}


def grid(name: str, point: str, bits: int, groups: int = 1, symmetric: bool = False) -> Grid:
    """A grid over what a float model has at a point."""
    x = observed(name)[point]
    columns = x.reshape(len(x), groups, -1)
    return from_range(columns.min((0, 2)), columns.max((0, 2)), bits, symmetric)


def multiplied(model: Model, point: str) -> bool:
    return encoder_of(model.config).points()[point].multiplied


def static(name: str, scheme: str | None, **grids: Any) -> Model:
    """A model with a grid at every point, in groups where columns are; `grids` are the arguments of `grid`."""
    model = packed(name, scheme) if scheme else random_model(**CONFIGS[name])
    groups = grids.pop("groups", 1)
    made = {
        point: grid(name, point, groups=groups if of.width > 8 else 1, **grids)
        for point, of in encoder_of(model.config).points().items()
    }
    return replace(model, activations=Static(made))


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


# --- the same bits everywhere

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


# --- what is refused


@pytest.mark.parametrize(
    ("ids", "types", "message"),
    [
        ([[3], []], [], "1 to 16 tokens"),
        ([[3] * 17], [], "1 to 16 tokens"),
        ([[3, 50]], [], "out of the vocabulary"),
        ([[3, 4]], [[0, 2]], "token type is out of range"),
        ([[3, 4]], [[0]], "as many types as tokens"),
        ([[3], [4]], [[0]], "as many lists of types as texts"),
    ],
)
def test_texts_that_cannot_be_are_refused(ids: list[list[int]], types: list[list[int]], message: str) -> None:
    engine = EncoderEngine(random_model(), threads=1)
    calls = [engine.states, engine.logits, engine.pooled]
    calls += [lambda *text: engine.observe(*text, ["pooler"]), lambda *text: engine.inputs(*text, [])]
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call(ids, types)


@pytest.mark.parametrize("scheme", [None, *SCHEMES])
@pytest.mark.parametrize("static", [False, True])
def test_no_texts_have_no_answers(scheme: str | None, static: bool, isa: str) -> None:
    """Not even the first call of all, when there is no memory to work in yet."""
    model = random_model(**WIDE)
    model = quantize_model(model, dict.fromkeys(model.roles, SCHEMES[scheme])) if scheme else model
    if static:
        grid = from_range(np.array([-3.0]), np.array([3.0]), 8)
        points = encoder_of(model.config).points()
        model = replace(model, activations=Static(dict.fromkeys(points, grid)))
    engine = EncoderEngine(model, isa=isa, threads=2)
    assert engine.logits([]).shape == (0, 3) and engine.pooled([]).shape == (0, 48) and engine.states([]) == []
    shapes = [rows.shape for rows in engine.observe([], [], ["layers.0.hidden", "layers.0.scores", "pooler"])]
    assert shapes == [(0, 64), (0, 1), (0, 48)]
    assert engine.inputs([], [], ["encoder.layer.0.output.dense.weight"])[0].shape == (0, 64)
    assert engine.logits([[3]]).shape == (1, 3)


def test_roberta_has_fewer_positions_than_rows() -> None:
    engine = EncoderEngine(random_model(**ROBERTA), threads=1)
    assert len(engine.states([[3] * 14])[0]) == 14
    with pytest.raises(ValueError, match="1 to 14 tokens"):
        engine.states([[3] * 15])


@pytest.mark.parametrize(
    ("point", "groups", "message"),
    [
        ("layers.0.ffn_input", 2, "multiples of 16 columns"),
        ("layers.0.hidden", 8, "multiples of 16 columns"),
        ("embeddings.output", 5, "do not divide its width"),
        ("layers.0.scores", 2, "do not divide its width"),
        ("layers.7.output", 1, "there is no such point"),
    ],
)
def test_grids_that_do_not_fit_are_refused(point: str, groups: int, message: str) -> None:
    model = replace(packed("wide", "int8"), activations=Static({point: Grid(8, (0.1,) * groups, (0,) * groups)}))
    with pytest.raises(KernelError, match=message):
        EncoderEngine(model, threads=1)


def test_groups_of_inputs_and_of_weights_do_not_go_together() -> None:
    model = replace(packed("wide", "groups"), activations=Static({"layers.0.ffn_input": Grid(8, (1.0,) * 3, (0,) * 3)}))
    with pytest.raises(KernelError, match="of weights with one scale a row"):
        EncoderEngine(model, threads=1)


@pytest.mark.parametrize("groups", [2, 6, 48])
def test_groups_of_any_width_are_fine_where_nothing_multiplies_codes(groups: int) -> None:
    """At points that no product reads, and at dense weights."""
    for scheme, point in ((None, "layers.0.ffn_input"), ("int8", "layers.0.ffn_sum"), ("int8", "layers.1.key")):
        model = packed("wide", scheme) if scheme else random_model(**WIDE)
        grids = {point: grid("wide", point, 8, groups)}
        check(replace(model, activations=Static(grids)), tolerance=5e-5)


def test_tensors_of_another_shape_are_refused() -> None:
    model = random_model()
    for name in (
        encoder.WORDS,
        "encoder.layer.1.output.dense.weight",
        "classifier.bias",
        "embeddings.LayerNorm.weight",
    ):
        tensor = model.tensors[name]
        with pytest.raises(KernelError, match=name):
            EncoderEngine(replace(model, tensors={**model.tensors, name: tensor[:-1]}), threads=1)


def test_wrong_arguments_are_refused() -> None:
    model = random_model(architectures=["BertModel"])
    with pytest.raises(UsageError, match="int8 or float32"):
        EncoderEngine(model, activations="static")
    with pytest.raises(UsageError, match="threads is 0"):
        EncoderEngine(model, threads=0)
    with pytest.raises(KernelError, match="reference"):
        EncoderEngine(model, isa="mmx")
    engine = EncoderEngine(model, threads=1)
    with pytest.raises(ValueError, match="no classifier"):
        engine.logits([[3]])
    with pytest.raises(ValueError, match="mean, cls or max"):
        engine.pooled([[3]], (), "sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no such point"):
        engine.observe([[3]], (), ["pooler"])
    with pytest.raises(ValueError, match="no such matrix"):
        engine.inputs([[3]], (), ["pooler.dense.weight"])


def test_settings_are_those_of_tiny() -> None:
    engine = EncoderEngine(random_model(), threads=1)
    assert engine.points == encoder_of(TINY).points() and engine.threads == 1 and engine.isa in ISAS
