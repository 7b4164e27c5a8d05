"""Small folders of every kind for strangers to spoil, and everything that reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import subbyte
from subbyte.errors import FormatError, ModelError
from subbyte.folders.opening import open_model
from subbyte.run.translation_engine import Engine
from subbyte.text.tokenizer import load_tokenizer

KINDS = ("converted", "safetensors", "bergamot")
SMALL: dict[str, Any] = {
    "d_model": 4, "encoder_layers": 1, "encoder_attention_heads": 1, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 4, "decoder_ffn_dim": 4, "max_position_embeddings": 8,
}  # fmt: skip
STUDENT: dict[str, Any] = {
    "dim_emb": "4", "transformer_heads": "2", "transformer_dim_ffn": "4", "enc_depth": "1", "dec_depth": "1",
}  # fmt: skip
FAMILY = (FormatError, ModelError)


def weights_of(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.name.startswith("model") and path.suffix != ".json")


def error_of(folder: Path) -> type[Exception]:
    """What a folder of this kind is refused with."""
    return FormatError if folder.name == "converted" else ModelError


def use(folder: Path) -> None:
    """Everything that reads a folder."""
    model = open_model(folder)
    tokenizer = load_tokenizer(folder, model.config)
    subbyte.Translator(Engine(model, threads=1), tokenizer).translate(["a dog"], max_length=5)
