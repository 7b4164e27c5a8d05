"""What the engine of encoders refuses, and what is nearly refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders.numpy_bert import ROBERTA, TINY, random_model
from builders.random_encoders import SCHEMES, WIDE, packed
from subbyte.compress.rounding import quantize_model
from subbyte.errors import KernelError, UsageError
from subbyte.models import encoder
from subbyte.models.families import encoder_of
from subbyte.models.model import Static
from subbyte.numbers.grids import Grid, from_range
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.resident import instruction_sets


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
    assert engine.points == encoder_of(TINY).points() and engine.threads == 1 and engine.isa in dict(instruction_sets())
