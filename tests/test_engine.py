"""The engine as its callers meet it: threads, forks, forced decoding, and settings that it refuses."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from subbyte.engine import Engine
from subbyte.errors import KernelError, ModelError, UsageError
from subbyte.folder import open_model
from subbyte.model import Model
from subbyte.resident import available_cores
from tiny_marian import tiny_marian_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Wide enough that a batch is worth sharing among threads."""
    return open_model(tiny_marian_folder(tmp_path_factory.mktemp("engine") / "tiny", d_model=128, decoder_ffn_dim=512))


def batch(model: Model) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [[*map(int, rng.integers(3, model.config["vocab_size"] - 1, rng.integers(5, 20))), 0] for _ in range(40)]


def hypotheses(engine: Engine, sentences: list[list[int]]) -> list[Any]:
    return engine.translate(sentences, engine.generation(beam_size=3, num_hypotheses=2, max_length=20))


def in_a_child(engine: Engine, sentences: list[list[int]], connection: Any) -> None:
    connection.send(hypotheses(engine, sentences))
    connection.close()


def test_threads_share_the_work_and_change_nothing(model: Model) -> None:
    sentences = batch(model)
    expected = hypotheses(Engine(model, threads=1), sentences)
    assert hypotheses(Engine(model, threads=4), sentences) == expected


def test_several_callers_wait_for_each_other(model: Model) -> None:
    engine, sentences = Engine(model, threads=2), batch(model)
    expected = hypotheses(engine, sentences)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: hypotheses(engine, sentences), range(8)))
    assert found == [expected] * 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_makes_threads_of_its_own(model: Model) -> None:
    engine, sentences = Engine(model, threads=2), batch(model)
    expected = hypotheses(engine, sentences)  # the threads of the parent exist now
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=in_a_child, args=(engine, sentences, theirs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        child.start()
    assert ours.poll(60), "the child hangs"
    assert ours.recv() == expected
    child.join(60)
    assert child.exitcode == 0
    assert hypotheses(engine, sentences) == expected
    ours.close()
    theirs.close()


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_forced_decoding_gives_the_scores_of_search(model: Model, penalty: float) -> None:
    engine, sentences = Engine(model, threads=1), batch(model)[:8]
    search = replace(engine.generation(beam_size=3, max_length=20, length_penalty=penalty), forced_end=None)
    found = [best for best, *_ in engine.translate(sentences, search)]
    most = search.max_length - 1  # a translation so long was cut off before its end
    targets = [h.tokens if len(h.tokens) == most else [*h.tokens, search.end] for h in found]
    for logs, target, h in zip(engine.score(sentences, targets), targets, found, strict=True):
        assert len(logs) == len(target)
        assert sum(logs) / len(target) ** penalty == pytest.approx(h.score, rel=1e-5)


def test_forced_logits_and_scores_agree(model: Model) -> None:
    engine = Engine(model, threads=1)
    source, target = batch(model)[0], [5, 9, 7, 0]
    logits = engine.logits(source, [engine.generation().start, *target[:-1]]).astype(np.float64)
    logs = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True)) - logits.max(1)[:, None]
    np.testing.assert_allclose(engine.score([source], [target])[0], logs[range(4), target], atol=1e-5)


def test_default_is_all_cores(model: Model) -> None:
    assert Engine(model).threads == available_cores()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"repetition_penalty": 1.2}, r"repetition_penalty = 1\.2"),
        ({"do_sample": True, "no_repeat_ngram_size": 3}, r"do_sample = True, no_repeat_ngram_size = 3"),
        ({"bad_words_ids": [[4, 5]]}, "more than one token"),
        ({"early_stopping": "never"}, "never"),
        ({"eos_token_id": [0, 1]}, "eos_token_id has 2 ids"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_settings_we_cannot_follow_are_refused_by_name(model: Model, settings: dict[str, Any], message: str) -> None:
    engine = Engine(replace(model, generation={**model.generation, **settings}), threads=1)
    with pytest.raises(ModelError, match=message):
        engine.generation()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"beam_size": 257}, "1 to 256"),
        ({"beam_size": 2, "num_hypotheses": 3}, "beam size is 2"),
        ({"max_length": 1}, "at least 2"),
        ({"length_penalty": float("nan")}, "finite"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_wrong_search_arguments_are_refused(model: Model, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Engine(model, threads=1).generation(**arguments)


def test_wrong_engine_arguments_are_refused(model: Model) -> None:
    with pytest.raises(UsageError, match="int8 or float32"):
        Engine(model, activations="int4")
    with pytest.raises(UsageError, match="threads is 0"):
        Engine(model, threads=0)
    with pytest.raises(KernelError, match=r"this machine runs: .*reference"):
        Engine(model, isa="mmx")
    engine = Engine(model, threads=1)
    with pytest.raises(ValueError, match="out of the source vocabulary"):
        engine.translate([[10**6, 0]], engine.generation())
    with pytest.raises(ValueError, match="1 to"):
        engine.translate([[]], engine.generation())
