"""Encoders against what transformers recorded of them (parity/record_encoders.py): BERT, DistilBERT, RoBERTa."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from builders.tiny_marian import RECORDINGS
from subbyte.compress.rounding import quantize_model
from subbyte.folders.opening import open_model
from subbyte.models import bert
from subbyte.models.families import encoder_of
from subbyte.models.model import Model
from subbyte.numbers.schemes import Uniform
from subbyte.run.encoder_engine import EncoderEngine

NAMES = sorted(folder.name for folder in (RECORDINGS / "encoders").iterdir())


@cache
def recording(name: str) -> tuple[Model, dict[str, Any], dict[str, np.ndarray]]:
    """A model, its texts, and what transformers made of them."""
    folder = RECORDINGS / "encoders" / name
    return (
        open_model(folder),
        json.loads((folder / "expected.json").read_text("utf-8")),
        load_file(folder / "expected.safetensors"),
    )


@pytest.mark.parametrize("name", NAMES)
def test_states_and_logits_are_those_of_transformers(name: str, isa: str) -> None:
    model, texts, expected = recording(name)
    engine = EncoderEngine(model, isa=isa, threads=1)
    for i, states in enumerate(engine.states(texts["ids"], texts["types"])):
        np.testing.assert_allclose(states, expected[str(i)], rtol=1e-4, atol=1e-5)
    assert ("logits" in expected) == (engine.settings.labels > 0)
    if "logits" in expected:
        logits = engine.logits(texts["ids"], texts["types"])
        np.testing.assert_allclose(logits, expected["logits"], rtol=1e-4, atol=1e-5)
        assert np.array_equal(logits.argmax(1), expected["logits"].argmax(1))


@pytest.mark.parametrize("name", NAMES)
def test_eight_bits_are_close_to_the_recorded_states(name: str) -> None:
    model, texts, expected = recording(name)
    engine = EncoderEngine(quantize_model(model, dict.fromkeys(model.roles, Uniform(8))), threads=1, activations="int8")
    for i, states in enumerate(engine.states(texts["ids"], texts["types"])):
        difference = states - expected[str(i)]
        assert 0 < np.sqrt(np.mean(difference**2)) < 0.1 * np.std(expected[str(i)])


def test_every_family_is_recorded_bare_and_with_labels() -> None:
    found = {recording(name)[0].architecture for name in NAMES}
    assert found == {name for family in bert.FAMILIES for name in family.architectures}
    assert {recording(name)[0].config["model_type"] for name in NAMES} == {"bert", "distilbert", "roberta"}
    assert encoder_of(recording("bert-regression")[0].config).regression
