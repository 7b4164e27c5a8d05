"""The real model: what transformers translated; and the same bits with any scheme, batch, threads, instruction set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from builders.real_text import lines, sentences
from subbyte.compress.rounding import quantize_model
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.numbers.granularity import PerGroup, RowClusters
from subbyte.numbers.schemes import BinaryCoding, Clustered, Logarithmic, Scheme, Uniform
from subbyte.run.resident import instruction_sets
from subbyte.run.translation_engine import Engine, Hypothesis
from subbyte.run.translator import Translator
from subbyte.text.tokenizer import load_tokenizer

SENTENCES = 100  # of each test set
FEW = 6
ISAS = dict(instruction_sets())

# One of each kind that kernels know, fitted the fast way.
SCHEMES: Mapping[str, Scheme | Clustered | None] = {
    "float32": None,
    "int8": Uniform(8, range="minmax"),
    "affine": Uniform(5, PerGroup(64), mode="affine", range="minmax"),
    "log": Logarithmic(3),
    "clusters": Clustered(BinaryCoding(4, solver="greedy"), RowClusters(4, 2)),
}


@cache
def model(folder: Path, scheme: str) -> Model:
    """The model with every matrix under one scheme."""
    plain, one = open_model(folder), SCHEMES[scheme]
    return plain if one is None else quantize_model(plain, dict.fromkeys(plain.roles, one))


@pytest.mark.parametrize(("search", "beams"), [("greedy", 1), ("beam4", 4)])
@pytest.mark.parametrize("name", ["test_2016_flickr", "test_2017_flickr"])
def test_float32_translates_as_transformers_did(multi30k: Path, name: str, search: str, beams: int) -> None:
    """At least 99% of the lines are equal; others are near-ties."""
    found = Translator.from_pretrained(multi30k).translate(sentences(multi30k, name, SENTENCES), beam_size=beams)
    expected = lines(multi30k / "expected" / f"{name}.{search}.txt.gz", SENTENCES)
    different = [pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]]
    assert len(different) <= SENTENCES // 100, different


@pytest.mark.parametrize("activations", ["int8", "float32"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_batches_threads_and_instruction_sets_do_not_change_a_bit(
    multi30k: Path, scheme: str, activations: str
) -> None:
    """The reference takes about a second a sentence, so it translates only the shortest."""
    tokenizer = load_tokenizer(multi30k, open_model(multi30k).config)
    sources = sorted((tokenizer.encode(sentence) for sentence in sentences(multi30k, "val", FEW)), key=len)

    def found(isa: str, threads: int, batches: list[list[list[int]]]) -> list[list[Hypothesis]]:
        engine = Engine(model(multi30k, scheme), isa=isa, threads=threads, activations=activations)
        search = engine.generation(beam_size=4, num_hypotheses=4)
        return [hypotheses for batch in batches for hypotheses in engine.translate(batch, search)]

    expected = found("best", 1, [[source] for source in sources])
    assert found("best", 2, [sources]) == expected
    for isa in [name for name, runs in ISAS.items() if runs and name != "reference"]:
        assert found(isa, 2, [sources[:1], sources[1:]]) == expected, isa
    assert found("reference", 2, [sources[:1]]) == expected[:1]
