"""A MarianMT folder with random weights, to time and weigh shapes for which there are no weights at hand.

    python benchmarks/random_model.py OUT    # transformer-base: 512 wide, 6 + 6 layers, 32,000 words
    python benchmarks/random_model.py OUT --width 256 --ffn 1536 --encoder-layers 6 --decoder-layers 2

Its tokenizer is that of the demo's model, with words added that no text has. What it says means nothing: compare
engines with forced numbers of tokens.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from subbyte.models import marian, translation


def configuration(width: int, ffn: int, encoder_layers: int, decoder_layers: int, heads: int, words: int) -> dict:
    """A config.json."""
    return {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        "activation_function": "swish",
        "d_model": width,
        "encoder_layers": encoder_layers,
        "decoder_layers": decoder_layers,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": ffn,
        "decoder_ffn_dim": ffn,
        "max_position_embeddings": 512,
        "vocab_size": words,
        "decoder_vocab_size": words,
        "pad_token_id": words - 1,
        "decoder_start_token_id": words - 1,
        "eos_token_id": 0,
        "forced_eos_token_id": 0,
        "bos_token_id": None,
        "is_encoder_decoder": True,
        "scale_embedding": True,
        "share_encoder_decoder_embeddings": True,
        "tie_word_embeddings": True,
        "static_position_embeddings": True,
    }


def weights(config: dict) -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor: matrices as a trained model's are in size, norms that do nothing, biases of zero."""
    random = np.random.default_rng(0)
    for name, shape in marian.settings(config, "config.json").specification().shapes.items():
        if len(shape) == 2:
            yield name, random.normal(0, 1 / math.sqrt(config["d_model"]), shape).astype(np.float32)
        else:  # transformers has the last bias as a batch of one
            size = (1, *shape) if name == translation.BIAS else shape
            yield name, np.full(size, float("norm.weight" in name), np.float32)


def vocabulary(words: int) -> dict[str, int]:
    """Piece -> id: those of the demo's model, others, and <pad> last, as opus-mt has it."""
    known = json.loads(files("subbyte").joinpath("demo_model", "vocab.json").read_text("utf-8"))
    pieces = [piece for piece in known if piece != "<pad>"][: words - 1]
    pieces += [f"<unused{i}>" for i in range(words - 1 - len(pieces))]
    return {piece: i for i, piece in enumerate([*pieces, "<pad>"])}


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--ffn", type=int, default=2048)
    parser.add_argument("--encoder-layers", type=int, default=6)
    parser.add_argument("--decoder-layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--words", type=int, default=32000)
    options = vars(parser.parse_args())
    out = options.pop("out")
    out.mkdir(parents=True)
    config = configuration(**options)
    for name in ("source.spm", "target.spm", "tokenizer_config.json"):
        (out / name).write_bytes(files("subbyte").joinpath("demo_model", name).read_bytes())
    (out / "vocab.json").write_text(json.dumps(vocabulary(config["vocab_size"])), "utf-8")
    (out / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    generation = {key: config[key] for key in ("pad_token_id", "decoder_start_token_id", "eos_token_id")}
    (out / "generation_config.json").write_text(json.dumps({**generation, "num_beams": 4}), "utf-8")
    save_file(dict(weights(config)), out / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
