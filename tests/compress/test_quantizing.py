"""`subbyte.quantize` beyond what the commands show: its report, its progress, the words it counts."""

from __future__ import annotations

import json

import numpy as np
import pytest

import subbyte
from builders.tiny_marian import tiny_marian_folder
from subbyte.compress.calibration.words import word_frequencies
from subbyte.folders.opening import open_model
from subbyte.models import translation
from subbyte.text.tokenizer import load_tokenizer


def test_the_report_says_how_it_was_made(tiny_folder, tmp_path):
    (tmp_path / "text").write_text("a dog\n")
    subbyte.quantize(tiny_folder, tmp_path / "out", "nmt-mixed", frequencies=tmp_path / "text")
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["recipe"] == "nmt-mixed" and report["frequencies"] == "text"
    assert report["versions"]["numpy"] == np.__version__
    assert report["tensors"][translation.SHARED]["bits"] == [4, 3, 2, 1]


def test_progress_goes_through_phases_none_of_which_goes_back(tiny_folder, tmp_path):
    calls = []
    subbyte.quantize(tiny_folder, tmp_path / "out", "int8", progress=lambda *call: calls.append(call))
    matrices = sum(w.size for w in open_model(tiny_folder).tensors.values() if w.ndim == 2)
    rounding = [steps for name, *steps in calls if name == "rounding to int8"]
    assert rounding[-1] == [matrices, matrices] and rounding == sorted(rounding)
    asked = [("translating the check text", i, 2) for i in range(3)]
    assert calls[len(rounding) :] == [*asked, *(("checking int8", i, 2) for i in range(3))]


def test_a_second_run_writes_the_same_bytes(tiny_folder, tmp_path):
    for name in "ab":
        subbyte.quantize(tiny_folder, tmp_path / name, "nmt-mixed")
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab")
    assert first == second


@pytest.mark.parametrize("shared", [True, False])
def test_words_are_counted_on_their_side(tmp_path, shared):
    folder = tiny_marian_folder(tmp_path / "tiny", share_encoder_decoder_embeddings=shared)
    model = open_model(folder)
    tokenizer = load_tokenizer(folder, model.config)
    counts = word_frequencies(model, tokenizer, ["a dog\tein Hund", "a dog", "", "\t"])
    dog = tokenizer.encode("a dog")
    target_ids = {piece: id for id, piece in tokenizer.target_pieces.items()}
    hund = [target_ids.get(piece, tokenizer.unk.id) for piece in tokenizer.target.encode("ein Hund", out_type=str)]
    if shared:
        assert [*counts] == [translation.SHARED]
        assert (counts[translation.SHARED][dog] >= 2).all() and (counts[translation.SHARED][hund] >= 1).all()
        assert counts[translation.SHARED][tokenizer.eos.id] == 8
    else:
        assert counts[translation.ENCODER].sum() == 2 * len(dog) + 2 and (counts[translation.ENCODER][dog] >= 2).all()
        assert (counts[translation.DECODER][hund] >= 1).all() and counts[translation.DECODER][tokenizer.eos.id] == 4
    assert all(len(counts[name]) == model.tensors[name].shape[0] for name in counts)
