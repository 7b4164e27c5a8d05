"""Operands made easier to round: the model computes what it did, in the engine, in numpy and in a folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import subbyte
from builders.encoder_folders import classifier_folder
from builders.numpy_bert import forward, random_model
from builders.tiny_bench_bert import WORDS
from subbyte.compress.recipes.recipe import load_recipe, resolve
from subbyte.compress.rounding import quantize_model
from subbyte.errors import FormatError, KernelError, UsageError
from subbyte.folders.opening import open_model
from subbyte.models.axis_order import permuted
from subbyte.models.families import encoder_of
from subbyte.models.model import Model, Static
from subbyte.models.operands import block, equalized, factors, hadamard, turned, with_grids
from subbyte.numbers.grids import Grid
from subbyte.run.encoder_engine import EncoderEngine

TEXTS, TYPES = [[3, 7, 9, 30, 2], [5, 6]], [[0, 0, 0, 1, 1], [0, 0]]
SHAPE = {"hidden_size": 48, "intermediate_size": 64, "num_attention_heads": 4}
RECIPE = """
activations = "static"
[[tensors]]
match = "*"
family = "uniform"
bits = 8
granularity = "row"
[[points]]
match = "*"
bits = 32
[[points]]
match = ["embeddings.output", "layers.*.context", "layers.*.ffn_input", "layers.*.hidden", "layers.*.output", "pooler"]
bits = 8
operand = true
range = "mse"
"""


def read_points(model: Model) -> list[str]:
    s = encoder_of(model.config)
    return [point.name for point in s.points().values() if point.readers]


@pytest.fixture
def model() -> Model:
    return random_model(**SHAPE)


def equalizers(model: Model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    widths = encoder_of(model.config).points()
    return {point: rng.uniform(0.2, 5, widths[point].width).astype(np.float32) for point in read_points(model)}


def logits(model: Model) -> np.ndarray:
    return EncoderEngine(model, threads=1, activations="float32").logits(TEXTS, TYPES)


def test_every_matrix_but_embeddings_reads_one_point(model: Model) -> None:
    s = encoder_of(model.config)
    found = [name for point in s.points().values() for name in point.readers]
    assert sorted(found) == sorted(name for name, role in model.roles.items() if role.kind != "embedding")
    bare = encoder_of(random_model(architectures=["BertModel"]).config)
    assert bare.points()["layers.2.output"].readers == s.points()["layers.0.scores"].readers == ()


def test_an_equalized_model_computes_the_same(model: Model) -> None:
    same = equalized(model, equalizers(model))
    np.testing.assert_allclose(logits(same), logits(model), atol=2e-5)
    np.testing.assert_allclose(forward(same, TEXTS[0], TYPES[0])["classifier"][0], logits(model)[0], atol=2e-5)
    pi = np.random.default_rng(2).permutation(48)
    np.testing.assert_allclose(logits(permuted(same, pi)), logits(model), atol=2e-5)


def test_a_turned_model_computes_the_same(model: Model) -> None:
    s = encoder_of(model.config)
    grids = {
        point: Grid(8, (1.0,), (0,), operand=True, rotation=block(s.points()[point].width))
        for point in read_points(model)
    }
    assert {grid.rotation for grid in grids.values()} == {16, 64}
    same = with_grids(equalized(model, equalizers(model)), grids)
    np.testing.assert_allclose(logits(same), logits(model), atol=2e-5)
    np.testing.assert_allclose(forward(same, TEXTS[0], TYPES[0])["classifier"][0], logits(model)[0], atol=2e-5)


def test_the_hadamard_matrix_turns_and_turns_back() -> None:
    for n in (1, 2, 16, 128):
        np.testing.assert_allclose(hadamard(n) @ hadamard(n), np.eye(n), atol=1e-6)
    x = np.random.default_rng(0).standard_normal((3, 64), dtype=np.float32)
    np.testing.assert_allclose(turned(turned(x, 16), 16), x, atol=1e-5)
    assert [block(width) for width in (384, 3072, 96, 312, 40, 1)] == [128, 128, 32, 1, 1, 1]


def test_columns_are_made_alike_but_not_what_is_hardly_there() -> None:
    found = factors(np.array([4.0, 1.0, 0.25, 0.0]))
    np.testing.assert_allclose(found, np.array([0.5, 1, 2, 32 / np.sqrt(1.3125)]) * np.sqrt(1.3125), rtol=1e-6)
    assert np.isfinite(factors(np.zeros(3))).all()


def test_quantized_matrices_cannot_make_up_for_anything(model: Model) -> None:
    packed = quantize_model(model, resolve(load_recipe("uniform4"), model))
    with pytest.raises(UsageError, match="is quantized"):
        equalized(packed, equalizers(model))
    with pytest.raises(UsageError, match="is quantized"):
        with_grids(packed, {"layers.0.hidden": Grid(8, (1.0,), (0,), operand=True, rotation=64)})


def test_what_is_equalized_or_turned_is_rounded_for_matrices_only(model: Model) -> None:
    grid = Grid(8, (1.0,), (0,))
    same = equalized(model, equalizers(model))
    with pytest.raises(KernelError, match="should be that of an operand"):
        EncoderEngine(replace(same, activations=Static({"layers.0.ffn_input": grid})), threads=1)
    with pytest.raises(KernelError, match="another size"):
        EncoderEngine(equalized(model, {"layers.0.context": np.ones(1, np.float32)}), threads=1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with outliers: two columns of what layers read are eight times the others."""
    home = tmp_path_factory.mktemp("operands")
    folder = classifier_folder(home / "model", hidden_size=64, intermediate_size=96, num_attention_heads=2)
    model = open_model(folder)
    tensors = {name: np.array(tensor) for name, tensor in model.tensors.items()}
    for name, tensor in tensors.items():
        if name.endswith("LayerNorm.weight"):
            tensor[[5, 40]] *= 8
    from safetensors.numpy import save_file

    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    rng = np.random.default_rng(0)
    words = [word for word in WORDS[5:] if not word.startswith("##")]
    (home / "text").write_text("".join(" ".join(rng.choice(words, 8)) + "\n" for _ in range(40)))
    return home


