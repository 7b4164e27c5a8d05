"""Search settings against what transformers found under them (parity/record_search.py), as folder's and as options."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from test_recordings import quantized, recording

from builders.search_cases import BEAMS, CASES, MODELS
from builders.tiny_marian import RECORDINGS
from subbyte.folders.opening import with_settings
from subbyte.models.search_options import SearchOptions
from subbyte.run.translation_engine import Engine


@cache
def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDINGS / "search.json").read_text("utf-8"))
    return found


def engine_of(name: str, case: str, isa: str, settings: bool = True) -> Engine:
    model = recording(name).model
    changed = CASES[case].settings if settings else {}
    return Engine(with_settings(model, changed), isa=isa, threads=1)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", MODELS)
def test_searches_are_those_of_transformers(name: str, case: str, isa: str) -> None:
    expected = recorded()[name][case]
    engine, sources, prefix = engine_of(name, case, isa), recording(name).sources, CASES[case].prefix
    for scores in (False, True):
        found = engine.translate(sources, engine.generation(beam_size=1, prefix=prefix, scores=scores))
        assert [best.tokens for (best,) in found] == expected["greedy"]
    if not expected["beam"]:
        return
    found = engine.translate(sources, engine.generation(beam_size=BEAMS, num_hypotheses=BEAMS, prefix=prefix))
    for hypotheses, theirs in zip(found, expected["beam"], strict=True):
        assert [hypothesis.tokens for hypothesis in hypotheses] == [ids for ids, _ in theirs]
        scores = [hypothesis.score for hypothesis in hypotheses]
        np.testing.assert_allclose(scores, [score for _, score in theirs], rtol=1e-4, atol=1e-4)


OPTIONS = [
    case
    for case, it in CASES.items()
    if it.settings
    and it.settings.keys() <= SearchOptions.__annotations__.keys()
    and not any({f"{which}_new_tokens", f"{which}_length"} <= it.settings.keys() for which in ("max", "min"))
    and type(it.settings.get("early_stopping")) is not int
]


@pytest.mark.parametrize("case", OPTIONS)
def test_options_are_the_settings_of_a_folder(case: str) -> None:
    engine, changed = (engine_of("opus", case, "best", settings) for settings in (False, True))
    options: Any = CASES[case].settings
    assert engine.generation(prefix=CASES[case].prefix, **options) == changed.generation(prefix=CASES[case].prefix)


@pytest.mark.parametrize("case", ["both penalties", "all together", "prefix and penalties", "three ends"])
@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("scheme", ["int8", "uniform4"])
def test_searches_are_the_same_bits_everywhere(case: str, drawn: bool, scheme: str, isa: str) -> None:
    """On every instruction set, for every size of batch, with every number of threads."""
    model = with_settings(quantized("opus", scheme), CASES[case].settings)
    sources = recording("opus").sources
    options: Any = {"do_sample": True, "seed": 5, "temperature": 1.5, "top_p": 0.9} if drawn else {}

    def found(engine: Engine, size: int) -> list[Any]:
        searches = [
            engine.generation(beam_size=1, num_hypotheses=3 if drawn else 1, prefix=CASES[case].prefix, **options),
            engine.generation(beam_size=BEAMS, num_hypotheses=2, prefix=CASES[case].prefix, **options),
        ]
        numbered = list(enumerate(sources, start=1))
        batches = [numbered[i : i + size] for i in range(0, len(numbered), size)]
        return [
            hypotheses
            for search in searches
            for batch in batches
            for hypotheses in engine.translate([ids for _, ids in batch], search, [number for number, _ in batch])
        ]

    expected = found(Engine(model, isa="reference", threads=1), size=1)
    assert found(Engine(model, isa=isa, threads=2), size=4) == expected


def test_a_score_of_greedy_search_is_what_the_model_says_of_it() -> None:
    """Penalties choose tokens; the score is the sum of the model's own log-probabilities, as of forced tokens."""
    engine = engine_of("opus", "both penalties", "best")
    search = replace(engine.generation(beam_size=1, max_length=20, length_penalty=0.0), forced_end=None)
    sources = recording("opus").sources
    found = [best for (best,) in engine.translate(sources, search)]
    targets = [h.tokens if len(h.tokens) == 19 else [*h.tokens, search.end] for h in found]
    for logs, h in zip(engine.score(sources, targets), found, strict=True):
        assert sum(logs) == pytest.approx(h.score, rel=1e-5)
