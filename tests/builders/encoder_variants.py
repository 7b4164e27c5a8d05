"""Encoder folders changed one file and key at a time, whose answers are recorded from the reference.

A variant is a base and what is written over its files: `{file: {key: value}}` edits JSON (... removes a key), a string
or a list replaces the file, None deletes it. tests/parity/record_variants.py records what sentence-transformers and
transformers make of each; folders/hugging_face/test_variants.py compares. The tables: encoder_variant_table.py and
encoder_head_table.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from safetensors.numpy import load_file, save_file

from builders.tiny_marian import RECORDINGS
from subbyte.models.families import encoder_of

HIDDEN = 8
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a dog cat the runs The Dog é e in query : . ,".split()
WORDS += [*"bcdfghijk", *(f"##{letter}" for letter in "abcdegno")]
TEXTS = [
    "a dog runs in the cat .", "The Dog runs", "", "é cat", "a中b the", "[MASK] a new dog <ent> cat", "runs " * 30,
        "zzz",
]  # fmt: skip
PAIRS = [("a dog", "the cat runs"), ("The Dog runs", "é"), ("a dog " * 15, "the cat " * 3), ("cat", "a dog " * 20)]
TYPED_PAIR_LIMIT = 24

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
NEW = "sentence_transformers.sentence_transformer.modules"
MEAN = {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True}
FLAGS = (
    "pooling_mode_cls_token", "pooling_mode_max_tokens", "pooling_mode_mean_tokens",
        "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken",
)  # fmt: skip
SETTINGS = "config_sentence_transformers.json"
OPTIONS = "tokenizer_config.json"
Edits = Mapping[str, Any]


def _weights(folder: Path, config: Mapping[str, Any]) -> None:
    generator = np.random.default_rng(5)
    tensors = {
        name: (generator.normal(0, 0.6, shape) + ("LayerNorm.weight" in name)).astype(np.float32)
        for name, shape in encoder_of(config).specification().shapes.items()
    }
    # with these the state of a token depends on its position and its words
    theirs = {"pooler.dense.": "classifier.dense.", "classifier.": "classifier.out_proj."}
    if config["model_type"] == "roberta":
        tensors = {
            next((n.replace(o, t) for o, t in theirs.items() if n.startswith(o)), n): w for n, w in tensors.items()
        }
    if encoder_of(config).labels:
        tensors = {n if n.startswith("classifier") else f"{config['model_type']}.{n}": w for n, w in tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _config(architecture: str, words: int, **more: Any) -> dict[str, Any]:
    family = "roberta" if architecture.startswith("Roberta") else "bert"
    config = {
        "architectures": [architecture], "model_type": family, "hidden_act": "gelu", "hidden_size": HIDDEN,
        "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 24,
        "type_vocab_size": 2, "vocab_size": words, "layer_norm_eps": 1e-12, "pad_token_id": 0, **more,
    }  # fmt: skip
    return config


def word_pieces(**options: Any) -> tokenizers.Tokenizer:
    """BERT's tokenizer over WORDS, with normalizer's options."""
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    made: tokenizers.Tokenizer = tokenizers.implementations.BertWordPieceTokenizer(vocabulary, **options)._tokenizer
    return made


def pieces() -> tokenizers.Tokenizer:
    """A Unigram tokenizer, as XLM-RoBERTa's are."""
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(f"▁{word}", -2.0 - i / 10) for i, word in enumerate("a dog cat the runs The in query".split())]
    vocabulary += [(piece, -5.0 - i / 10) for i, piece in enumerate([*"abcdeghnortuD.▁:", "<mask>"])]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return made


