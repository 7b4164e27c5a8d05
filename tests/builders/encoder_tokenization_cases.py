"""Texts and folders whose tokens are recorded from transformers and compared with ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from builders.tiny_bench_bert import tiny_bert_folder
from builders.tiny_marian import RECORDINGS
from builders.tokenization_cases import SENTENCES

BYTE_PAIRS = RECORDINGS / "tiny_byte_pairs"  # RoBERTa's vocab.json and merges.txt
TEXTS = [
    *SENTENCES, "[CLS]", "a [MASK] dog", "[UNK]dog [SEP] [PAD]", "<s> a <mask> dog</s>", "a<mask>dog",
    "the DOG Runs, here.", "dogs " * 40, "zzz" * 50,
]  # fmt: skip
PAIRS = [
    ("a dog", "the cat sleeps"), ("", ""), ("a dog", ""), ("a dog " * 30, "the cat"), ("the cat", "a dog " * 30),
    ("a dog " * 12, "men " * 11), ("[SEP]", "</s>"),
]  # fmt: skip

# name -> tokenizer_config.json
CASES: dict[str, dict[str, Any]] = {
    "words": {},
    "words, cased": {"do_lower_case": False},
    "words with accents": {"strip_accents": False},
    "words, Chinese as it is": {"tokenize_chinese_chars": False},
    "byte pairs": {},
    "byte pairs after a space": {"add_prefix_space": True},
}


def folder_of(case: str, folder: Path) -> Path:
    """The folder of a case: a configuration, and files of the time before tokenizer.json."""
    if case.startswith("words"):
        tiny_bert_folder(folder)
    else:
        folder.mkdir(parents=True)
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(BYTE_PAIRS / name, folder)
        config = {
            "architectures": ["RobertaModel"], "model_type": "roberta", "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 330, "max_position_embeddings": 42,
            "type_vocab_size": 1, "pad_token_id": 1,
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(CASES[case]), "utf-8")
    return folder


def longest_of(case: str) -> int:
    """Tokens that the case's model reads."""
    return 48 if case.startswith("words") else 40
