"""Whole models against what transformers recorded of them (parity/record_marian.py), and against themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from builders.tiny_marian import RECORDINGS
from builders.tiny_packed import TRANSLATION_PRESETS
from subbyte.compress.recipes.recipe import load_recipe, resolve
from subbyte.compress.rounding import quantize_model
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.numbers.granularity import PerGroup, PerRow, PerTensor, RowClusters
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import BinaryCoding, Clustered, Logarithmic, Scheme, Uniform
from subbyte.run.translation_engine import Engine, Hypothesis

NAMES = sorted(folder.name for folder in (RECORDINGS / "marian").iterdir())
BEAMS = 4

# What the presets leave out; where groups do not divide the columns, a row shares a scale.
SCHEMES: Mapping[str, Scheme | Clustered] = {
    "tensor": Uniform(5, PerTensor()),
    "groups": Uniform(3, PerGroup(16), mode="affine"),
    "wide": Clustered(Uniform(8), RowClusters(4, 1.5)),
    "log-tensor": Logarithmic(4, PerTensor()),
    "binary-groups": BinaryCoding(3, PerGroup(16)),
}
LOW_BIT = [("opus", scheme) for scheme in (*TRANSLATION_PRESETS, *SCHEMES)]
LOW_BIT += [("short", "binary2"), ("separate", "nmt-mixed"), ("half-tied", "log3"), ("untied", "uniform3")]


@dataclass(frozen=True)
class Recording:
    """A model, and what transformers made of it; ids are without start and end of sentence."""

    model: Model
    sources: list[list[int]]
    targets: list[list[int]]  # forced, with the start, for as many of the first sources
    logits: list[np.ndarray]  # of each target, float32 [len(target), vocabulary]
    greedy: list[list[int]]
    beam: list[list[tuple[list[int], float]]]


@cache
def recording(name: str) -> Recording:
    """The recording of this name."""
    folder = RECORDINGS / "marian" / name
    found: dict[str, Any] = json.loads((folder / "expected.json").read_text("utf-8"))
    logits = load_file(folder / "expected.safetensors")
    return Recording(
        model=open_model(folder),
        sources=found["sources"],
        targets=found["targets"],
        logits=[logits[str(i)] for i in range(len(found["targets"]))],
        greedy=found["greedy"],
        beam=[[(ids, score) for ids, score in hypotheses] for hypotheses in found["beam"]],
    )


@cache
def quantized(name: str, scheme: str) -> Model:
    """A recorded model under a preset, or with every matrix under one of SCHEMES."""
    model = recording(name).model
    if scheme not in SCHEMES:
        return quantize_model(model, resolve(load_recipe(scheme), model))
    one = SCHEMES[scheme]
    odd = one if isinstance(one, Clustered) or one.granularity == PerTensor() else replace(one, granularity=PerRow())
    return quantize_model(model, {key: odd if model.tensors[key].shape[1] % 16 else one for key in model.roles})


Output = tuple[list[bytes], list[list[Hypothesis]]]


def output(name: str, engine: Engine, size: int) -> Output:
    """The bits of the logits, and greedy and beam-4 hypotheses of 1, 4, 7 and 12 words in batches of this size."""
    it = recording(name)
    logits = [engine.logits(source, target).tobytes() for source, target in zip(it.sources, it.targets, strict=False)]
    sources = it.sources[::3]
    batches = [sources[i : i + size] for i in range(0, len(sources), size)]
    searches = [engine.generation(beam_size=1), engine.generation(beam_size=BEAMS, num_hypotheses=BEAMS)]
    return logits, [found for search in searches for batch in batches for found in engine.translate(batch, search)]


@cache
def reference(name: str, scheme: str | None, activations: str) -> Output:
    """What the reference makes of a recorded model, under a scheme or as it is, one sentence at a time."""
    model = quantized(name, scheme) if scheme else recording(name).model
    return output(name, Engine(model, isa="reference", threads=1, activations=activations), size=1)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_transformers(name: str, isa: str) -> None:
    it = recording(name)
    engine = Engine(it.model, isa=isa, threads=1)
    for source, target, expected in zip(it.sources, it.targets, it.logits, strict=False):
        np.testing.assert_allclose(engine.logits(source, target), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_greedy_search_is_that_of_transformers(name: str, isa: str) -> None:
    engine = Engine(recording(name).model, isa=isa, threads=1)
    found = engine.translate(recording(name).sources, engine.generation(beam_size=1))
    assert [best.tokens for (best,) in found] == recording(name).greedy


@pytest.mark.parametrize("name", NAMES)
def test_beam_search_is_that_of_transformers(name: str, isa: str) -> None:
    it = recording(name)
    engine = Engine(it.model, isa=isa, threads=1)
    found = engine.translate(it.sources, engine.generation(num_hypotheses=BEAMS))  # beam size: as the folder says
    for hypotheses, expected in zip(found, it.beam, strict=True):
        assert [hypothesis.tokens for hypothesis in hypotheses] == [ids for ids, _ in expected]
        scores = [hypothesis.score for hypothesis in hypotheses]
        np.testing.assert_allclose(scores, [score for _, score in expected], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_read_from_the_config_only_without_a_generation_config(name: str) -> None:
    """As in transformers: old folders keep them there; beside a generation_config.json they count for nothing."""
    model = recording(name).model
    old = replace(model, config={**model.config, "forced_eos_token_id": None, **model.generation}, generation={})
    new = replace(model, config={**model.config, "forced_eos_token_id": 3, "num_beams": 7, "length_penalty": 9.0})
    expected = Engine(model, threads=1).generation()
    assert Engine(old, threads=1).generation() == expected
    assert Engine(new, threads=1).generation() == expected


@pytest.mark.parametrize("name", NAMES)
def test_float_models_give_the_same_bits_everywhere(name: str, isa: str) -> None:
    found = output(name, Engine(recording(name).model, isa=isa, threads=2), size=4)
    assert found == reference(name, None, "float32")


@pytest.mark.parametrize("activations", ["int8", "float32"])
@pytest.mark.parametrize(("name", "scheme"), LOW_BIT)
def test_low_bit_models_give_the_same_bits_everywhere(name: str, scheme: str, activations: str, isa: str) -> None:
    """On every instruction set, for every size of batch, with every number of threads."""
    found = output(name, Engine(quantized(name, scheme), isa=isa, threads=2, activations=activations), size=4)
    assert found == reference(name, scheme, activations)


@pytest.mark.parametrize(("name", "scheme"), LOW_BIT)
def test_low_bit_models_are_their_dequantized_weights(name: str, scheme: str) -> None:
    model, it = quantized(name, scheme), recording(name)
    weights = {key: dequantize(w) if isinstance(w, PackedMatrix) else w for key, w in model.tensors.items()}
    packed, plain = (Engine(m, threads=1, activations="float32") for m in (model, replace(model, tensors=weights)))
    for source, target in zip(it.sources, it.targets, strict=False):
        np.testing.assert_allclose(packed.logits(source, target), plain.logits(source, target), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("activations", ["int8", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_eight_bits_are_close_to_the_recorded_logits(name: str, activations: str) -> None:
    it = recording(name)
    engine = Engine(quantized(name, "int8"), threads=1, activations=activations)
    for source, target, expected in zip(it.sources, it.targets, it.logits, strict=False):
        difference = engine.logits(source, target) - expected
        assert 0 < np.sqrt(np.mean(difference**2)) < 0.05 * np.std(expected)
