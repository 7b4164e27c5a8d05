"""Tiny random folders of BERT, DistilBERT and RoBERTa with a WordPiece tokenizer, the same on every machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from subbyte.models.families import encoder_of

KINDS = ("bert", "bert, classifier", "bert, regression", "distilbert, classifier", "roberta, classifier")
ARCHITECTURES = {"bert": "Bert", "distilbert": "DistilBert", "roberta": "Roberta"}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# ours -> a checkpoint's: the inverse of bert.DIALECTS, and the prefix
THEIRS: dict[str, tuple[str, dict[str, str]]] = {
    "bert": ("bert.", {}),
    "roberta": ("roberta.", {"pooler.dense.": "classifier.dense.", "classifier.": "classifier.out_proj."}),
    "distilbert": (
        "distilbert.",
        {
            "encoder.layer.": "transformer.layer.", ".attention.self.query.": ".attention.q_lin.",
            ".attention.self.key.": ".attention.k_lin.", ".attention.self.value.": ".attention.v_lin.",
            ".attention.output.dense.": ".attention.out_lin.", ".attention.output.LayerNorm.": ".sa_layer_norm.",
            ".intermediate.dense.": ".ffn.lin1.", ".output.dense.": ".ffn.lin2.",
            ".output.LayerNorm.": ".output_layer_norm.", "pooler.dense.": "pre_classifier.",
        },
    ),
}  # fmt: skip


def config_of(kind: str, words: int, **overrides: Any) -> dict[str, Any]:
    """The config.json of a kind: two layers of 32 values and 4 heads."""
    family, _, head = kind.partition(", ")
    config: dict[str, Any] = {
        "architectures": [f"{ARCHITECTURES[family]}{'ForSequenceClassification' if head else 'Model'}"],
        "model_type": family, "vocab_size": words, "max_position_embeddings": 64, "pad_token_id": 0,
    }  # fmt: skip
    if family == "distilbert":
        config |= {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "activation": "gelu"}
    else:
        config |= {
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
            "hidden_act": "gelu", "layer_norm_eps": 1e-5, "type_vocab_size": 1 if family == "roberta" else 2,
        }  # fmt: skip
    if head:
        names = ["score"] if head == "regression" else ["no", "yes"]
        config |= {"id2label": {str(i): name for i, name in enumerate(names)}, "num_labels": len(names)}
        config |= {"label2id": {name: i for i, name in enumerate(names)}}
    return {**config, **overrides}


def tiny_encoder_folder(
    folder: Path, kind: str = "bert, classifier", words: Sequence[str] = (), scale: float = 0.3, **overrides: Any
) -> Path:
    """Write a folder of about 20,000 random weights into `folder` and return it.

    words      of the tokenizer, besides the special ones
    overrides  keys of config.json
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = [*SPECIAL, *(words or [chr(ord("a") + i) for i in range(26)])]
    config = config_of(kind, len(vocabulary), **overrides)
    rng = np.random.default_rng(0)
    prefix, renamed = THEIRS[kind.partition(", ")[0]]
    bare = kind.partition(", ")[2] == ""
    tensors = {}
    for ours, shape in encoder_of(config).specification().shapes.items():
        name = their_name(ours, renamed)
        if not bare and not name.startswith(("classifier.", "pre_classifier.")):
            name = prefix + name
        value = rng.standard_normal(shape) * scale
        tensors[name] = (value + ("LayerNorm.weight" in ours)).astype(np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_of(vocabulary)))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": 64}))
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary))
    return folder


def their_name(ours: str, renamed: Mapping[str, str]) -> str:
    """What a checkpoint calls a tensor, but for the prefix. A name without a dot before it stands at the beginning."""
    name = ours
    for old, new in renamed.items():
        if name.startswith(old) or (old.startswith(".") and old in name):
            name = name.replace(old, new, 1)
            if old != "encoder.layer.":
                break
    return name


def tokenizer_of(vocabulary: Sequence[str]) -> dict[str, Any]:
    """The tokenizer.json of BERT's tokenizer for whole words."""
    cls, sep = ({"id": token, "ids": [SPECIAL.index(token)], "tokens": [token]} for token in ("[CLS]", "[SEP]"))

    def special(token: str, kind: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": kind}}

    def text(name: str, kind: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": kind}}

    single = [special("[CLS]", 0), text("A", 0), special("[SEP]", 0)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": token, **flags} for i, token in enumerate(SPECIAL)],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, text("B", 1), special("[SEP]", 1)],
            "special_tokens": {"[CLS]": cls, "[SEP]": sep},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {word: i for i, word in enumerate(vocabulary)},
        },
    }  # fmt: skip
