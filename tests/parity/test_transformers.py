"""The recordings, tokenization and the real model against the transformers that is installed."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra `parity` has it")
transformers = pytest.importorskip("transformers", reason="transformers is not installed; the extra `parity` has it")

from record_marian import CASES, RECORDINGS, record  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402
from transformers import MarianMTModel, MarianTokenizer  # noqa: E402

from builders.tokenization_cases import SENTENCES  # noqa: E402
from subbyte.folders.opening import open_model  # noqa: E402
from subbyte.run.translation_engine import Engine  # noqa: E402
from subbyte.text.tokenizer import load_tokenizer  # noqa: E402

SENTENCES_OF_A_SET = 30
BEAMS = 4
NEAR = 1e-3  # hypotheses whose scores are nearer than this may change places

torch.set_num_threads(1)  # with models so small, more threads mostly wait for each other


@pytest.mark.parametrize("name", CASES)
def test_recordings_are_what_transformers_computes(name: str) -> None:
    folder = RECORDINGS / name
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    model = MarianMTModel.from_pretrained(folder).eval()
    found, logits = record(model, expected["sources"], expected["targets"])
    assert found["greedy"] == expected["greedy"]
    for hypotheses, recorded in zip(found["beam"], expected["beam"], strict=True):
        assert [ids for ids, _ in hypotheses] == [ids for ids, _ in recorded]
        np.testing.assert_allclose([s for _, s in hypotheses], [s for _, s in recorded], rtol=1e-5, atol=1e-5)
    for key, recorded in load_file(folder / "expected.safetensors").items():
        np.testing.assert_allclose(logits[key], recorded, rtol=1e-4, atol=1e-5)


@cache
def real(folder: Path) -> tuple[MarianMTModel, Engine]:
    """The real model in transformers and in our engine."""
    return MarianMTModel.from_pretrained(folder).eval(), Engine(open_model(folder))


@pytest.fixture(scope="module")
def sources(multi30k: Path) -> list[list[int]]:
    """Ids of the first sentences of both test sets, by transformers' tokenizer."""
    tokenizer = MarianTokenizer.from_pretrained(multi30k)
    data = multi30k.parents[1] / "data" / "multi30k"
    sentences = []
    for name in ("test_2016_flickr", "test_2017_flickr"):
        with gzip.open(data / f"{name}.en.txt.gz", "rt", encoding="utf-8") as file:
            sentences += file.read().split("\n")[:SENTENCES_OF_A_SET]
    return [tokenizer(sentence)["input_ids"] for sentence in sentences]


def test_tokenization_is_that_of_transformers(multi30k: Path) -> None:
    ours = load_tokenizer(multi30k, json.loads((multi30k / "config.json").read_text("utf-8")))
    theirs = MarianTokenizer.from_pretrained(multi30k)
    for sentence in SENTENCES:
        ids = theirs(sentence)["input_ids"]
        assert ours.encode(sentence) == ids, sentence
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True), sentence


def test_logits_of_the_real_model_are_those_of_transformers(multi30k: Path, sources: list[list[int]]) -> None:
    model, engine = real(multi30k)
    search = engine.generation(beam_size=1)
    for source in sources:
        ((best,),) = engine.translate([source], search)
        target = [search.start, *best.tokens]
        with torch.inference_mode():
            expected = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target])).logits[0]
        np.testing.assert_allclose(engine.logits(source, target), expected.numpy(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("beams", [1, BEAMS])
def test_translations_of_the_real_model_are_those_of_transformers(
    multi30k: Path, sources: list[list[int]], beams: int
) -> None:
    """All hypotheses and their scores; a place may differ only in a near-tie."""
    model, engine = real(multi30k)
    search = engine.generation(beam_size=beams, num_hypotheses=beams)
    same = 0
    for source, ours in zip(sources, engine.translate(sources, search), strict=True):
        with torch.inference_mode():
            theirs = model.generate(
                torch.tensor([source]),
                num_beams=beams,
                num_return_sequences=beams,
                do_sample=False,
                return_dict_in_generate=True,
                output_scores=True,
            )
        ids = [[t for t in row[1:] if t not in (search.end, search.start)] for row in theirs.sequences.tolist()]
        same += [hypothesis.tokens for hypothesis in ours] == ids
        if beams > 1:
            scores = theirs.sequences_scores.tolist()
            np.testing.assert_allclose([hypothesis.score for hypothesis in ours], scores, rtol=0, atol=NEAR)
    assert same >= 0.97 * len(sources)