@pytest.mark.parametrize("option", ["equalize", "rotate"])
def test_outliers_cost_less_and_a_folder_keeps_what_was_done(source: Path, tmp_path: Path, option: str) -> None:
    texts = [(line,) for line in (source / "text").read_text().splitlines()]
    exact = np.stack([*subbyte.Classifier.from_pretrained(source / "model", threads=1).logits(texts)])
    errors = {}
    for name, more in (("plain", ""), (option, f"{option} = true\n")):
        (tmp_path / f"{name}.toml").write_text(RECIPE.replace("bits = 8\noperand", "bits = 4\noperand") + more)
        subbyte.quantize(source / "model", tmp_path / name, tmp_path / f"{name}.toml", calibration=source / "text")
        classifier = subbyte.Classifier.from_pretrained(tmp_path / name, threads=1)
        found = np.stack([*classifier.logits(texts)])
        errors[name] = float(np.sqrt(np.mean((found - exact) ** 2)))
    assert errors[option] < 0.9 * errors["plain"]
    for activations in ("float32", "int8"):  # whatever the rounding, matrices get what they were made for
        other = subbyte.Classifier.from_pretrained(tmp_path / option, threads=1, activations=activations)
        error = np.sqrt(np.mean((np.stack([*other.logits(texts)]) - exact) ** 2))
        assert error < 0.5 * errors[option], activations
    model = open_model(tmp_path / option)
    if option == "equalize":
        assert sum(name.endswith(".equalizer") for name in model.tensors) == 2 * 4 + 2
        assert subbyte.inspect(tmp_path / option)["parameters"] == subbyte.inspect(tmp_path / "plain")["parameters"]
    else:
        assert {grid.rotation for grid in model.activations.grids.values()} == {32, 64}
    ids, types = classifier.tokenizer.encode(texts[:4])
    seen = classifier.engine.observe(ids, types, ["pooler"])[0]
    for text_ids, kinds, pooled in zip(ids, types, seen, strict=True):
        np.testing.assert_allclose(forward(model, text_ids, kinds, "static")["pooler"][0], pooled, atol=0.05)


def test_a_stranger_s_equalizer_is_checked(source: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(RECIPE + "equalize = true\n")
    subbyte.quantize(source / "model", tmp_path / "out", tmp_path / "own.toml", calibration=source / "text")
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(tmp_path / "out" / "model.safetensors", "np") as file:
        arrays, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
    for value, message in ((np.nan, "not a finite number"), (None, r"should be F32 \[64\]")):
        changed = np.ones(3, np.float32) if value is None else np.full(64, value, np.float32)
        bad = Path(shutil.copytree(tmp_path / "out", tmp_path / "bad", dirs_exist_ok=True))
        save_file({**arrays, "layers.1.context.equalizer": changed}, bad / "model.safetensors", metadata)
        with pytest.raises(FormatError, match=message):
            open_model(bad)
    save_file({**arrays, "layers.1.scores.equalizer": changed}, bad / "model.safetensors", metadata)
    with pytest.raises(FormatError, match=r"unexpected array layers\.1\.scores\.equalizer"):
        open_model(bad)
