"""Calibration: what matrices multiply, seen by the engine and by the sums that are made of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

import subbyte
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_student import tiny_student_folder
from subbyte.compress.calibration.texts import ENOUGH_TOKENS
from subbyte.compress.calibration.translation import LOOKUP, grams, readable
from subbyte.errors import UsageError
from subbyte.folders.opening import open_model
from subbyte.models import translation
from subbyte.numbers.matrices import dequantize
from subbyte.run.translation_engine import Engine
from subbyte.text.tokenizer import load_tokenizer

LINES = [f"a dog runs past {n} houses" for n in range(40)]


def test_the_engine_gives_the_inputs_of_a_matrix(tiny_folder):
    model = open_model(tiny_folder)
    sentence, target = [5, 9, 7, 0], [4, 8, 0]
    first, output = "model.encoder.layers.0.self_attn.q_proj.weight", translation.OUTPUT
    for threads in (1, 2):
        engine = Engine(model, threads=threads)
        x, y = engine.inputs([sentence], [target], [first, output])
        angles = np.arange(4)[:, None] / 10000 ** (np.arange(16) / 16)
        positions = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        embedded = model.tensors[translation.SHARED][sentence] * np.sqrt(32)
        np.testing.assert_allclose(x, embedded + positions, atol=1e-5)
        logits = engine.logits(sentence, [engine.generation().start, *target[:-1]])
        np.testing.assert_allclose(
            y @ model.tensors[translation.SHARED].T + model.tensors[translation.BIAS], logits, atol=1e-4
        )


def test_without_targets_the_decoder_does_not_run(tiny_folder):
    engine = Engine(open_model(tiny_folder))
    names = ["model.encoder.layers.1.fc2.weight", "model.decoder.layers.0.fc1.weight"]
    assert [len(x) for x in engine.inputs([[5, 0], [6, 7, 0]], [], names)] == [5, 0]


def test_rows_come_in_the_same_order_whatever_the_weights(tiny_folder, tmp_path):
    subbyte.quantize(tiny_folder, tmp_path / "out", "int8")
    name = "model.decoder.layers.0.fc1.weight"
    batch = [[5, 0], [6, 7, 0], [8, 0]], [[4, 0], [9, 5, 6, 0], [0]]
    (exact,), (low,) = (Engine(open_model(f)).inputs(*batch, [name]) for f in (tiny_folder, tmp_path / "out"))
    np.testing.assert_allclose(low, exact, atol=0.3)


@pytest.mark.parametrize(
    "names", [["model.nothing"], [translation.OUTPUT, translation.OUTPUT], [translation.OUTPUT, translation.ENCODER]]
)
def test_names_that_mean_nothing_or_the_same_are_refused(tiny_folder, names):
    with pytest.raises(ValueError, match=r"no such matrix|asked for twice"):
        Engine(open_model(tiny_folder)).inputs([[5, 0]], [[0]], names)


@pytest.mark.parametrize("kind", ["tied", "untied", "student"])
def test_every_matrix_that_multiplies_has_a_sum(tmp_path, kind):
    make = tiny_student_folder if kind == "student" else tiny_marian_folder
    options = {"tie_word_embeddings": False, "share_encoder_decoder_embeddings": False} if kind == "untied" else {}
    model = open_model(make(tmp_path / "model", **options))
    calls = []
    sums = grams(model, load_tokenizer(model.folder, model.config), LINES, lambda *call: calls.append(call))
    assert calls == [(32, 40), (40, 40)]
    looked_up = {translation.ENCODER, translation.DECODER} if kind == "untied" else set()
    assert model.roles.keys() - sums.keys() == looked_up
    for name, gram in sums.items():
        assert gram.shape == (model.tensors[name].shape[1],) * 2
        assert np.linalg.eigvalsh(gram).min() > -1e-6 * np.trace(gram)
    if kind != "untied":
        gram = sums[translation.SHARED]
        assert np.trace(gram) == pytest.approx(len(gram) * (1 + LOOKUP))


def test_only_as_much_is_read_as_is_enough(tiny_folder):
    tokenizer = load_tokenizer(tiny_folder, open_model(tiny_folder).config)
    tokens = len(tokenizer.encode(LINES[0]))
    sentences = readable(tokenizer, iter(["", "  ", "dog " * 900, *[LINES[0]] * ENOUGH_TOKENS]), longest=64)
    assert len(sentences) == -(-ENOUGH_TOKENS // tokens)


def test_outputs_on_the_text_are_kept_better(tmp_path):
    folder = tiny_marian_folder(tmp_path / "tiny")
    (tmp_path / "text").write_text("\n".join(LINES) + "\n")
    subbyte.quantize(folder, tmp_path / "plain", "uniform3")
    calls: list[tuple[str, int, int | None]] = []
    text = tmp_path / "text"
    subbyte.quantize(folder, tmp_path / "kept", "uniform3", calibration=text, progress=lambda *call: calls.append(call))
    assert calls[:2] == [("calibrating", 32, 40), ("calibrating", 40, 40)]  # sentences
    assert [*dict.fromkeys(name for name, *_ in calls)] == [
        "calibrating",
        "rounding to uniform3",
        "translating the check text",
        "checking uniform3",
    ]
    plain, kept = (open_model(tmp_path / name) for name in ("plain", "kept"))
    model = open_model(folder)
    sums = grams(model, load_tokenizer(folder, model.config), LINES)
    for name, gram in sums.items():
        lost = [
            ((w @ gram) * w).sum() for w in (model.tensors[name] - dequantize(m.tensors[name]) for m in (kept, plain))
        ]
        assert lost[0] < lost[1], name
    assert json.loads((tmp_path / "kept" / "report.json").read_text("utf-8"))["calibration"] == "text"


def test_a_text_that_is_too_short_is_refused(tiny_folder, tmp_path):
    (tmp_path / "text").write_text("\n".join(LINES[:15]) + "\n")
    with pytest.raises(UsageError, match=r"has 15 sentences .* 16 at least"):
        subbyte.quantize(tiny_folder, tmp_path / "out", "uniform4", calibration=tmp_path / "text")
    assert not (tmp_path / "out").exists()
