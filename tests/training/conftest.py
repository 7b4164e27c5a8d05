"""What the tests of training share: a model that is small enough to train in a second, and a text it can learn."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from builders.tiny_marian import tiny_marian_folder
from subbyte.folders.opening import open_model
from subbyte.models.translation import BIAS
from subbyte.text.tokenizer import load_tokenizer

WORDS = {"a": "ein", "dog": "Hund", "man": "Mann", "two": "zwei", "runs": "rennt", "is": "ist", "small": "klein"}
SMALL: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "decoder_attention_heads": 2,
    "dropout": 0.1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny products are slower on several, where other tests run beside them."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text `en` and its translation `de`, word by word, 80 lines; not to be written to."""
    folder = tmp_path_factory.mktemp("text")
    rng = random.Random(0)
    lines = [rng.choices([*WORDS], k=rng.randint(2, 4)) for _ in range(80)]
    (folder / "en").write_text("".join(" ".join(line) + "\n" for line in lines), "utf-8")
    (folder / "de").write_text("".join(" ".join(map(WORDS.__getitem__, line)) + "\n" for line in lines), "utf-8")
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MarianMT folder of 10,000 random weights, with dropout; not to be written to."""
    return tiny_marian_folder(tmp_path_factory.mktemp("small") / "small", **SMALL)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    """The same, which has learned some of the text; not to be written to."""
    from subbyte.training.translation.batches import Pair
    from subbyte.training.translation.settings import Finetuning
    from subbyte.training.translation.trainer import Trainer

    folder = tiny_marian_folder(tmp_path_factory.mktemp("teacher") / "teacher", scale=0.2, **SMALL)
    model = open_model(folder)
    tokenizer = load_tokenizer(folder, model.config)
    sides = ((text / side).read_text("utf-8").splitlines() for side in ("en", "de"))
    pairs = [Pair(tokenizer.encode(a), tokenizer.encode_target(b)) for a, b in zip(*sides, strict=True)]
    settings = Finetuning(
        updates=120, warmup=10, learning_rate=0.02, batch_tokens=400, distillation=0, dropout=False, label_smoothing=0
    )
    trainer = Trainer(model, {}, pairs, settings)
    for _ in range(settings.updates):
        trainer.step()
    weights = {name: t[None] if name == BIAS else t for name, t in trainer.model().tensors.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
