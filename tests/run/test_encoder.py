"""What encoders make of texts: prompts, cutting, activations of scores, notes, and what older folders keep."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import subbyte
from builders.encoder_variant_table import PROMPTS, VARIANTS, variant_folder
from builders.encoder_variants import HIDDEN, PAIRS, SETTINGS, TEXTS, base_folder
from builders.tiny_marian import edit_json
from subbyte.compress import encoder_agreement
from subbyte.errors import FormatError, ModelError, UsageError
from subbyte.folders.converted import loading
from subbyte.folders.opening import open_model
from subbyte.models import pooling
from subbyte.models.axis_order import permuted
from subbyte.run import vectors
from subbyte.run.inspection import inspect

ONE = "words, classifier, one label"
THREE = "words, classifier"
SENTENCES = "words, sentences"


def sentences(folder: Path) -> Path:
    """A folder with prompts, a Dense module and a limit."""
    variant_folder("sentences, Dense, tanh by default", folder)
    (folder / SETTINGS).write_text(json.dumps({**PROMPTS, "default_prompt_name": "query", "truncate_dim": 4}))
    return folder


def converted(folder: Path, recipe: str = "int8") -> Path:
    subbyte.quantize(folder, folder.parent / "out", recipe=recipe, check=False)
    return folder.parent / "out"


# --- vectors


def test_prompts_are_put_before_texts(tmp_path: Path) -> None:
    encoder = subbyte.Encoder.from_pretrained(sentences(tmp_path / "m"), threads=1)
    by_default = encoder.encode(["a dog"])
    assert np.array_equal(by_default, encoder.encode(["query: a dog"], prompt=""))
    assert np.array_equal(by_default, encoder.encode(["a dog"], prompt="query: "))
    assert np.array_equal(encoder.encode(["dog"], prompt_name="document"), encoder.encode(["the dog"], prompt=""))
    assert np.array_equal(
        encoder.encode(["dog"], prompt="a ", prompt_name="query"), encoder.encode(["a dog"], prompt="")
    )
    assert encoder.encode([]).shape == (0, 4) and encoder.encode([], truncate_dim=9).shape == (0, 5)
    assert [*encoder.stream(["a", "dog"], 1)][1].shape == (4,)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"prompt_name": "passage"}, "no prompt named 'passage'; this model has query, document"),
        ({"prompt_name": ["query"]}, "no prompt named"),
        ({"prompt": 5}, "prompt is 5, should be a string"),
        ({"truncate_dim": 0}, "truncate_dim is 0, should be a whole number from 1"),
        ({"truncate_dim": True}, "truncate_dim is True"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(tmp_path: Path, asked: dict[str, Any], message: str) -> None:
    encoder = subbyte.Encoder.from_pretrained(sentences(tmp_path / "m"), threads=1)
    with pytest.raises(UsageError, match=message):
        encoder.encode(["a"], **asked)


@pytest.mark.parametrize("name", ["sentences, every pooling", "sentences, a prompt longer than texts may be"])
def test_a_vector_does_not_depend_on_the_others(name: str, tmp_path: Path) -> None:
    encoder = subbyte.Encoder.from_pretrained(variant_folder(name, tmp_path / "m"), threads=1)
    asked = VARIANTS[name][2]
    alone = np.concatenate([encoder.encode([text], **asked) for text in TEXTS])
    assert np.array_equal(encoder.encode(TEXTS, **asked), alone)


def test_activations_of_modules_are_those_that_are_read() -> None:
    assert (*vectors.ACTIVATIONS,) == pooling.ACTIVATIONS


def test_similarities() -> None:
    a, b = np.array([[3.0, 4.0]]), np.array([[6.0, 8.0], [0.0, 1.0]])
    expected = {"cosine": [1, 0.8], "dot": [50, 4], "euclidean": [-5, -np.sqrt(18)], "manhattan": [-7, -6]}
    for kind, values in expected.items():
        np.testing.assert_allclose(vectors.similarity(a, b, kind), [values], rtol=1e-6)
        assert vectors.similarity(a[:0], b, kind).shape == (0, 2)


def test_a_converted_folder_keeps_modules_as_float32(tmp_path: Path) -> None:
    source = sentences(tmp_path / "m")
    out = converted(source)
    model = loading.load(out)
    assert model.sentence == open_model(source).sentence
    assert model.tensors["sentence.0.weight"].shape == (5, HIDDEN)
    plain = base_folder(SENTENCES, tmp_path / "plain")
    assert model.parameters - open_model(plain).parameters == 5 * HIDDEN + 5
    tensors = {tensor["name"]: tensor["bytes"] for tensor in inspect(out)["tensors"]}
    assert tensors["sentence.0.weight"] == 4 * 5 * HIDDEN
    assert {tensor["name"]: tensor["bytes"] for tensor in inspect(source)["tensors"]}["sentence.0.bias"] == 20
    assert inspect(out)["answers"] == ("vectors of 4 values; mean, then dense; prompts 'query' (default), 'document'")


def test_static_activations_and_another_order_of_the_axis_change_nothing_behind_the_pooling(tmp_path: Path) -> None:
    source = sentences(tmp_path / "m")
    (tmp_path / "text").write_text("a dog runs in the cat\nthe cat\n" * 12)
    subbyte.quantize(source, tmp_path / "out", recipe="w8a8-turned", calibration=tmp_path / "text", check=False)
    wanted = subbyte.Encoder.from_pretrained(source, threads=1).encode(TEXTS)
    found = subbyte.Encoder.from_pretrained(tmp_path / "out", threads=1).encode(TEXTS)
    assert np.abs(found - wanted).mean() < 0.1
    turned = permuted(open_model(source), np.arange(HIDDEN)[::-1])
    np.testing.assert_allclose(subbyte.Encoder.from_pretrained(turned, threads=1).encode(TEXTS), wanted, atol=1e-5)


def test_a_folder_that_says_little_is_written_as_before(tmp_path: Path) -> None:
    """So that older releases read it."""
    out = converted(base_folder(SENTENCES, tmp_path / "m"))
    said = json.loads((out / "config.json").read_text())["quantization_config"]["sentence"]
    assert said == {"pooling": "mean", "normalize": False, "max_tokens": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": [{"kind": "dense"}]}, "stage 0 is"),
        ({"stages": 5}, "stages is 5"),
        ({"stages": [{}] * 17}, "should be a list of at most 16"),
        ({"prompts": {"a": 5}}, "prompts is"),
        ({"default_prompt": "a"}, "default_prompt is 'a'"),
        ({"truncate_dim": 0}, "truncate_dim is 0"),
        ({"similarity": "l1"}, "similarity is 'l1'"),
        ({"lowercase": 1}, "lowercase is 1"),
        ({"pooling": ["mean", "cls"]}, r"stage 0 \(dense\) has 8 inputs, what it is given has 16 values"),
    ],
)
def test_what_a_converted_folder_says_is_checked(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    out = converted(sentences(tmp_path / "m"))
    document = json.loads((out / "config.json").read_text())
    document["quantization_config"]["sentence"] |= change
    (out / "config.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match=message):
        loading.load(out)


def test_stages_need_their_tensors(tmp_path: Path) -> None:
    out = converted(sentences(tmp_path / "m"))
    document = json.loads((out / "config.json").read_text())
    document["quantization_config"]["sentence"]["stages"][0]["outputs"] = 6
    (out / "config.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match=r"sentence\.0\.weight is F32 \[5, 8\], should be F32 \[6, 8\]"):
        loading.load(out)
    del document["quantization_config"]["sentence"]
    (out / "config.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match=r"unexpected array sentence\.0\.weight"):
        loading.load(out)


# --- scores


def test_an_argument_says_what_makes_scores(tmp_path: Path) -> None:
    folder = base_folder(THREE, tmp_path / "m")
    logits = np.stack([*subbyte.Classifier.from_pretrained(folder, threads=1).logits(PAIRS)])
    e = np.exp(logits)
    expected = {
        "none": logits,
        "sigmoid": e / (1 + e),
        "softmax": e / e.sum(1, keepdims=True),
        None: e / e.sum(1, keepdims=True),
    }
    for activation, scores in expected.items():
        classifier = subbyte.Classifier.from_pretrained(folder, threads=1, activation=activation)
        found = [[label["score"] for label in one] for one in classifier.scores(PAIRS)]
        np.testing.assert_allclose(found, scores, rtol=1e-5)
    with pytest.raises(UsageError, match="activation is 'tanh', should be one of none, sigmoid, softmax"):
        subbyte.Classifier.from_pretrained(folder, activation="tanh")


def test_large_logits_make_no_warnings(tmp_path: Path) -> None:
    classifier = subbyte.Classifier.from_pretrained(base_folder(ONE, tmp_path / "m"), threads=1)
    assert classifier.activation == "sigmoid"
    assert classifier.scored(np.array([-1e4, 0.0, 1e4], np.float32)).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("problem", [None, "regression"])
def test_older_converted_folders_keep_raw_numbers(tmp_path: Path, problem: str | None) -> None:
    source = base_folder(ONE, tmp_path / "m")
    out = converted(source)
    document = json.loads((out / "config.json").read_text())
    assert document["quantization_config"].pop("scores") == "sigmoid"
    (out / "config.json").write_text(json.dumps({**document, "problem_type": problem}))
    assert subbyte.Classifier.from_pretrained(out, threads=1).activation == "none"


def test_older_converted_folders_of_several_labels_keep_probabilities(tmp_path: Path) -> None:
    out = converted(base_folder(THREE, tmp_path / "m"))
    document = json.loads((out / "config.json").read_text())
    del document["quantization_config"]["scores"]
    (out / "config.json").write_text(json.dumps(document))
    assert subbyte.Classifier.from_pretrained(out, threads=1).activation == "softmax"
    document["quantization_config"]["scores"] = "tanh"
    (out / "config.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match="scores is 'tanh'"):
        loading.load(out)


def test_several_labels_at_once_are_not_measured_as_classes(tmp_path: Path) -> None:
    folder = base_folder(THREE, tmp_path / "m")
    edit_json(folder / "config.json", problem_type="multi_label_classification")
    (tmp_path / "x.tsv").write_text("sentence\tlabel\n" + "".join(f"a dog {x}\tyes\n" for x in "abcdefghijklmnopqrst"))
    with pytest.raises(UsageError, match="several labels at once"):
        subbyte.evaluate_classification(folder, tmp_path / "x.tsv")
    with pytest.raises(UsageError, match="several labels at once"):
        subbyte.analyze(folder, tmp_path / "x.tsv")


def test_agreement_on_several_labels_is_of_all_of_them(tmp_path: Path) -> None:
    folder = base_folder(THREE, tmp_path / "m")
    model = open_model(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.bias"] = tensors["classifier.bias"] + np.array([-50, 0, 0], np.float32)
    save_file(tensors, folder / "model.safetensors")
    for problem, same in ((None, False), ("multi_label_classification", True)):
        edit_json(folder / "config.json", problem_type=problem)
        other = open_model(folder)
        before = replace(model, config=other.config, scores=other.scores)
        found = encoder_agreement.agreement(*(encoder_agreement.answers(one, PAIRS) for one in (before, other)))
        logits = np.stack([*subbyte.Classifier.from_pretrained(model, threads=1).logits(PAIRS)])
        after = np.stack([*subbyte.Classifier.from_pretrained(other, threads=1).logits(PAIRS)])
        expected = np.all((logits > 0) == (after > 0), axis=1) if same else logits.argmax(1) == after.argmax(1)
        assert found["labels"] == pytest.approx(expected.mean(), abs=1e-4)


# --- parts that are not used


@pytest.mark.parametrize("name", ["MaskedLM", "leftover heads", "MaskedLM that is bare"])
def test_unused_parts_are_a_note(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "subbyte"):
        model = open_model(variant_folder(name, tmp_path / "m"))
    assert len(caplog.records) == 1 and "is opened as its BertModel" in caplog.text
    assert model.architecture == "BertModel" and model.config["architectures"] == ["BertModel"]


def test_a_classifier_without_its_tensors_is_an_error(tmp_path: Path) -> None:
    folder = base_folder("words", tmp_path / "m")
    edit_json(folder / "config.json", architectures=["BertForSequenceClassification"])
    with pytest.raises(ModelError, match=r"missing tensor classifier\.weight"):
        open_model(folder)


def test_what_is_strange_in_the_encoder_itself_is_an_error(tmp_path: Path) -> None:
    folder = base_folder(THREE, tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "bert.adapter.weight": np.zeros(2, np.float32)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"unexpected tensor adapter\.weight|unexpected tensor bert\.adapter"):
        open_model(folder)


def test_a_transformer_in_a_folder_is_converted_and_shown(tmp_path: Path) -> None:
    source = variant_folder("sentences, Transformer in a folder alone", tmp_path / "m")
    assert inspect(source)["bytes_on_disk"] > (source / "0_Transformer" / "model.safetensors").stat().st_size
    out = converted(source)
    assert (out / "vocab.txt").exists()
    shutil.rmtree(source)
    assert subbyte.Encoder.from_pretrained(out, threads=1).encode(TEXTS).shape == (len(TEXTS), HIDDEN)
