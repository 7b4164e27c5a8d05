"""What is measured, and on which sentences."""

from __future__ import annotations

import pytest

import subbyte
from builders.fake_workers import TASK
from builders.tiny_marian import tiny_marian_folder
from subbyte.errors import UsageError
from subbyte.folders.opening import open_model
from subbyte.measure.bench.planning import TEXT_TASK, models_of, sentences_of, tasks_of
from subbyte.measure.bench.rivals import engines_of


def test_tasks_come_small_ones_first_each_forced_and_free():
    found = tasks_of(engines_of([]), [32, 1], [4, 1], 16, longest=512)
    assert [(t.batch_size, t.beam_size, t.tokens) for t in found] == [
        (batch, beam, tokens) for batch in (1, 32) for beam in (1, 4) for tokens in (16, None)
    ]
    assert {t.form for t in found} == {"tokens"} and {t.max_length for t in found} == {128}


def test_tasks_that_no_rival_can_do_are_left_out(fake):
    both = engines_of(["fake"])
    assert TEXT_TASK not in tasks_of(both, [1], [1], 16, 512)
    fake("text")
    assert tasks_of(both, [1, 32], [1], 16, 512) == [TEXT_TASK]


def test_no_forced_task_without_tokens_and_none_beyond_the_model():
    ours = engines_of([])
    assert [task.tokens for task in tasks_of(ours, [1], [1], 0, 64)] == [None]
    assert tasks_of(ours, [1], [1], 63, 64)[0].max_length == 64
    with pytest.raises(UsageError, match="64 tokens cannot be forced: the model makes at most 63"):
        tasks_of(ours, [1], [1], 64, 64)


def test_long_sentences_are_cut_with_a_warning_and_short_ones_are_not(tiny_folder, tmp_path, caplog):
    (tmp_path / "text").write_text("A dog runs.\n\n" + "A dog runs in the park. " * 30 + "\nA dog.\n")
    model = open_model(tiny_folder)
    found = sentences_of(model, tmp_path / "text", 10, [TASK])
    assert [len(ids) for ids in found.ids][1] == 64 and len(found.texts) == 3  # not the empty line
    assert found.ids[0] == found.tokenizer.encode("A dog runs.") and found.ids[1][-1] == found.ids[0][-1]
    assert "1 sentences are cut to 64 tokens" in caplog.text


def test_a_batch_that_cannot_be_filled_is_refused(tiny_folder, tmp_path):
    (tmp_path / "text").write_text("A dog runs.\n")
    with pytest.raises(UsageError, match="a batch of 2 cannot be filled with 1 sentences; give more text"):
        sentences_of(open_model(tiny_folder), tmp_path / "text", 10, [TASK])


def test_rivals_start_from_the_float_model(tiny_folder, tmp_path):
    subbyte.quantize(tiny_folder, tmp_path / "low", "binary2")
    low, floats = open_model(tmp_path / "low"), open_model(tiny_folder)
    assert models_of(low, None, [], []).name == "binary2"
    assert models_of(low, tiny_folder, ["int8"], ["torch"]).source == tiny_folder
    assert models_of(floats, None, ["int8"], []).source == tiny_folder
    assert models_of(floats, None, [], []).parameters == models_of(low, None, [], []).parameters > 20_000
    with pytest.raises(UsageError, match="torch, the recipe int8 can only start from the float32 model"):
        models_of(low, None, ["int8"], ["torch"])
    with pytest.raises(UsageError, match="is a float32 model itself; leave out --source-model"):
        models_of(floats, tiny_folder, [], [])
    with pytest.raises(UsageError, match="low: is compressed; --source-model is the float32 model"):
        models_of(low, tmp_path / "low", [], [])
    with pytest.raises(UsageError, match="is another model than"):
        models_of(low, tiny_marian_folder(tmp_path / "other", encoder_layers=1), [], [])
