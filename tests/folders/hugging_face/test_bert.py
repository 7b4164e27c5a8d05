"""Encoders from Hugging Face folders: configurations, names of tensors, labels, folders of sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from builders.numpy_bert import DISTILBERT, ROBERTA, TINY, described
from builders.tiny_bench_bert import tiny_bert_folder
from builders.tiny_marian import RECORDINGS, edit_json
from subbyte.errors import FormatError, ModelError
from subbyte.folders.opening import open_model
from subbyte.models import bert, pooling
from subbyte.models.families import FAMILIES, encoder_of
from subbyte.models.kinds import label_names
from subbyte.models.model import Model, SentenceVectors

# --- configurations


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"hidden": 24, "layers": 3, "heads": 4, "ffn": 40, "positions": 16, "longest": 16}),
        ({}, {"types": 2, "activation": "gelu", "norm_epsilon": 1e-12, "labels": 3, "pooler_activation": "tanh"}),
        ({"architectures": ["BertModel"]}, {"labels": 0, "regression": False}),
        ({"architectures": None}, {"labels": 0}),
        ({"hidden_act": "swish", "layer_norm_eps": 1e-5}, {"activation": "silu", "norm_epsilon": 1e-5}),
        ({"num_labels": 1}, {"labels": 1, "regression": True}),
        ({"problem_type": "multi_label_classification"}, {"labels": 3, "several": True}),
        ({"problem_type": "regression"}, {"labels": 3, "several": True, "regression": False}),
        ({"problem_type": "single_label_classification"}, {"labels": 3, "several": False}),
        ({"architectures": ["BertForMaskedLM"]}, {"labels": 0}),
        ({"architectures": ["BertForTokenClassification"]}, {"labels": 0}),
        ({"num_labels": None}, {"labels": 2}),
        ({"id2label": {"0": "no", "1": "yes"}, "num_labels": 9}, {"labels": 2}),
        (DISTILBERT, {"types": 0, "pooler_activation": "relu", "longest": 16}),
        (ROBERTA, {"first_position": 2, "longest": 14, "types": 1, "pooler_activation": "tanh"}),
    ],
)
def test_settings_of_configurations(change: dict[str, Any], expected: dict[str, Any]) -> None:
    found = encoder_of(TINY | change)
    assert {name: getattr(found, name) for name in expected} == expected


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"hidden_size": 0}, "hidden_size is 0, should be a whole number from 1 to 65536"),
    ({"hidden_size": 24.0}, "hidden_size is 24.0"),
    ({"hidden_size": True}, "hidden_size is True"),
    ({"hidden_size": None}, "hidden_size is None"),
    ({"num_hidden_layers": 257}, "num_hidden_layers is 257"),
    ({"num_attention_heads": 5}, "5 attention heads do not divide the width 24"),
    ({"intermediate_size": "40"}, "intermediate_size is '40'"),
    ({"vocab_size": 2**40}, "vocab_size is 1099511627776"),
    ({"max_position_embeddings": 2}, "max_position_embeddings is 2, should be a whole number from 3"),
    ({"type_vocab_size": 0}, "type_vocab_size is 0"),
    ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new', should be one of gelu, relu, silu, swish"),
    ({"hidden_act": ["gelu"]}, r"hidden_act is \['gelu'\]"),
    ({"layer_norm_eps": 0}, "layer_norm_eps is 0"),
    ({"layer_norm_eps": "x"}, "layer_norm_eps is 'x'"),
    ({"position_embedding_type": "relative_key"}, "only models where it is 'absolute' are run"),
    ({"is_decoder": True}, "is_decoder is True"),
    ({"add_cross_attention": True}, "add_cross_attention is True"),
    ({"num_labels": 0}, "num_labels is 0"),
    ({"id2label": {"1": "a"}}, "id2label should name each label by its number"),
    ({"id2label": {"0": None}}, "id2label should name each label"),
    ({"id2label": []}, "id2label should name each label"),
    ({"problem_type": "ranking"}, "problem_type is 'ranking', should be one of regression"),
    ({"problem_type": "single_label_classification", "num_labels": 1}, "with one label, whose probability would"),
    ({**DISTILBERT, "dim": 25}, "4 attention heads do not divide the width 25"),
    ({**DISTILBERT, "activation": "tanh"}, "activation is 'tanh'"),
    ({**ROBERTA, "pad_token_id": -1}, "pad_token_id is -1"),
    ({**ROBERTA, "max_position_embeddings": 3}, "max_position_embeddings is 3, should be a whole number from 4"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=str)
def test_faults_of_configurations(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        encoder_of(TINY | change)


def test_all_faults_are_named() -> None:
    alone = [(change, message) for change, message in WRONG[3:7] + WRONG[10:11] + WRONG[12:13] + WRONG[14:18]]
    with pytest.raises(ModelError) as error:
        encoder_of({**TINY, **{key: value for change, _ in alone for key, value in change.items()}})
    assert str(error.value).count("\n  ") >= len(alone)


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": ["MPNetModel"]},
        {"model_type": "mpnet"},
        {"model_type": "roberta"},
        {"model_type": ["bert"]},
        {"architectures": "BertModel"},
        {"architectures": [5]},
    ],
)
def test_other_architectures_are_refused_by_name(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = tiny_bert_folder(tmp_path / "m")
    edit_json(folder / "config.json", **change)
    with pytest.raises(ModelError, match=r"which is not supported; supported: .*DistilBertModel"):
        open_model(folder)


def test_names_of_labels() -> None:
    assert label_names(described(TINY)) == ["LABEL_0", "LABEL_1", "LABEL_2"]
    named = TINY | {"id2label": {"1": "good", "0": "bad"}}
    assert label_names(described(named)) == ["bad", "good"]
    assert label_names(described(TINY | {"architectures": ["BertModel"]})) == []


# --- tensors


def recorded(name: str, tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A copy of a folder that transformers saved, and its tensors."""
    source, folder = RECORDINGS / "encoders" / name, tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    return folder, load_file(source / "model.safetensors")


