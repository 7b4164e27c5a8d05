"""Tiny random MarianMT folders, the same on every machine: every option, no torch, some milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from safetensors.numpy import save_file

from subbyte.models import marian, translation

RECORDINGS = Path(__file__).parents[1] / "recordings"
LANGUAGES = (">>de<<", ">>nl<<")


def pieces_of(side: str) -> bytes:
    """The small sentencepiece model of a side, source or target, which parity/record_tokenization.py trained."""
    return (RECORDINGS / f"tiny_{side}.spm").read_bytes()


def vocabulary_of(*models: bytes, languages: Sequence[str] = LANGUAGES) -> dict[str, int]:
    """Piece -> id in the manner of opus-mt: </s> and <unk> first, then pieces and languages, <pad> last."""
    pieces: dict[str, None] = {"</s>": None, "<unk>": None}
    for model in models:
        processor = sentencepiece.SentencePieceProcessor()
        processor.LoadFromSerializedProto(model)
        pieces |= {processor.id_to_piece(i): None for i in range(processor.get_piece_size()) if i > 2}
    return {piece: i for i, piece in enumerate([*pieces, *languages, "<pad>"])}


def tiny_marian_folder(
    folder: Path,
    seed: int = 0,
    dtype: str = "float32",
    scale: float = 0.3,
    languages: Sequence[str] = LANGUAGES,
    **overrides: Any,
) -> Path:
    """Write a MarianMT folder of about 30,000 random weights into `folder` and return it.

    languages  tokens for target languages
    overrides  keys of config.json; share_encoder_decoder_embeddings=False also gives the target its own vocabulary
    """
    folder.mkdir(parents=True, exist_ok=True)
    source, target = pieces_of("source"), pieces_of("target")
    separate = overrides.get("share_encoder_decoder_embeddings") is False
    vocabulary = vocabulary_of(source, *([] if separate else [target]), languages=languages)
    target_vocabulary = vocabulary_of(target, languages=languages) if separate else vocabulary
    pad = target_vocabulary["<pad>"] if len(target_vocabulary) < len(vocabulary) else vocabulary["<pad>"]
    config = {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        "activation_function": "relu",
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 64,
        "vocab_size": len(vocabulary),
        "decoder_vocab_size": len(target_vocabulary),
        "eos_token_id": 0,
        "forced_eos_token_id": 0,
        "pad_token_id": pad,
        "decoder_start_token_id": pad,
        "bos_token_id": None,
        "is_encoder_decoder": True,
        "scale_embedding": True,
        "share_encoder_decoder_embeddings": True,
        "tie_word_embeddings": True,
        "static_position_embeddings": True,
        **overrides,
    }
    generation = {"bad_words_ids": [[pad]], "decoder_start_token_id": pad, "eos_token_id": 0, "forced_eos_token_id": 0}
    generation |= {"pad_token_id": pad, "num_beams": 4, "max_length": 32}
    tokenizer = {"source_lang": "en", "target_lang": "de", "tokenizer_class": "MarianTokenizer"}
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", generation)
    write_json(folder / "tokenizer_config.json", tokenizer | {"separate_vocabs": separate})
    write_json(folder / "vocab.json", vocabulary)
    if separate:
        write_json(folder / "target_vocab.json", target_vocabulary)
    (folder / "source.spm").write_bytes(source)
    (folder / "target.spm").write_bytes(target)
    save_file(random_tensors(config, seed, dtype, scale), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def random_tensors(config: dict[str, Any], seed: int, dtype: str, scale: float) -> dict[str, np.ndarray]:
    """Weights around 0 and layer-norm gains around 1, in the shapes that transformers saves."""
    generator = np.random.default_rng(seed)
    tensors = {}
    for name, shape in marian.settings(config).specification().shapes.items():
        values = generator.normal(0, scale, shape)
        if name.endswith("layer_norm.weight"):
            values = 1 + values / 4
        tensors[name] = values.reshape((1, *shape) if name == translation.BIAS else shape).astype(dtype)
    return tensors


def write_json(path: Path, document: object) -> None:
    """A JSON file in UTF-8."""
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1), "utf-8")


def edit_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; a value of ... removes the key."""
    document = json.loads(path.read_text("utf-8")) | changes
    write_json(path, {key: value for key, value in document.items() if value is not ...})
