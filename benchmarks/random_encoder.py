"""A BERT folder with random weights, to time and weigh shapes for which there are no weights at hand.

    python benchmarks/random_encoder.py OUT --tokenizer FOLDER    # BERT-base: 768 wide, 12 layers, 30,522 words
    python benchmarks/random_encoder.py OUT --tokenizer FOLDER --width 1024 --ffn 4096 --layers 24 --heads 16

Its tokenizer is that of another folder, of as many words at most. Its vectors mean nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from subbyte.models.families import encoder_of

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")
DEVIATION = 0.02  # of BERT's own weights before training


def configuration(width: int, ffn: int, layers: int, heads: int, words: int) -> dict:
    """A config.json."""
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": width,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "vocab_size": words,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }


def weights(config: dict) -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor: matrices as BERT's are before training, norms that do nothing, biases of zero."""
    random = np.random.default_rng(0)
    for name, shape in encoder_of(config).specification().shapes.items():
        if len(shape) == 2:
            yield name, random.normal(0, DEVIATION, shape).astype(np.float32)
        else:
            yield name, np.full(shape, float("LayerNorm.weight" in name), np.float32)


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="a folder with tokenizer.json or vocab.txt")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--ffn", type=int, default=3072)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--words", type=int, default=30522)
    options = vars(parser.parse_args())
    out, tokenizer = options.pop("out"), options.pop("tokenizer")
    out.mkdir(parents=True)
    config = configuration(**options)
    for name in TOKENIZER:
        if (tokenizer / name).exists():
            shutil.copy(tokenizer / name, out / name)
    (out / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    save_file(dict(weights(config)), out / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