def opened(folder: Path, tensors: dict[str, np.ndarray]) -> Model:
    save_file(tensors, folder / "model.safetensors")
    return open_model(folder)


@pytest.mark.parametrize("name", sorted(folder.name for folder in (RECORDINGS / "encoders").iterdir()))
def test_names_of_transformers_become_those_of_bert(name: str, tmp_path: Path) -> None:
    folder, tensors = recorded(name, tmp_path)
    model = opened(folder, tensors)
    assert model.tensors.keys() == encoder_of(model.config).specification().shapes.keys()
    used = [key for key in tensors if FAMILIES[model.config["model_type"]].our_name(key) in model.tensors]
    assert all(array.dtype == np.float32 for array in model.tensors.values())  # type: ignore[union-attr]
    for key in used:
        assert np.array_equal(model.tensors[FAMILIES[model.config["model_type"]].our_name(key)], tensors[key])
    unused = tensors.keys() - set(used)
    assert all("pooler" in key for key in unused) and (not unused or not model.architecture.endswith(bert.CLASSIFIER))


def test_what_is_not_run_is_left_out(tmp_path: Path) -> None:
    """The pooler of a bare model, tables of positions' numbers, and the pooler that old RoBERTa classifiers have."""
    folder, tensors = recorded("bert", tmp_path)
    width = tensors["embeddings.LayerNorm.weight"].shape[0]
    extra = {"pooler.dense.weight": np.zeros((width, width), np.float32)}
    extra |= {
        "pooler.dense.bias": np.zeros(width, np.float32),
        "embeddings.position_ids": np.zeros((1, 14), np.float32),
    }
    opened(folder, tensors | extra)
    opened(folder, {f"bert.{name}": array for name, array in (tensors | extra).items()})
    folder, tensors = recorded("roberta-classifier", tmp_path)
    model = opened(folder, tensors | {f"roberta.{name}": array for name, array in extra.items()})
    assert np.array_equal(model.tensors["pooler.dense.weight"], tensors["classifier.dense.weight"])


def test_old_names_of_layer_norms(tmp_path: Path) -> None:
    folder, tensors = recorded("bert", tmp_path)
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in tensors.items()
    }
    assert np.array_equal(
        opened(folder, renamed).tensors["embeddings.LayerNorm.bias"], tensors["embeddings.LayerNorm.bias"]
    )


