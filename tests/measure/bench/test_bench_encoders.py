"""Measuring encoders beside other engines: tasks, texts, agreement, and the real rivals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders.extras import needs
from builders.tiny_bench_bert import tiny_bert_folder
from subbyte.errors import MeasurementError, UsageError
from subbyte.folders.opening import open_model
from subbyte.measure.bench.measuring import _check_agreement, benchmark, mean_cosine
from subbyte.measure.bench.planning import encoder_tasks_of, models_of, texts_of
from subbyte.measure.bench.plot import plot
from subbyte.measure.bench.rivals import onnxruntime, openvino
from subbyte.measure.bench.subjects import Setup, Subject, Task
from subbyte.measure.bench.table import tables
from subbyte.measure.bench.worker import inputs_of
from subbyte.measure.demo import SENTENCES

SMALL = {"sentences": 4, "rounds": 1, "batch_sizes": [4], "sequence_lengths": [8]}


@pytest.fixture
def tiny(tmp_path):
    """A bare encoder in float32."""
    return tiny_bert_folder(tmp_path / "bert")


# ------------------------------------------------------------------------------------------------- planning


def test_tasks_are_batch_sizes_by_lengths_small_ones_first():
    found = encoder_tasks_of([16, 1], [64, 16], longest=512)
    assert [(task.batch_size, task.tokens) for task in found] == [(1, 16), (1, 64), (16, 16), (16, 64)]
    assert {(task.form, task.beam_size) for task in found} == {("vectors", 1)}


@pytest.mark.parametrize("lengths", [[2], [16, 49]])
def test_lengths_that_the_model_does_not_read_are_refused(lengths):
    with pytest.raises(UsageError, match="the model reads texts of 3 to 48 tokens; give other --sequence-lengths"):
        encoder_tasks_of([1], lengths, longest=48)


def test_texts_are_as_long_as_the_longest_task_and_differ(tiny, tmp_path):
    (tmp_path / "text").write_text("a dog runs.\n\ntwo men are here.\n")
    model = open_model(tiny)
    found = texts_of(model, tmp_path / "text", 3, encoder_tasks_of([2], [5, 9], 48)).ids
    assert [len(ids) for ids in found] == [9, 9, 9] and found[0] != found[1]
    words = "[CLS] a dog runs . two men are [SEP]".split()
    from builders.tiny_bench_bert import WORDS

    assert [WORDS[i] for i in found[0]] == words
    assert [WORDS[i] for i in found[1]][:4] == "[CLS] here . a".split()


def test_a_batch_that_cannot_be_filled_and_a_text_without_words_are_refused(tiny, tmp_path):
    (tmp_path / "empty").write_text("\n")
    model, tasks = open_model(tiny), encoder_tasks_of([4], [8], 48)
    with pytest.raises(UsageError, match="3 texts do not fill a batch; give more --sentences"):
        texts_of(model, None, 3, tasks)
    with pytest.raises(UsageError, match="empty: has no words; give another --text"):
        texts_of(model, tmp_path / "empty", 4, tasks)


def test_a_worker_cuts_texts_to_the_tokens_of_the_task_and_keeps_the_last():
    setup = Setup("", "", [0], sentences=[[2, 5, 6, 7, 8, 3]])
    assert inputs_of(setup, Task("vectors", 1, 1, 4, 4)) == [[2, 5, 6, 3]]
    assert inputs_of(setup, Task("tokens", 1, 1, 4, 4)) == setup.sentences


@pytest.mark.parametrize("engine", [onnxruntime, openvino])
def test_rivals_for_encoders_refuse_translation_models(engine, tiny_folder, tiny):
    assert "with encoders only" in (engine.ENGINE.refusal(models_of(open_model(tiny_folder), None, [], [])) or "")
    assert engine.ENGINE.refusal(models_of(open_model(tiny), None, [], [])) is None


@needs("ctranslate2")
def test_rivals_for_translation_refuse_encoders(tiny):
    with pytest.raises(UsageError, match="ctranslate2 cannot run it: encoders are not measured with it"):
        benchmark(tiny, ["ctranslate2"], **SMALL)


# ------------------------------------------------------------------------------------------------- measuring


def test_mean_cosine():
    assert mean_cosine([[1, 0], [0, 2]], [[3, 0], [0, -1]]) == 0
    assert mean_cosine([[1, 1]], [[1, 0]]) == pytest.approx(np.sqrt(0.5))


def test_a_benchmark_of_ours_alone(tiny):
    document = benchmark(tiny, **(SMALL | {"batch_sizes": [1, 4], "sequence_lengths": [8, 16]}))
    assert [(run["batch_size"], run["sequence_length"]) for run in document["runs"]] == [
        (1, 8),
        (1, 16),
        (4, 8),
        (4, 16),
    ]
    for run in document["runs"]:
        assert (run["form"], run["beam_size"], run["sentences"], run["note"]) == ("vectors", 1, 4, None)
        assert run["tokens"] == 4 * run["sequence_length"]
        assert run["agreement"] == pytest.approx(1, abs=1e-6)
    table = tables(document)
    assert "### batch 4, texts of 16 tokens" in table and "cosine" in table and "1.0000" in table
    assert "batch 1, texts of 8 tokens" in plot(document)


def test_static_recipes_are_calibrated_on_the_text_that_is_encoded(tiny, tmp_path):
    document = benchmark(tiny, recipes=["w8a8", "int8"], work=tmp_path, **SMALL)
    assert {run["precision"] for run in document["runs"]} == {"float32", "w8a8", "int8"}
    (folder,) = tmp_path.rglob("subbyte-w8a8")
    assert open_model(folder).activations.word == "static"
    (lines,) = (path.read_text().splitlines() for path in tmp_path.rglob("calibration.txt"))
    assert len(lines) >= 16 and set(lines) == set(SENTENCES)


def test_an_engine_in_float32_that_makes_other_vectors_is_an_error_and_int8_may_differ():
    task = Task("vectors", 1, 1, 8, 8)
    _check_agreement(Subject("fake", "int8", Path()), task, 0.5)
    _check_agreement(Subject("fake", "float32", Path()), task, 0.9999)
    with pytest.raises(MeasurementError, match=r"fake float32: what it makes of 8 tokens has a cosine of 0\.9900"):
        _check_agreement(Subject("fake", "float32", Path()), task, 0.99)


# ------------------------------------------------------------------------------------------------- the real rivals


@needs("torch", "transformers", "onnx", "onnxruntime", "openvino", "nncf")
@pytest.mark.parametrize("architecture", ["BertModel", "BertForSequenceClassification"])
def test_rivals_make_the_same_vectors_and_logits(architecture, tmp_path):
    folder = tiny_bert_folder(tmp_path / "tiny", architecture)
    runs = benchmark(folder, ["torch", "onnxruntime", "openvino"], work=tmp_path / "work", **SMALL)["runs"]
    names = ["subbyte float32", "torch float32"]
    names += [f"{rival} {precision}" for rival in ("onnxruntime", "openvino") for precision in ("float32", "int8")]
    assert [f"{run['engine']} {run['precision']}" for run in runs] == names
    for run in runs:
        assert run["agreement"] and run["agreement"] > (0.99999 if run["precision"] == "float32" else 0.95)
    made = {path.name.split("-")[0] for path in (tmp_path / "work").glob("*/*")}
    assert made == {"onnx", "onnxruntime", "openvino"}
