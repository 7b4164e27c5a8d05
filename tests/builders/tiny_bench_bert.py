"""A tiny random BERT folder with a word-piece vocabulary, for tests of `subbyte bench`: no torch, some milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from subbyte.models.families import encoder_of

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a dog cat runs sleeps in the park two men are here . ,".split()
WORDS += [*"bcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]


def tiny_bert_folder(folder: Path, architecture: str = "BertModel", **overrides: Any) -> Path:
    """Write a BERT of two layers into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": [architecture], "model_type": "bert", "hidden_act": "gelu", "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 48,
        "type_vocab_size": 2, "vocab_size": len(WORDS), "layer_norm_eps": 1e-12, "pad_token_id": 0, **overrides,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS), "utf-8")
    generator = np.random.default_rng(0)
    tensors = {
        name: (generator.normal(0, 0.3, shape) + ("LayerNorm.weight" in name)).astype(np.float32)
        for name, shape in encoder_of(config).specification().shapes.items()
    }
    if architecture != "BertModel":
        tensors = {name if name.startswith("classifier") else f"bert.{name}": w for name, w in tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
