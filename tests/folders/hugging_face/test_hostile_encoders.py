"""Encoder folders as a stranger would make them: every value of their JSON files, and where their paths lead."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import subbyte
from builders.encoder_head_table import RERANKER
from builders.encoder_variant_table import VARIANTS
from builders.encoder_variants import SETTINGS, base_folder, changed, dense_folder
from builders.tiny_marian import edit_json
from subbyte.errors import FormatError, ModelError
from subbyte.folders.opening import open_model

FAMILY = (FormatError, ModelError)
VALUES: tuple[Any, ...] = (None, True, -1, 0, 1 << 70, "", "../x", [], [[]], {"0": []})
MEANT = (("quantization_config", "sentence"), ("quantization_config", "scores"))
OPTIONS: dict[str, Any] = {
    "tokenizer_class": "BertTokenizer", "model_max_length": 9, "do_lower_case": True, "strip_accents": None,
    "truncation_side": "left", "padding_side": "right", "model_input_names": ["input_ids"], "cls_token": "[CLS]",
    "added_tokens_decoder": {"4": {"content": "[MASK]", "special": True, "lstrip": False}},
        "extra_special_tokens": ["a"],
    "tokenize_chinese_chars": True, "split_special_tokens": False, "init_inputs": [], "auto_map": None,
}  # fmt: skip
EDITS: dict[str, Any] = {
    **VARIANTS["sentences, normalized, then two Dense, one with a residual"][1],
    SETTINGS: {
        "prompts": {"query": "query: "}, "default_prompt_name": "query", "truncate_dim": 4,
            "similarity_fn_name": "dot",
        "model_type": "SentenceTransformer",
    },
    "sentence_bert_config.json": {
        "max_seq_length": 8, "do_lower_case": True, "transformer_task": "feature-extraction", "processor_kwargs": {},
        "model_args": {}, "unpad_inputs": None,
    },
    "1_Pooling/config.json": {"include_prompt": False},
    "tokenizer_config.json": OPTIONS,
}  # fmt: skip
LEGACY = {
    "special_tokens_map.json": {"mask_token": {"content": "[MASK]", "lstrip": True}, "cls_token": "[CLS]"},
    "added_tokens.json": {"<ent>": 40},
    "tokenizer_config.json": {"added_tokens_decoder": ...},
}
RERANKS = {
    **RERANKER,
    SETTINGS: {"model_type": "CrossEncoder", "activation_fn": "torch.nn.Sigmoid", "prompts": {"query": "a "}},
    "config.json": {"sentence_transformers": {"activation_fn": "torch.nn.Identity"}, "problem_type": None},
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with all that can be said in them, each under its name; not to be changed."""
    home = tmp_path_factory.mktemp("hostile")
    changed(base_folder("words, sentences", home / "sentences"), EDITS)
    changed(changed(base_folder("words, sentences", home / "legacy"), EDITS), LEGACY)
    changed(base_folder("words, classifier, one label", home / "reranker"), RERANKS)
    for name in ("sentences", "reranker"):
        subbyte.quantize(home / name, home / f"{name}, converted", recipe="int8", check=False)
    return home


def use(folder: Path) -> None:
    """Everything that reads a folder."""
    if open_model(folder).scores:
        next(subbyte.Classifier.from_pretrained(folder, threads=1).scores([("a dog", "runs")]))
    else:
        subbyte.Encoder.from_pretrained(folder, threads=1).encode(["a dog", ""])


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values of a document are."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of a document with another value there."""
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


def documents(folder: Path) -> list[Path]:
    """The JSON files that are read, vocabularies aside."""
    skipped = {"report.json", "manifest.json", "vocab.json"}
    return sorted(path for path in folder.rglob("*.json") if path.name not in skipped)


@pytest.mark.parametrize("kind", ["sentences", "legacy", "reranker", "sentences, converted", "reranker, converted"])
def test_every_value_of_every_file_is_checked(originals: Path, tmp_path: Path, kind: str) -> None:
    """Another value there gives a model that can be used, or an error of ours."""
    folder = Path(shutil.copytree(originals / kind, tmp_path / kind))
    use(folder)
    refused = 0
    for file in [file for file in documents(folder) if kind != "legacy" or file.name in LEGACY]:
        text = file.read_text("utf-8")
        document = json.loads(text)
        for path in places(document):
            if (
                file.name == "config.json" and "converted" in kind and path[:2] not in MEANT
            ):  # others are as in a source
                continue
            for value in VALUES:
                file.write_text(json.dumps(with_value(document, path, value)), "utf-8")
                try:
                    use(folder)
                except FAMILY:
                    refused += 1
        file.write_text(text, "utf-8")
    assert refused > 50


