"""Our tokenizer against recordings of MarianTokenizer, and tokenizer folders that are not right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builders.tiny_marian import RECORDINGS, edit_json, tiny_marian_folder
from builders.tokenization_cases import CASES, IDS, SENTENCES
from subbyte.errors import ModelError
from subbyte.text.marian_tokenizer import MarianTokenizer
from subbyte.text.tokenizer import load_tokenizer

RECORDED = json.loads((RECORDINGS / "tokenization.json").read_text("utf-8"))["cases"]


def open_tokenizer(folder: Path) -> MarianTokenizer:
    return load_tokenizer(folder, json.loads((folder / "config.json").read_text()))


def compare(tokenizer: MarianTokenizer, recorded: dict[str, Any]) -> None:
    encoded = [tokenizer.encode(sentence) for sentence in SENTENCES]
    for sentence, ours, theirs in zip(SENTENCES, encoded, recorded["encoded"], strict=True):
        assert ours == theirs, sentence
    for sentence, theirs in zip(SENTENCES, recorded["cut"], strict=True):
        assert tokenizer.encode(sentence, max_length=5) == theirs, sentence
    for ids, theirs in zip([*recorded["encoded"], *IDS], recorded["decoded"], strict=True):
        assert tokenizer.decode(ids) == theirs, ids


@pytest.mark.parametrize("case", CASES)
def test_tiny_tokenizers_equal_transformers(tmp_path: Path, case: str) -> None:
    overrides, options = CASES[case]
    folder = tiny_marian_folder(tmp_path / "tiny", **overrides)
    edit_json(folder / "tokenizer_config.json", **options)
    compare(open_tokenizer(folder), RECORDED[case])


def test_the_real_tokenizer_equals_transformers(multi30k: Path) -> None:
    compare(open_tokenizer(multi30k), RECORDED["multi30k"])


def test_a_folder_without_tokenizer_config_has_the_defaults(tiny_folder: Path) -> None:
    (tiny_folder / "tokenizer_config.json").unlink()
    compare(open_tokenizer(tiny_folder), RECORDED["shared"])


def test_the_older_files_of_special_tokens_are_read(tiny_folder: Path) -> None:
    (tiny_folder / "special_tokens_map.json").write_text('{"eos_token": "in", "unk_token": {"content": "a"}}')
    (tiny_folder / "added_tokens.json").write_text('{"<special>": 70}')
    tokenizer = open_tokenizer(tiny_folder)
    assert (tokenizer.eos.content, tokenizer.unk.content) == ("in", "a")
    assert 70 in tokenizer.encode("a <special> dog")


def test_cutting_keeps_the_end_of_the_sentence(tiny_folder: Path) -> None:
    tokenizer = open_tokenizer(tiny_folder)
    whole = tokenizer.encode("a dog runs across the snow")
    for length in range(1, len(whole) + 3):
        cut = tokenizer.encode("a dog runs across the snow", max_length=length)
        assert cut == (whole if length >= len(whole) else [*whole[: length - 1], 0])


def test_ids_beyond_the_vocabulary_become_the_unknown_token(tiny_folder: Path) -> None:
    tokenizer = open_tokenizer(tiny_folder)
    assert tokenizer.decode([10**6, -5]).split() == ["<unk>", "<unk>"]


def test_an_id_that_only_sentencepiece_knows_is_that_of_the_target(tmp_path: Path) -> None:
    folder = tiny_marian_folder(tmp_path / "tiny", share_encoder_decoder_embeddings=False)
    tokenizer = open_tokenizer(folder)
    pieces = [(tokenizer.source.id_to_piece(id), tokenizer.target.id_to_piece(id)) for id in range(40)]
    id = next(id for id, (source, target) in enumerate(pieces) if id > 5 and source != target and target.isalpha())
    edit_json(folder / "target_vocab.json", **{tokenizer.target_pieces[id]: ...})
    assert open_tokenizer(folder).decode([id]) == pieces[id][1]


def test_a_very_long_line_is_no_problem(tiny_folder: Path) -> None:
    tokenizer = open_tokenizer(tiny_folder)
    assert len(tokenizer.encode("</s>" * 2000 + "a dog " * 10000)) > 10000
    assert len(tokenizer.encode(">>" * 50000)) > 1


@pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json"])
def test_a_missing_file_is_named(tiny_folder: Path, name: str) -> None:
    (tiny_folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: the file is missing"):
        open_tokenizer(tiny_folder)


def test_a_missing_target_vocabulary_is_named(tmp_path: Path) -> None:
    folder = tiny_marian_folder(tmp_path / "tiny", share_encoder_decoder_embeddings=False)
    (folder / "target_vocab.json").unlink()
    with pytest.raises(ModelError, match=r"target_vocab\.json: the file is missing"):
        open_tokenizer(folder)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 100])
def test_what_is_not_sentencepiece_is_refused(tiny_folder: Path, content: bytes) -> None:
    (tiny_folder / "source.spm").write_bytes(content)
    with pytest.raises(ModelError, match=r"source\.spm: is not a sentencepiece model"):
        open_tokenizer(tiny_folder)


@pytest.mark.parametrize("id", [10**6, -1, "3", True, 1.5, None])
def test_vocabulary_ids_must_fit_the_model(tiny_folder: Path, id: object) -> None:
    edit_json(tiny_folder / "vocab.json", dog=id)
    with pytest.raises(ModelError, match="'dog' has the id"):
        open_tokenizer(tiny_folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenizer_class": "T5Tokenizer"}, "only MarianTokenizer"),
        ({"sp_model_kwargs": {"enable_sampling": True}}, "sp_model_kwargs"),
        ({"split_special_tokens": True}, "split_special_tokens"),
        ({"unk_token": "nothing"}, "no unknown token 'nothing'"),
        ({"eos_token": "nothing"}, "'nothing' has the id"),
        ({"eos_token": 5}, "5 is not a token"),
        ({"added_tokens_decoder": 5}, "added_tokens_decoder is 5"),
        ({"added_tokens_decoder": {"x": "a"}}, "the id 'x'"),
        ({"added_tokens_decoder": {"9999": {"content": "new"}}}, "'new' has the id 9999"),
        ({"added_tokens_decoder": {"5": {"content": "new", "single_word": True}}}, "single_word"),
        ({"extra_special_tokens": 5}, "extra_special_tokens is 5"),
    ],
)
def test_options_we_do_not_follow_are_refused(tiny_folder: Path, options: dict[str, Any], message: str) -> None:
    edit_json(tiny_folder / "tokenizer_config.json", **options)
    with pytest.raises(ModelError, match=message):
        open_tokenizer(tiny_folder)