def base_folder(base: str, folder: Path) -> Path:
    """Write a base into `folder`."""
    folder.mkdir(parents=True)
    kind, _, head = base.partition(", ")
    classifies = "ForSequenceClassification" if head.startswith("classifier") else "Model"
    if kind == "roberta":
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(RECORDINGS / "tiny_byte_pairs" / name, folder)
        config = _config(f"Roberta{classifies}", 330, pad_token_id=1, type_vocab_size=1)
        _write(folder / OPTIONS, {"model_max_length": 22})  # the reference fails beyond; here 22 is known
    elif kind == "pieces":
        made = pieces()
        made.save(str(folder / "tokenizer.json"))
        config = _config(f"Bert{classifies}", made.get_vocab_size())
    else:
        (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS), "utf-8")
        if kind == "cased":
            word_pieces(lowercase=False, strip_accents=False, handle_chinese_chars=False).save(
                str(folder / "tokenizer.json")
            )
        config = _config(f"Bert{classifies}", len(WORDS) + 2)
    if head.endswith("one label"):
        config |= {"id2label": {"0": "score"}}
    elif classifies != "Model":
        config |= {"id2label": {"0": "no", "1": "yes", "2": "so so"}}
    _write(folder / "config.json", config)
    _weights(folder, config)
    if head == "sentences":
        _write(folder / "modules.json", [TRANSFORMER, POOLING])
        _write(folder / "1_Pooling" / "config.json", MEAN)
    return folder


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


def dense_folder(folder: Path, outputs: int, inputs: int, *, bias: bool = True, residual: bool = False) -> None:
    """The weights of a Dense module."""
    generator = np.random.default_rng(9)
    tensors = {"linear.weight": generator.normal(0, 0.7, (outputs, inputs))}
    if bias:
        tensors["linear.bias"] = generator.normal(0, 0.7, outputs)
    if residual:
        tensors["residual.weight"] = generator.normal(0, 0.7, (outputs, inputs))
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: w.astype(np.float32) for name, w in tensors.items()}, folder / "model.safetensors")


def changed(folder: Path, edits: Edits) -> Path:
    """Apply the edits of a variant to a folder."""
    for name, edit in edits.items():
        path = folder / name
        if name == "*tensors":  # how the checkpoint's names are changed
            tensors = load_file(folder / "model.safetensors")
            save_file(edit(tensors), folder / "model.safetensors", metadata={"format": "pt"})
        elif name == "*move":  # the encoder's files go into a folder
            (folder / edit).mkdir()
            for one in ("config.json", "model.safetensors", "vocab.txt"):
                (folder / one).rename(folder / edit / one)
        elif name.startswith("*dense "):
            dense_folder(folder / name.removeprefix("*dense "), **edit)
        elif name == "*norm":
            (folder / edit).mkdir(exist_ok=True)
            scale = np.linspace(0.5, 2, HIDDEN, dtype=np.float32)
            save_file({"norm.weight": scale, "norm.bias": scale[::-1].copy()}, folder / edit / "model.safetensors")
        elif name == "*tokenizer":  # made anew, with options of its normalizer, and saved with settings of its use
            edit(folder)
        elif edit is None:
            path.unlink()
        elif isinstance(edit, dict):
            old = json.loads(path.read_text("utf-8")) if path.exists() else {}
            _write(path, {key: value for key, value in {**old, **edit}.items() if value is not ...})
        else:
            _write(path, edit)
    return folder


def cut(folder: Path) -> None:
    """A tokenizer.json with a truncation and a padding of its own."""
    made = word_pieces(lowercase=False)
    made.enable_truncation(6, direction="left")
    made.enable_padding(direction="left", length=12)
    made.save(str(folder / "tokenizer.json"))


def added(folder: Path) -> None:
    """A tokenizer.json with added tokens of its own."""
    made = word_pieces(lowercase=True)
    made.add_tokens([tokenizers.AddedToken("new dog", single_word=False, normalized=True), "<ent>"])
    made.save(str(folder / "tokenizer.json"))


def prefixed(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    head = {
        "cls.predictions.bias": np.zeros(3, np.float32),
        "cls.seq_relationship.weight": np.zeros((2, HIDDEN), np.float32),
    }
    return {f"bert.{name}": w for name, w in tensors.items()} | head


def beside(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return tensors | {
        "classifier.weight": np.zeros((2, HIDDEN), np.float32),
        "cls.predictions.bias": np.zeros(3, np.float32),
    }


def loss(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return tensors | {"loss_fct.weight": np.ones(3, np.float32), "cls.predictions.bias": np.zeros(3, np.float32)}


def token(content: str, **flags: bool) -> dict[str, Any]:
    off = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": False}
    return {"content": content, **off, **flags}
