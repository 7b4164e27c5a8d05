"""Folders changed one file and key at a time give what sentence-transformers 6.2 and transformers 5.24 made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import subbyte
from builders.encoder_head_table import HEADS
from builders.encoder_variant_table import VARIANTS, arguments_of, variant_folder
from builders.encoder_variants import PAIRS, TEXTS, base_folder, changed
from builders.tiny_marian import RECORDINGS

RECORDED = load_file(RECORDINGS / "encoder_variants.safetensors")


def test_the_recordings_are_of_these_variants() -> None:
    assert {*RECORDED} == {f"vectors {name}" for name in VARIANTS} | {f"scores {name}" for name in HEADS}


@pytest.mark.parametrize("name", VARIANTS)
def test_vectors_equal_the_reference(name: str, tmp_path: Path) -> None:
    encoder = subbyte.Encoder.from_pretrained(variant_folder(name, tmp_path / "m"), threads=1)
    found = encoder.encode(TEXTS, **arguments_of(name))
    np.testing.assert_allclose(found, RECORDED[f"vectors {name}"], rtol=1e-4, atol=2e-5)
    assert encoder.width(arguments_of(name).get("truncate_dim")) == found.shape[1]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name.startswith("sentences")])
def test_converted_folders_keep_all_of_it(name: str, tmp_path: Path) -> None:
    """The vectors of a folder under 8 bits are nearly those of its source."""
    source = variant_folder(name, tmp_path / "m")
    subbyte.quantize(source, tmp_path / "out", recipe="int8", check=False)
    subbyte.verify(tmp_path / "out")
    found = subbyte.Encoder.from_pretrained(tmp_path / "out", threads=1, activations="float32")
    vectors, wanted = found.encode(TEXTS, **arguments_of(name)), RECORDED[f"vectors {name}"]
    assert vectors.shape == wanted.shape
    np.testing.assert_allclose(vectors, wanted, atol=0.12 * np.abs(wanted).max())


@pytest.mark.parametrize("name", HEADS)
def test_scores_equal_the_reference(name: str, tmp_path: Path) -> None:
    base, edits, way = HEADS[name]
    folder = changed(base_folder(base, tmp_path / "m"), edits)
    wanted = RECORDED[f"scores {name}"]
    classifier = subbyte.Classifier.from_pretrained(folder, threads=1)
    if way == "cross" and wanted.shape[1] > 1 and classifier.activation == "softmax":
        pytest.fail("a cross-encoder's scores of several labels are named by its folder")
    found = np.array([[label["score"] for label in scores] for scores in classifier.scores(PAIRS)])
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)
    subbyte.quantize(folder, tmp_path / "out", recipe="int8", check=False)
    again = subbyte.Classifier.from_pretrained(tmp_path / "out", threads=1)
    assert (again.activation, again.labels, again.prompt) == (
        classifier.activation,
        classifier.labels,
        classifier.prompt,
    )
