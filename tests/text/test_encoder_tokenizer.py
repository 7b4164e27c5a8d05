"""Tokenizers of encoders: against recordings of transformers, and files that a stranger may have written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers

import subbyte
from builders.encoder_tokenization_cases import BYTE_PAIRS, CASES, PAIRS, TEXTS, folder_of, longest_of
from builders.tiny_bench_bert import WORDS, tiny_bert_folder
from builders.tiny_marian import RECORDINGS, edit_json
from subbyte.errors import ModelError, UsageError
from subbyte.text.encoder_tokenizer import EncoderTokenizer, load_encoder_tokenizer

RECORDED = json.loads((RECORDINGS / "encoder_tokenization.json").read_text("utf-8"))["cases"]
ALL: list[tuple[str, ...]] = [*((text,) for text in TEXTS), *PAIRS]


def opened(folder: Path, max_tokens: int | None = None) -> EncoderTokenizer:
    return load_encoder_tokenizer(folder, json.loads((folder / "config.json").read_text("utf-8")), max_tokens)


def compare(tokenizer: EncoderTokenizer, case: str) -> None:
    assert tokenizer.longest == longest_of(case)
    ids, types = tokenizer.encode(ALL)
    for text, ours, theirs in zip(ALL, ids, RECORDED[case]["ids"], strict=True):
        assert ours == theirs, text
    assert types == RECORDED[case]["types"]
    assert max(map(len, ids)) == tokenizer.longest


@pytest.mark.parametrize("case", CASES)
def test_the_older_files_equal_transformers(tmp_path: Path, case: str) -> None:
    compare(opened(folder_of(case, tmp_path / "model")), case)


@pytest.mark.parametrize("case", ["words", "words, cased", "byte pairs"])
def test_a_tokenizer_json_equals_transformers(tmp_path: Path, case: str) -> None:
    """As transformers saves it, with a truncation and a padding of its own, which are not ours to keep."""
    folder = folder_of(case, tmp_path / "model")
    made = opened(folder)._tokenizer
    made.enable_truncation(7)
    made.enable_padding(length=9)
    made.save(str(folder / "tokenizer.json"))
    for name in ("vocab.txt", "vocab.json", "merges.txt"):  # the options count further: transformers obeys them
        (folder / name).unlink(missing_ok=True)
    compare(opened(folder), case)


def test_a_byte_pair_tokenizer_without_special_tokens_in_its_file(tmp_path: Path) -> None:
    folder = folder_of("byte pairs", tmp_path / "model")
    edit_json(folder / "vocab.json", **{"</s>": ...})
    with pytest.raises(ModelError, match=r"merges\.txt: the token '</s>' is not in the vocabulary"):
        opened(folder)


def test_the_longer_of_a_pair_is_cut_first(tmp_path: Path) -> None:
    tokenizer = opened(tiny_bert_folder(tmp_path / "m"), 10)
    separator = WORDS.index("[SEP]")
    for first, second, lengths in ((2, 20, (2, 5)), (20, 2, (5, 2)), (20, 20, (3, 4)), (3, 3, (3, 3))):
        (ids,), (types,) = tokenizer.encode([("dog " * first, "cat " * second)])
        at = ids.index(separator)
        assert (at - 1, len(ids) - at - 2) == lengths
        assert types == [0] * (at + 1) + [1] * (lengths[1] + 1)


def test_texts_are_cut_to_what_the_folder_says_or_the_model_reads(tmp_path: Path) -> None:
    folder = tiny_bert_folder(tmp_path / "m")
    for most, longest in ((None, 48), (5, 5), (1000, 48)):
        tokenizer = opened(folder, most)
        assert len(tokenizer.encode([("dog " * 100,)])[0][0]) == tokenizer.longest == longest
    assert tokenizer.tokens(tokenizer.encode([("a dog",)])[0][0]) == ["[CLS]", "a", "dog", "[SEP]"]


def test_models_without_types_are_told_none(tmp_path: Path) -> None:
    """transformers gives DistilBERT and RoBERTa no types, whatever the tokenizer has for the second of a pair."""
    folder = tiny_bert_folder(tmp_path / "m")
    edit_json(folder / "config.json", model_type="distilbert", dim=8, n_layers=1, n_heads=1, hidden_dim=8)
    assert opened(folder).encode([("a", "dog")])[1] == [[0] * 5]


@pytest.mark.parametrize("texts", [[("a", "b", "c")], [()], [(None,)], [("half a pair \ud800",)], [("a", 5)]])
def test_what_is_no_text_is_refused(tmp_path: Path, texts: Any) -> None:
    with pytest.raises(UsageError, match="a text"):
        opened(tiny_bert_folder(tmp_path / "m")).encode(texts)


# --- files of strangers


@pytest.mark.parametrize("name", ["vocab.txt", "vocab.json", "merges.txt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = folder_of("words" if name == "vocab.txt" else "byte pairs", tmp_path / "model")
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: the file is missing"):
        opened(folder)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    folder = tiny_bert_folder(tmp_path / "m")
    edit_json(folder / "config.json", vocab_size=len(WORDS) - 1)
    with pytest.raises(ModelError, match="the tokenizer has 70 words, the model 69"):
        opened(folder)


def plain(folder: Path) -> dict[str, Any]:
    """The tokenizer.json of a small tokenizer by words, to be spoiled."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "dog": 1, "[UNK]": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return dict(json.loads(made.to_str()))