@pytest.mark.parametrize("kind", ["sentences", "legacy", "reranker"])
def test_every_truncation_of_a_file_is_refused(originals: Path, tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(originals / kind, tmp_path / kind))
    for file in [file for file in documents(folder) if kind != "legacy" or file.name in LEGACY]:
        data = file.read_bytes()
        for length in range(0, len(data), 1 + len(data) // 30):
            file.write_bytes(data[:length])
            with pytest.raises(FAMILY, match=file.name):
                use(folder)
        file.write_bytes(data)


@pytest.mark.parametrize(
    "name", ["3_Dense/config.json", "3_Dense/model.safetensors", "1_Pooling/config.json", SETTINGS]
)
@pytest.mark.parametrize("spoil", ["link", "pipe"])
def test_links_out_of_the_folder_and_pipes_are_refused(originals: Path, tmp_path: Path, name: str, spoil: str) -> None:
    folder = Path(shutil.copytree(originals / "sentences", tmp_path / "m"))
    (folder / name).rename(tmp_path / "there")
    if spoil == "link":
        (folder / name).symlink_to(tmp_path / "there")
    else:
        os.mkfifo(folder / name)
    with pytest.raises(ModelError, match="leads out of the folder" if spoil == "link" else "is not a regular file"):
        use(folder)


def test_a_module_elsewhere_is_refused(originals: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(originals / "sentences", tmp_path / "m"))
    (folder / "3_Dense").rename(tmp_path / "3_Dense")
    (folder / "3_Dense").symlink_to(tmp_path / "3_Dense")
    with pytest.raises(ModelError, match="'3_Dense' is not the name of a folder in this folder"):
        use(folder)


def test_all_faults_are_named_at_once(originals: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(originals / "sentences", tmp_path / "m"))
    edit_json(folder / SETTINGS, truncate_dim=0, similarity_fn_name="maxsim", default_prompt_name="passage")
    edit_json(folder / "sentence_bert_config.json", max_seq_length="8", query_expansion={"strategy": "fixed"})
    edit_json(folder / "1_Pooling" / "config.json", pooling_mode="sum", pooling_mode_sum=True)
    edit_json(folder / "3_Dense" / "config.json", activation_function="my.Tanh", module_input_name="token_embeddings")
    with pytest.raises(ModelError) as error:
        open_model(folder)
    for said in ("truncate_dim is 0", "'maxsim'", "'passage'", "max_seq_length is '8'", "query_expansion", "pools by",
                 "pooling_mode_sum", "'my.Tanh'", "'token_embeddings'"):  # fmt: skip
        assert said in str(error.value)


def tokenizer_options(folder: Path, **options: Any) -> None:
    edit_json(folder / "tokenizer_config.json", **options)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: dense_folder(f / "3_Dense", 5, 9, residual=True),
            r"tensor linear\.weight is \[5, 9\], should be \[5, 8\]"),
        (lambda f: dense_folder(f / "3_Dense", 5, 8), r"missing tensor residual\.weight \[5, 8\]"),
        (lambda f: dense_folder(f / "3_Dense", 5, 8, bias=False, residual=True), r"missing tensor linear\.bias"),
        (lambda f: dense_folder(f / "5_Dense", 5, 5, residual=True), r"unexpected tensor residual\.weight"),
        (lambda f: edit_json(f / "3_Dense/config.json", in_features=9),
            "stage 1 .* has 9 inputs, what it is given has 8"),
        (lambda f: (f / "3_Dense/model.safetensors").rename(f / "3_Dense/pytorch_model.bin"),
            r"a pickle, .* import SentenceTransformer as M"),
        (lambda f: edit_json(f / SETTINGS, model_type="SparseEncoder"), "model_type is 'SparseEncoder'"),
        (lambda f: edit_json(f / "sentence_bert_config.json", tokenizer_name_or_path="y"), "tokenizer_name_or_path"),
        (lambda f: edit_json(f / "sentence_bert_config.json", model_args={"subfolder": "x"}), "model_args is"),
        (lambda f: tokenizer_options(f, tokenizer_class="BertJapaneseTokenizer"),
            "tokenizer_class is 'BertJapaneseTokenizer'"),
        (lambda f: tokenizer_options(f, auto_map={"AutoTokenizer": ["a.B", None]}), "auto_map is"),
        (lambda f: tokenizer_options(f, truncation_side="up", padding_side=5),
            r"(?s)padding_side is 5.*truncation_side is 'up'"),
        (lambda f: tokenizer_options(f, model_max_length=2), "model_max_length is 2"),
        (lambda f: tokenizer_options(f, unk_token=None), "unk_token should be a token, not null"),
        (lambda f: tokenizer_options(f, cls_token="nowhere" * 999), "cls_token is .* is no token"),
        (lambda f: tokenizer_options(f, bos_token="<a>", eos_token="<b>", cls_token="<c>"),
            "makes the id .* around every"),
        (lambda f: tokenizer_options(f, tokenizer_class="XLMRobertaTokenizer"),
            "tokenizer.json: the file is missing"),
        (lambda f: tokenizer_options(f, tokenizer_class="TokenizersBackend"), "tokenizer.json: the file is missing"),
        (lambda f: tokenizer_options(f, added_tokens_decoder={"x": {}}), "should have an object for each number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(originals: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    folder = Path(shutil.copytree(originals / "sentences", tmp_path / "m"))
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        use(folder)


@pytest.mark.parametrize(
    "named", ["torch.nn.Tanh", "sentence_transformers.util.fullname", "os.system", 5, ["torch.nn.Sigmoid"]]
)
def test_other_activations_of_scores_are_refused(tmp_path: Path, named: object) -> None:
    for key in ({"sbert_ce_default_activation_function": named}, {"sentence_transformers": {"activation_fn": named}}):
        folder = base_folder("words, classifier, one label", tmp_path / next(iter(key)))
        edit_json(folder / "config.json", **key)
        with pytest.raises(
            ModelError, match=r"the activation function of scores is .* Identity, Sigmoid, Softmax are run"
        ):
            open_model(folder)
