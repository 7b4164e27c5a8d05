"""The engine as its callers meet it: threads, forks, forced decoding, and no sentences at all."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import EVERY_KIND, quantized
from subbyte.errors import KernelError, UsageError
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.numbers.cores import available_cores
from subbyte.run.resident import instruction_sets
from subbyte.run.translation_engine import Engine


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


@pytest.mark.parametrize("isa", [name for name, runs in instruction_sets() if runs])
@pytest.mark.parametrize("recipe", [None, "int8", "uniform4", EVERY_KIND], ids=["float32", "int8", "uniform4", "every"])
def test_no_sentences_have_no_answers(tiny_folder: Path, isa: str, recipe: str | None) -> None:
    """Not even the first call of all, when there is no memory to work in yet."""
    engine = Engine(quantized(tiny_folder, recipe) if recipe else open_model(tiny_folder), isa=isa, threads=2)
    name = "model.encoder.layers.0.fc1.weight"
    assert engine.inputs([], [], [name])[0].shape == (0, 32)
    assert engine.translate([], engine.generation(beam_size=4)) == []
    assert engine.translate([], engine.generation(beam_size=1, scores=False, prefix=(5,))) == []
    assert engine.score([], []) == []
    assert engine.score([[5, 0], [7, 8, 0]], [[], [4, 0]])[0] == []
    assert engine.logits([5, 0], []).shape == (0, engine.logits([5, 0], [7]).shape[1])


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