@pytest.mark.parametrize("name", ["bert-classifier", "distilbert-classifier", "roberta-classifier"])
def test_tensors_that_are_missing_or_too_many_are_named(name: str, tmp_path: Path) -> None:
    folder, tensors = recorded(name, tmp_path)
    some = next(key for key in tensors if "layer.1." in key and key.endswith("weight"))
    ours = FAMILIES[name.partition("-")[0]].our_name(some)
    with pytest.raises(ModelError, match=ours):
        opened(folder, {key: array for key, array in tensors.items() if key != some})
    more = f"{name.partition('-')[0]}.something.else"
    with pytest.raises(ModelError, match=r"something\.else"):
        opened(folder, tensors | {more: np.zeros(3, np.float32)})
    with pytest.raises(ModelError, match=ours):
        opened(folder, tensors | {some: tensors[some][:-1].copy()})


def test_a_tensor_under_two_names_is_refused(tmp_path: Path) -> None:
    folder, tensors = recorded("bert", tmp_path)
    with pytest.raises(ModelError, match="twice, as"):
        opened(folder, tensors | {f"bert.{name}": array for name, array in tensors.items()})


def test_a_pickle_is_refused_with_the_class_that_converts_it(tmp_path: Path) -> None:
    for architecture, auto in (("BertModel", "AutoModel"), ("BertForSequenceClassification", "AutoModelForSequenceCl")):
        folder = tiny_bert_folder(tmp_path / architecture, architecture)
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(ModelError, match=f"import {auto}"):
            open_model(folder)


# --- sentence-transformers

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
MEAN = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


def sentence_folder(
    folder: Path, modules: object = (TRANSFORMER, POOLING, NORMALIZE), mode: object = MEAN, length: object = None
) -> Path:
    """A folder of sentence-transformers."""
    tiny_bert_folder(folder)
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(mode), "utf-8")
    if length is not None:
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, SentenceVectors(("mean",), True, None)),
        ({"modules": [TRANSFORMER, POOLING]}, SentenceVectors(("mean",), False, None)),
        ({"length": 20}, SentenceVectors(("mean",), True, 20)),
        ({"length": 512}, SentenceVectors(("mean",), True, 512)),
        (
            {"mode": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}},
            SentenceVectors(("cls",), True),
        ),
        ({"mode": {"pooling_mode_max_tokens": True}}, SentenceVectors(("max",), True)),
        ({"mode": {}}, SentenceVectors(("mean",), True)),
        ({"mode": {"pooling_mode": ["mean", "max"]}}, SentenceVectors(("mean", "max"), True)),
        ({"mode": {"pooling_mode": "cls", "embedding_dimension": 32}}, SentenceVectors(("cls",), True)),
    ],
)
def test_folders_of_sentence_transformers(tmp_path: Path, given: dict[str, Any], expected: SentenceVectors) -> None:
    assert open_model(sentence_folder(tmp_path / "m", **given)).sentence == expected


