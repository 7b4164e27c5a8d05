"""Record what sentence-transformers and transformers make of the folders in tests/builders/encoder_variants.py.

python tests/parity/record_variants.py     # rewrites tests/recordings/encoder_variants.safetensors
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import sentence_transformers
import torch
import transformers
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))

from builders.encoder_head_table import HEADS
from builders.encoder_variant_table import VARIANTS, arguments_of, variant_folder
from builders.encoder_variants import PAIRS, TEXTS, base_folder, changed
from builders.tiny_marian import RECORDINGS

FILE = RECORDINGS / "encoder_variants.safetensors"


def vectors(name: str, folder: Path) -> np.ndarray:
    """float32 [texts, width]; each text alone, for padding on the left moves positions."""
    model = sentence_transformers.SentenceTransformer(str(variant_folder(name, folder)), device="cpu")
    return np.stack([model.encode([text], **arguments_of(name))[0] for text in TEXTS])


def scores(name: str, folder: Path) -> np.ndarray:
    """float32 [pairs, labels]."""
    base, edits, way = HEADS[name]
    changed(base_folder(base, folder), edits)
    if way == "cross":
        model: Any = sentence_transformers.CrossEncoder(str(folder), device="cpu")
        return np.stack([np.atleast_1d(model.predict([pair])[0]) for pair in PAIRS])
    model = transformers.pipeline("text-classification", str(folder), device="cpu")
    unread = 2 if model.model.config.model_type == "roberta" else 0
    longest = min(model.tokenizer.model_max_length, model.model.config.max_position_embeddings - unread)
    asked = {"top_k": None, "truncation": True, "max_length": longest}
    names = [*model.model.config.id2label.values()]
    found = [{one["label"]: one["score"] for one in model({"text": a, "text_pair": b}, **asked)} for a, b in PAIRS]
    return np.array([[one[name] for name in names] for one in found], np.float32)


def recorded() -> dict[str, np.ndarray]:
    """Everything, by "vectors NAME" and "scores NAME"."""
    torch.set_num_threads(1)
    found = {}
    with tempfile.TemporaryDirectory() as home:
        for i, name in enumerate(VARIANTS):
            try:
                found[f"vectors {name}"] = vectors(name, Path(home) / f"v{i}")
            except Exception as error:
                raise RuntimeError(name) from error
        for i, name in enumerate(HEADS):
            try:
                found[f"scores {name}"] = scores(name, Path(home) / f"h{i}")
            except Exception as error:
                raise RuntimeError(name) from error
    return found


def main() -> None:
    """Write the recordings."""
    versions = {"transformers": transformers.__version__, "sentence-transformers": sentence_transformers.__version__}
    save_file({name: np.ascontiguousarray(a, np.float32) for name, a in recorded().items()}, FILE, metadata=versions)


if __name__ == "__main__":
    main()
