"""The model that ships: small enough, good enough, and good enough still when it is compressed."""

from __future__ import annotations

import time
from pathlib import Path

import subbyte
from subbyte.measure import demo
from subbyte.measure.demo import MODEL, SENTENCES, demonstrate

SHIPPED = Path(demo.__file__).parent / MODEL


def test_the_model_that_ships_is_small_and_says_what_it_was_made_of():
    assert (SHIPPED / "model.safetensors").stat().st_size <= 4_000_000
    assert subbyte.inspect(SHIPPED)["parameters"] <= 2_000_000
    card = (SHIPPED / "README.md").read_text("utf-8")
    assert "Tatoeba" in card and "CC BY 2.0 FR" in card


def test_compressed_it_translates_nearly_the_same_in_far_less_than_a_minute(tmp_path):
    start = time.perf_counter()
    document = demonstrate(tmp_path)
    assert time.perf_counter() - start < 30
    assert document["compression"] > 7 and document["agreement_chrf"] > 80
    assert [sentence["source"] for sentence in document["sentences"]] == [*SENTENCES]
    translations = {sentence["float32"] for sentence in document["sentences"]}
    assert len(translations) == len(SENTENCES) and all(text[-1] in ".?!" for text in translations)
