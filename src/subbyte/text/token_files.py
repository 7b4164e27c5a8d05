"""The files with which Hugging Face folders describe tokens, whatever the tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from subbyte.errors import ModelError
from subbyte.folders.files import read_json

OPTIONS, SPECIAL_MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
# the special tokens that transformers knows by name, in its order
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def optional(folder: Path, name: str) -> dict[str, Any]:
    """What a file of a folder holds; nothing where there is no such file."""
    return read_json(folder, name, ModelError) if (folder / name).exists() else {}