def test_folders_without_modules_say_nothing_of_sentences(tmp_path: Path) -> None:
    assert open_model(tiny_bert_folder(tmp_path / "m")).sentence is None
    classifier = tiny_bert_folder(tmp_path / "c", "BertForSequenceClassification")
    assert open_model(classifier).sentence is None
    (classifier / "modules.json").write_text("[")  # a cross-encoder's counts
    with pytest.raises(ModelError, match=r"modules\.json: is not valid JSON"):
        open_model(classifier)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"modules": [TRANSFORMER, POOLING, DENSE]}, r"2_Dense/config\.json: the file is missing"),
        (
            {"modules": [TRANSFORMER, POOLING, DENSE | {"type": "custom.Dense"}]},
            r"has modules Transformer, Pooling, custom\.D",
        ),
        ({"modules": [TRANSFORMER, POOLING, POOLING | {"name": "2"}]}, "has modules Transformer, Pooling, Pooling"),
        ({"modules": [TRANSFORMER, POOLING, POOLING]}, "has modules of the same name"),
        ({"modules": [TRANSFORMER]}, "has modules Transformer;"),
        ({"modules": [POOLING | {"path": ""}, TRANSFORMER]}, "has modules Pooling, Transformer"),
        ({"modules": []}, "has modules ;"),
        ({"modules": {}}, "should list modules"),
        ({"modules": [5]}, "should list modules"),
        ({"modules": [{"type": "Transformer"}]}, "should list modules"),
        (
            {"modules": [TRANSFORMER | {"path": "0_Transformer"}, POOLING]},
            r"0_Transformer/config\.json: the file is missing",
        ),
        ({"modules": [TRANSFORMER | {"path": "../m"}, POOLING]}, "is not the name of a folder in this folder"),
        *(
            ({"modules": [TRANSFORMER, POOLING | {"path": path}]}, "is not the name of a folder in this folder")
            for path in ("", ".", "..", "../elsewhere", "/etc", "a/b", "a\\b", "a\0b")
        ),
        ({"modules": [TRANSFORMER, POOLING | {"path": "missing"}]}, "the file is missing"),
        ({"mode": {"pooling_mode": ["mean", "sum"]}}, r"pools by \['mean', 'sum'\], should be one or some of cls"),
        ({"mode": {"pooling_mode": [["mean"]]}}, "pools by"),
        ({"mode": {"pooling_mode": ["mean"] * 17}}, "pools by"),
        ({"mode": {"pooling_mode_sum": True}}, "pooling_mode_sum is True, which is not known"),
        ({"mode": {"include_prompt": "no"}}, "include_prompt is 'no'"),
        ({"mode": []}, "should hold a JSON object"),
        ({"length": 2}, "max_seq_length is 2"),
        ({"length": "256"}, "max_seq_length is '256'"),
        ({"length": True}, "max_seq_length is True"),
    ],
    ids=str,
)
def test_what_sentence_transformers_has_and_we_do_not_run(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        open_model(sentence_folder(tmp_path / "m", **given))


def test_links_of_the_hugging_face_cache_are_followed_and_others_are_not(tmp_path: Path) -> None:
    cache = tmp_path / "models--x"
    folder = sentence_folder(cache / "snapshots" / "abc")
    (cache / "blobs").mkdir()
    for name in ("modules.json", "1_Pooling/config.json", "model.safetensors"):
        blob = cache / "blobs" / name.replace("/", "-")
        (folder / name).rename(blob)
        (folder / name).symlink_to(blob)
    assert open_model(folder).sentence == SentenceVectors(("mean",), True)

    other = sentence_folder(tmp_path / "other")
    (other / "1_Pooling" / "config.json").rename(tmp_path / "config.json")
    (other / "1_Pooling" / "config.json").symlink_to(tmp_path / "config.json")
    with pytest.raises(ModelError, match="leads out of the folder"):
        open_model(other)
    (other / "1_Pooling" / "config.json").unlink()
    (other / "1_Pooling").rmdir()
    (other / "1_Pooling").symlink_to(tmp_path)
    with pytest.raises(ModelError, match="is not the name of a folder in this folder"):
        open_model(other)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, "sentence should say"),
        (5, "sentence should say"),
        ({"pooling": "sum", "normalize": True, "max_tokens": None}, "pooling is 'sum'"),
        ({"pooling": [["mean"]], "normalize": True, "max_tokens": None}, "pooling is"),
        ({"pooling": "mean", "normalize": 1, "max_tokens": None}, "normalize is 1"),
        ({"pooling": "mean", "normalize": True, "max_tokens": 2}, "max_tokens is 2"),
        ({"pooling": "mean", "normalize": True, "max_tokens": 8, "more": 1}, "sentence should say"),
    ],
)
def test_what_a_converted_folder_says_of_sentences_is_checked(plain: object, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        pooling.from_plain(plain, "config.json", FormatError)


def test_what_a_converted_folder_says_of_sentences_is_read_again() -> None:
    for sentence in (SentenceVectors(), SentenceVectors(("cls",), True, 20)):
        assert pooling.from_plain(pooling.to_plain(sentence), "it", FormatError) == sentence
