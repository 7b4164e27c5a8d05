"""Bergamot folders: the arithmetic against numpy, and what is refused by name."""

from __future__ import annotations

import logging
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import subbyte
from builders.numpy_student import SOURCE, Numpy
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_student import (
    BYTES,
    CONFIG,
    FLOAT16,
    FLOAT32,
    INTGEMM8,
    MODEL,
    TEXTS,
    pieces_of,
    tiny_student,
    tiny_student_folder,
    words_of,
    write_student,
)
from subbyte.compress.recipes.recipe import load_recipe, resolve
from subbyte.compress.rounding import quantize_model
from subbyte.errors import ModelError
from subbyte.folders.opening import open_model
from subbyte.models import translation
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import PackedMatrix
from subbyte.run.translation_engine import Engine
from subbyte.text.tokenizer import load_tokenizer

KINDS = {"float32": FLOAT32, "float16": FLOAT16, "int8": INTGEMM8}
TIES: dict[str, dict[str, str | None]] = {
    "all": {},
    "source and target": {"tied_embeddings_all": None, "tied_embeddings_src": "true"},
    "target and output": {"tied_embeddings_all": None, "tied_embeddings": "true"},
    "none": {"tied_embeddings_all": None},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("cell", ["rnn", "self-attention"])
def test_logits_and_greedy_ids_are_those_of_numpy(tmp_path: Path, kind: str, ties: str, cell: str) -> None:
    tensors, values = tiny_student(KINDS[kind], transformer_decoder_autoreg=cell, **TIES[ties])
    model = open_model(write_student(tmp_path / "m", tensors))
    engine, reference = Engine(model, threads=1), Numpy(values)
    target = [0, 6, 11, 4, 9]
    wanted = reference.logits(SOURCE, target)
    assert np.abs(engine.logits(SOURCE, target) - wanted).max() < 1e-4 * np.abs(wanted).max()
    generation = engine.generation(beam_size=1, max_length=12)
    found = engine.translate([SOURCE, SOURCE[2:]], generation)
    assert [hypotheses[0].tokens for hypotheses in found] == [reference.greedy(s, 11) for s in (SOURCE, SOURCE[2:])]


@pytest.mark.parametrize(
    "changes",
    [
        {"transformer_ffn_activation": "swish"},
        {"transformer_ffn_activation": None},  # Marian's default is swish
        {"transformer_decoder_dim_ffn": "16"},
        {"output_omit_bias": "true"},
        {"transformer_heads": "2"},
    ],
)
def test_options_that_change_the_arithmetic(tmp_path: Path, changes: dict[str, str | None]) -> None:
    tensors, values = tiny_student(**changes)
    engine = Engine(open_model(write_student(tmp_path / "m", tensors)), threads=1)
    activation = "swish" if "transformer_ffn_activation" in changes else "relu"
    reference = Numpy(values, heads=int(changes.get("transformer_heads") or 4), activation=activation)
    wanted = reference.logits(SOURCE, [0, 6, 11])
    assert np.abs(engine.logits(SOURCE, [0, 6, 11]) - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_weights_are_the_float32_numbers_that_int8_stands_for(tmp_path: Path) -> None:
    tensors, values = tiny_student()
    model = open_model(write_student(tmp_path / "m", tensors))
    ours = {
        "model.shared.weight": values["Wemb"],
        "model.encoder.layers.1.fc1.weight": values["encoder_l2_ffn_W1"].T,
        "model.decoder.layers.0.encoder_attn.k_proj.weight": values["decoder_l1_context_Wk"].T,
        "model.decoder.layers.1.ssru.forget.weight": values["decoder_l2_rnn_Wf"].T,
        "model.decoder.layers.1.ssru_layer_norm.bias": values["decoder_l2_rnn_ffn_ln_bias"][0],
        "final_logits_bias": values["decoder_ff_logit_out_b"][0],
    }
    for name, wanted in ours.items():
        tensor = model.tensors[name]
        assert isinstance(tensor, np.ndarray) and tensor.dtype == np.float32 and np.array_equal(tensor, wanted), name
    assert str(model.roles["model.decoder.layers.1.ssru.forget.weight"]) == "decoder.1.recurrence"
    assert len(model.tensors) == len(values)


def test_student8_stores_the_codes_of_the_file(tmp_path: Path) -> None:
    model = open_model(write_student(tmp_path / "m", tiny_student()[0]))
    packed = quantize_model(model, resolve(load_recipe("student8"), model))
    for name in model.roles:
        w, matrix = model.tensors[name], packed.tensors[name]
        assert isinstance(w, np.ndarray) and isinstance(matrix, PackedMatrix)
        steps = w / (np.abs(w).max() / np.abs(matrix.blocks[0].codes).max())  # whole numbers in the file
        assert np.array_equal(matrix.blocks[0].codes, np.round(steps)), name
        assert np.abs(dequantize(matrix) - w).max() < np.abs(w).max() / 2000, name  # float16 of the scale


def test_an_output_matrix_of_old_is_turned(tmp_path: Path) -> None:
    tensors, values = tiny_student(FLOAT32, tied_embeddings_all=None)
    kind, _, _ = tensors.pop("decoder_ff_logit_out_Wt")
    turned = values["decoder_ff_logit_out_Wt"].T
    tensors["decoder_ff_logit_out_W"] = (kind, turned.shape, np.ascontiguousarray(turned).tobytes())
    model = open_model(write_student(tmp_path / "m", tensors))
    assert np.array_equal(model.tensors[translation.OUTPUT], turned.T)


# The folder


def test_separate_vocabularies(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m", separate=True, tied_embeddings_all=None, tied_embeddings="true")
    model = open_model(folder)
    assert model.config["sentencepiece"] == {"source": "srcvocab.xxyy.spm", "target": "trgvocab.xxyy.spm"}
    assert (model.config["vocab_size"], model.config["decoder_vocab_size"]) == (words_of("source"), words_of("target"))
    tokenizer = load_tokenizer(folder, model.config)
    assert tokenizer.separate
    for text in TEXTS["target"]:
        assert tokenizer.decode(tokenizer.encode_target(text)) == text
    assert tokenizer.encode(TEXTS["source"][0])[-1] == 0 == tokenizer.encode_target("")[-1]
    assert len(tokenizer.encode(TEXTS["source"][0], max_length=3)) == 3
    subbyte.Translator.from_pretrained(folder, threads=1).translate(["a dog"])


@pytest.mark.parametrize("separate", [False, True])
def test_a_folder_without_yml_is_read_by_its_names(tmp_path: Path, separate: bool) -> None:
    ties = {"tied_embeddings_all": None, "tied_embeddings": "true"}
    tensors, _ = tiny_student(separate=separate, **ties)
    folder = write_student(tmp_path / "m", tensors, separate=separate, config=None)
    model = open_model(folder)
    assert model.generation == {
        "num_beams": 1, "length_penalty": 1.0, "max_length": 512, "max_length_factor": 3.0, "bad_words_ids": [[1]]
    }  # fmt: skip
    assert load_tokenizer(folder, model.config).separate is separate


def test_generation_is_as_the_yml_says(tmp_path: Path) -> None:
    tensors, _ = tiny_student()
    lines = "beam-size: 4\nnormalize: 0.6\nallow-unk: true\nmax-length-factor: 2.5\nword-penalty: 0\n"
    model = open_model(write_student(tmp_path / "m", tensors, config=lines))
    assert model.generation == {"num_beams": 4, "length_penalty": 0.6, "max_length": 512, "max_length_factor": 2.5}
    generation = Engine(model, threads=1).generation()
    assert (generation.beam_size, generation.length_penalty, generation.banned) == (4, 0.6, ())


@pytest.mark.parametrize("beam", [1, 3])
def test_a_translation_has_at_most_so_many_tokens_as_the_factor_says(tmp_path: Path, beam: int) -> None:
    tensors, _ = tiny_student()
    engine = Engine(open_model(write_student(tmp_path / "m", tensors, config="max-length-factor: 1.5\n")), threads=1)
    search = replace(engine.generation(beam_size=beam), banned=(0, 1))  # it never ends by itself
    sentences = [[5, 6, 7, 8, 0], [9, 0], [11, 4, 0]]
    lengths = [
        [len(best.tokens) for (best,) in engine.translate(batch, search)] for batch in (sentences, sentences[1:2])
    ]
    assert lengths == [[8, 3, 5], [3]]
    without = replace(search, max_length_factor=0.0, max_length=13)
    assert [len(best.tokens) for (best,) in engine.translate(sentences, without)] == [12, 12, 12]


def test_what_is_not_used_is_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors, _ = tiny_student()
    with caplog.at_level(logging.INFO, "subbyte"):
        open_model(write_student(tmp_path / "m", tensors, config="word-penalty: 0.4\n"))
    text = caplog.text
    assert "lex.50.50.xxyy.s2t.bin is not used" in text and "word-penalty is not applied" in text
    caplog.clear()
    open_model(write_student(tmp_path / "other", tensors, shortlist=False))
    assert not caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models:\n  - model.npz\nvocabs:\n  - a.spm\n  - a.spm\n", "only|\\*.bin"),
        ("models:\n  - a.bin\n  - b.bin\nvocabs:\n  - a.spm\n  - a.spm\n", "a list of one file"),
        ("models: a.bin\n", "a list of one file"),
        ("models:\n  - a.bin\nvocabs:\n  - a.spm\n", "a list of two files"),
        ("models:\n  - a.bin\nvocabs:\n  - a.yml\n  - a.yml\n", "vocabulary 'a.yml' is not supported"),
        ("models:\n  - a.bin\nvocabs:\n  - a.fsv\n  - a.fsv\n", "vocabulary 'a.fsv' is not supported"),
        ("models:\n  - a.bin\nvocabs:\n  - ../a.spm\n  - a.spm\n", "vocabulary '../a.spm' is not supported"),
        ("models:\n  - a.bin\nvocabs:\n  - a.spm\n  - a.spm\n", "a.bin: the file is missing"),
        ("models:\n  - ../a.bin\nvocabs:\n  - a.spm\n  - a.spm\n", "not the name of a file in this folder"),
        ("models: {a: b}\n", "line 1 is"),
        ("a: b\n", "no \\*.yml that says which to read"),
    ],
)
def test_a_yml_that_does_not_help_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(ModelError, match=message):
        open_model(tmp_path)


def test_two_ymls_may_name_one_model_but_not_two(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    text = (folder / CONFIG).read_text()
    (folder / "config.intgemm8bit.yml").write_text(text.replace(MODEL, "gone.bin"))
    open_model(folder)
    (folder / "gone.bin").write_bytes((folder / MODEL).read_bytes())
    with pytest.raises(ModelError, match="name different models; keep one"):
        open_model(folder)


def test_folders_without_yml_that_cannot_be_guessed_are_refused(tmp_path: Path) -> None:
    tensors, _ = tiny_student()
    folder = write_student(tmp_path / "m", tensors, config=None)
    (folder / "other.spm").write_bytes(b"")
    with pytest.raises(ModelError, match=r"has the vocabularies other.spm vocab.xxyy.spm"):
        open_model(folder)
    (folder / "model2.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"has 2 files model\*.bin"):
        open_model(folder)


def test_a_vocabulary_that_is_not_the_models_is_refused(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    (folder / "vocab.xxyy.spm").write_bytes(tiny_marian_folder(tmp_path / "marian").joinpath("source.spm").read_bytes())
    with pytest.raises(ModelError, match="the id is 2, should be 0, eos_token_id"):
        load_tokenizer(folder, open_model(folder).config)
    (folder / "vocab.xxyy.spm").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="is not a sentencepiece model"):
        load_tokenizer(folder, open_model(folder).config)
    config = {**open_model(folder).config, "vocab_size": 3}
    (folder / "vocab.xxyy.spm").write_bytes(pieces_of("joint"))
    with pytest.raises(ModelError, match="pieces, more than vocab_size, 3"):
        load_tokenizer(folder, config)


# What is refused by name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "s2s"}, "type is 's2s'"),
        ({"dec_cell": "gru"}, "dec-cell is 'gru'; run is ssru"),
        ({"dec_cell": "lstm"}, "dec-cell is 'lstm'"),
        ({"dec_cell": None}, "dec-cell is 'gru'"),
        ({"transformer_decoder_autoreg": "average-attention"}, "transformer-decoder-autoreg is 'average-attention'"),
        ({"transformer_ffn_activation": "gelu"}, "transformer-ffn-activation is 'gelu'"),
        ({"transformer_ffn_depth": "3"}, "transformer-ffn-depth is '3'"),
        ({"transformer_preprocess": "n"}, "transformer-preprocess is 'n'"),
        ({"transformer_postprocess": "da"}, "transformer-postprocess is 'da'"),
        ({"transformer_postprocess_emb": "nd"}, "transformer-postprocess-emb is 'nd'"),
        ({"transformer_postprocess_top": "n"}, "transformer-postprocess-top is 'n'"),
        ({"transformer_train_position_embeddings": "true"}, "transformer-train-position-embeddings is 'true'"),
        ({"transformer_rnn_projection": "true"}, "transformer-rnn-projection is 'true'"),
        ({"transformer_tied_layers": "[1, 1, 2]"}, "transformer-tied-layers is"),
        ({"transformer_new_idea": "yes"}, "transformer-new-idea is 'yes'"),
        ({"lemma_dim_emb": "64"}, "lemma-dim-emb is '64'"),
        ({"layer_normalization": "true"}, "layer-normalization is 'true'"),
        ({"right_left": "true"}, "right-left is 'true'"),
        ({"input_types": "[class, sequence]"}, "input-types is"),
        ({"dim_emb": None}, "dim-emb is None"),
        ({"enc_depth": "-1"}, "enc-depth is '-1'"),
        ({"enc_depth": "0"}, "encoder_layers is 0"),
        ({"enc_depth": "999999999"}, "encoder_layers is 999999999"),
        ({"transformer_heads": "5"}, "encoder_attention_heads is 5, which does not divide"),
        ({"transformer_dim_ffn": "[48]"}, "transformer-dim-ffn is"),
        ({"tied_embeddings": "maybe"}, "tied-embeddings is 'maybe'"),
    ],
)
def test_options_that_are_not_supported_are_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    tensors, _ = tiny_student()
    text = tensors["special:model.yml"][2].rstrip(b"\0").decode().splitlines()
    for key, value in changes.items():
        option = key.replace("_", "-")
        text = [line for line in text if not line.startswith(f"{option}:")]
        text += [] if value is None else [f"{option}: {value}"]
    data = "\n".join(text).encode() + b"\0"
    tensors["special:model.yml"] = (BYTES, (len(data),), data)
    with pytest.raises(ModelError) as error:
        open_model(write_student(tmp_path / "m", tensors))
    assert message in str(error.value) and MODEL in str(error.value)


def test_every_wrong_tensor_is_named_at_once(tmp_path: Path) -> None:
    tensors, _ = tiny_student()
    del tensors["encoder_l2_self_bq"]
    tensors["Wpos"] = tensors["encoder_l1_self_Wq"]
    tensors["decoder_l1_ffn_W1"] = tensors["decoder_l1_ffn_W2"]
    with pytest.raises(ModelError) as error:
        open_model(write_student(tmp_path / "m", tensors))
    text = str(error.value)
    assert "missing tensor encoder_l2_self_bq [1, 32]" in text and "unexpected tensor Wpos [32, 32]" in text
    assert "tensor decoder_l1_ffn_W1 is [48, 32], should be [32, 48]" in text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    tensors, values = tiny_student()
    bias = values["encoder_l1_self_bq"].copy()
    bias[0, 3] = value
    tensors["encoder_l1_self_bq"] = (FLOAT32, bias.shape, bias.tobytes())
    with pytest.raises(ModelError, match="encoder_l1_self_bq holds a value that is not a finite number"):
        open_model(write_student(tmp_path / "m", tensors))


@pytest.mark.parametrize("multiplier", [0.0, -3.0, np.nan, np.inf, 1e-45, 1e-37])
def test_multipliers_that_make_no_weights_are_refused(tmp_path: Path, multiplier: float) -> None:
    tensors, _ = tiny_student()
    kind, shape, data = tensors["Wemb"]
    tensors["Wemb"] = (kind, shape, data[:-4] + struct.pack("<f", multiplier))
    with pytest.raises(ModelError, match="Wemb has the multiplier"):
        open_model(write_student(tmp_path / "m", tensors))
