"""transformers and sentence-transformers stop at a converted folder; none of them fills it with random weights."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.encoder_folders import sentence_folder
from builders.tiny_encoder import KINDS, tiny_encoder_folder
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import quantized
from subbyte.folders.converted import saving

transformers = pytest.importorskip("transformers")
AUTO = (
    "AutoConfig",
    "AutoModel",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForMaskedLM",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind -> a converted folder."""
    home = tmp_path_factory.mktemp("marked")
    sources = {kind: tiny_encoder_folder(home / kind, kind) for kind in KINDS}
    sources |= {"marian": tiny_marian_folder(home / "marian"), "sentences": sentence_folder(home / "sentences")}
    for kind, source in sources.items():
        saving.save(quantized(source, "uniform4"), home / f"{kind} in 4 bits", report={})
    return {kind: home / f"{kind} in 4 bits" for kind in sources}


def concrete(folder: Path) -> list[str]:
    """The classes of transformers for one architecture that somebody may take: that of the folder, and the bare one."""
    named = json.loads((folder / "config.json").read_text("utf-8"))["architectures"][0]
    return [named, named.replace("ForSequenceClassification", "Model").replace("MTModel", "Model")]


@pytest.mark.parametrize("kind", ["marian", "sentences", *KINDS])
def test_every_class_of_transformers_stops(folders: dict[str, Path], kind: str) -> None:
    for name in (*AUTO, *concrete(folders[kind])):
        with pytest.raises(ValueError, match=r"model type `subbyte`|no `quant_method`"):
            getattr(transformers, name).from_pretrained(folders[kind])
    with pytest.raises(ValueError, match="model type `subbyte`"):
        transformers.pipeline("text-classification", model=str(folders[kind]))


@pytest.mark.parametrize("name", ["SentenceTransformer", "CrossEncoder"])
@pytest.mark.parametrize("kind", ["sentences", "bert", "bert, classifier"])
def test_sentence_transformers_stops(folders: dict[str, Path], kind: str, name: str) -> None:
    pytest.importorskip("sentence_transformers")
    opened: Callable[[str], Any] = getattr(importlib.import_module("sentence_transformers"), name)
    with pytest.raises(ValueError, match="model type `subbyte`"):
        opened(str(folders[kind]))