SINGLE = [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
PAIR = [*SINGLE, {"Sequence": {"id": "B", "type_id": 1}}]


def template(ids: list[int], type: int = 0, known: bool = True) -> dict[str, Any]:
    """A post-processor that puts ids before each text."""
    single = [{"SpecialToken": {"id": "x", "type_id": type}}, SINGLE[1]]
    special = {"x": {"id": "x", "ids": ids, "tokens": ["x"] * len(ids)}} if known else {}
    return {"post_processor": {"type": "TemplateProcessing", "single": single, "pair": PAIR, "special_tokens": special}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "WordLevel", "vocab": {"a": 0, "dog": 10**6}, "unk_token": "a"}}, "makes the id 1000000"),
        ({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "none"}}, "tokenizer fails"),
        ({"model": {"type": "WordLevel", "vocab": {"a": 2**32}, "unk_token": "a"}}, "no tokenizer that can be read"),
        ({"model": {"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"}}, "no tokenizer that can be read"),
        ({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 5}}, "no tokenizer that can be read"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "z"]]}}, "no tokenizer that can be read"),
        ({"model": {}}, "no tokenizer that can be read"),
        ({"model": ...}, "no tokenizer that can be read"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "(("}, "content": ""}}, "no tokenizer that can be"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "no tokenizer that can be read"),
        (template([70]), "makes the id 70 around every text; the model has 70 words"),
        (template([1], type=2), "makes the id 1 and the type 2"),
        (template([1] * 60), "makes 62 tokens of 'a dog', should make 1 to 48"),
        (template([1], known=False), "tokenizer fails"),
        ({"pre_tokenizer": {"type": "Whitespace"}, "normalizer": {"type": "Replace", "pattern": {"Regex": "."},
          "content": ""}}, "makes 0 tokens of 'a dog', should make 1 to 48"),
    ],
)  # fmt: skip
def test_a_hostile_tokenizer_json_is_a_model_error(
    tmp_path: Path, change: dict[str, Any], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library's own panics too; never an id that the model does not have."""
    folder = tiny_bert_folder(tmp_path / "m")
    options = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "token_type_ids"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    document = {**plain(folder), **change}
    document = {key: value for key, value in document.items() if value is not ...}
    (folder / "tokenizer.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(ModelError, match=message):
        subbyte.Encoder.from_pretrained(folder, threads=1).encode(["a dog"])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"\xff" * 99, b"[" * 99999, b"\0" * 99])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt"])
def test_files_that_are_something_else(tmp_path: Path, name: str, content: bytes) -> None:
    folder = folder_of("byte pairs" if name in ("vocab.json", "merges.txt") else "words", tmp_path / "model")
    (folder / name).write_bytes(content)
    if (name, content) in (("tokenizer_config.json", b"{}"), ("merges.txt", b"")):  # both may say nothing
        assert opened(folder).encode([("a",)])
        return
    with pytest.raises(ModelError, match=name if name != "vocab.json" else "merges.txt|vocab.json"):
        opened(folder)


@pytest.mark.parametrize("case", ["words", "byte pairs", "tokenizer.json"])
def test_every_truncation_is_refused_or_another_tokenizer(tmp_path: Path, case: str) -> None:
    folder = folder_of(case if case in CASES else "words", tmp_path / "model")
    if case == "tokenizer.json":
        opened(folder)._tokenizer.save(str(folder / case))
    name = {"words": "vocab.txt", "byte pairs": "merges.txt"}.get(case, case)
    data = (folder / name).read_bytes()
    refused = 0
    for length in range(0, len(data), 23):
        (folder / name).write_bytes(data[:length])
        try:
            opened(folder).encode(ALL[:30])
        except ModelError:
            refused += 1
    assert refused if case != "byte pairs" else refused < len(data) / 23  # merges may end anywhere


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tokenizer_config.json", {"do_lower_case": "yes"}),
        ("tokenizer_config.json", {"strip_accents": 3}),
        ("tokenizer_config.json", {"tokenize_chinese_chars": []}),
    ],
)
def test_options_of_another_type_are_refused(tmp_path: Path, name: str, change: dict[str, Any]) -> None:
    folder = folder_of("words", tmp_path / "model")
    edit_json(folder / name, **change)
    with pytest.raises(ModelError, match=f"{next(iter(change))} is .*, should be a bool"):
        opened(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "merges.txt").write_text("#version: 0.2\na b c\n"),
        lambda folder: (folder / "merges.txt").write_text("#version: 0.2\nzz yy\n"),
        lambda folder: edit_json(folder / "vocab.json", a="3"),
        lambda folder: edit_json(folder / "vocab.json", a=-3),
        lambda folder: (folder / "vocab.json").write_text(json.dumps({str(i): i for i in range(331)})),
    ],
)
def test_byte_pairs_that_cannot_be_are_refused(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    folder = folder_of("byte pairs", tmp_path / "model")
    spoil(folder)
    with pytest.raises(ModelError):
        opened(folder)


def test_a_huge_tokenizer_is_not_read(tmp_path: Path) -> None:
    folder = tiny_bert_folder(tmp_path / "m")
    with (folder / "tokenizer.json").open("wb") as file:
        file.truncate(1 << 26)
    with pytest.raises(ModelError, match=r"larger than 33,554,432 bytes"):
        opened(folder)


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = folder_of("byte pairs", tmp_path / "model")
    (folder / "merges.txt").unlink()
    (folder / "merges.txt").symlink_to(BYTE_PAIRS / "merges.txt")
    with pytest.raises(ModelError, match="leads out of the folder"):
        opened(folder)
