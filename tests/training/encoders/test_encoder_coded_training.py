"""Entropy coded matrices in the training of encoders: a start, a budget, and layer by layer."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

import subbyte  # noqa: E402
from builders.tiny_encoder import tiny_encoder_folder  # noqa: E402
from builders.training_runs import assert_goes_on  # noqa: E402
from subbyte.compress.calibration.encoders import readable  # noqa: E402
from subbyte.compress.encoder_rounding import calibrated  # noqa: E402
from subbyte.compress.recipes.recipe import load_recipe, resolve  # noqa: E402
from subbyte.folders.opening import open_model  # noqa: E402
from subbyte.numbers.matrices import dequantize  # noqa: E402
from subbyte.numbers.packed import PackedMatrix  # noqa: E402
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer  # noqa: E402
from subbyte.text.labelled import read_labelled  # noqa: E402
from subbyte.training import job  # noqa: E402
from subbyte.training.encoders.blockwise import EncoderBlockwise  # noqa: E402
from subbyte.training.encoders.settings import EncoderFinetuning  # noqa: E402
from subbyte.training.encoders.task import examples_of  # noqa: E402
from subbyte.training.encoders.trainer import EncoderTrainer  # noqa: E402

WORDS = ["bad", "dull", "poor", "good", "fine", "great", "film", "plot", "a", "the"]
CODED = """
activations = "static"
[[tensors]]
match = "*"
family = "entropy_coded"
bits = 4
step = 0.8
[[tensors]]
role = "embedding"
family = "uniform"
bits = 4
[[points]]
match = "*"
bits = 8
[finetune]
updates = 24
learning_rate = 0.002
gradient = "lsq"
batch_size = 8
validate_every = 12
output_distillation = 1
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, texts and a recipe; not to be written to."""
    folder = tmp_path_factory.mktemp("coded")
    tiny_encoder_folder(folder / "model", "bert, classifier", WORDS, scale=0.2)
    (folder / "r.toml").write_text(CODED)
    rng = random.Random(0)
    lines = [f"{i % 2}\t{' '.join(rng.choices(WORDS, k=rng.randint(2, 7)))}" for i in range(48)]
    (folder / "train.tsv").write_text("\n".join(["label\tsentence", *lines]) + "\n")
    (folder / "lines").write_text("\n".join(line.split("\t")[1] for line in lines) + "\n")
    return folder


def trainer_of(place: Path, **options: Any) -> EncoderTrainer:
    model, recipe = open_model(place / "model"), load_recipe(place / "r.toml")
    tokenizer, texts = load_encoder_tokenizer(model.folder, model.config), read_labelled(place / "train.tsv")
    settings = EncoderFinetuning(**{**recipe.finetune, **options})
    schemes = resolve(recipe, model)
    examples = examples_of(model, tokenizer, texts, "train.tsv")
    model = calibrated(model, recipe, readable(tokenizer, texts.texts))
    kind = EncoderBlockwise if settings.method == "blockwise" else EncoderTrainer
    return kind(model, schemes, examples, settings)


over_methods = pytest.mark.parametrize("method", ["straight_through", "blockwise"])


@over_methods
def test_what_is_saved_is_what_products_used(place: Path, method: str) -> None:
    trainer = trainer_of(place, method=method)
    before = [step.detach().clone() for step in trainer.steps]
    for _ in range(24):
        trainer.step()
    assert sum(not torch.equal(step, first) for step, first in zip(trainer.steps, before, strict=True)) > 10
    for name, tensor in trainer.model().tensors.items():
        if isinstance(tensor, PackedMatrix) and name in trainer.matrices.learned:
            np.testing.assert_array_equal(dequantize(tensor), trainer.matrices.rounded[name].numpy(), err_msg=name)


@over_methods
@pytest.mark.parametrize("gradient", ["lsq", "blend"])
def test_a_restored_run_goes_on_as_if_it_had_not_stopped(
    place: Path, tmp_path: Path, method: str, gradient: str
) -> None:
    assert_goes_on(lambda: trainer_of(place, method=method, gradient=gradient), (3, 15), 24, tmp_path)


def test_bits_become_those_of_the_budget(place: Path) -> None:
    budget = trainer_of(place).bits - 0.3
    trainer = trainer_of(place, bits=budget, updates=300, step_learning_rate=0.006)
    assert not trainer.complete
    for _ in range(300):
        trainer.step()
    assert 0.98 * budget < trainer.bits <= 1.005 * budget
    assert trainer.complete


def test_layers_are_trained_one_after_the_other_and_come_nearer_to_the_float_ones(place: Path) -> None:
    trainer = trainer_of(place, method="blockwise", updates=120)
    assert isinstance(trainer, EncoderBlockwise)
    assert len(trainer.prefixes) > 1
    for number, prefix in enumerate(trainer.prefixes):
        before = {name: value.detach().clone() for name, value in trainer.parameters.items()}
        assert trainer.layer == number
        losses = [trainer.step() for _ in range(trainer.each)]
        assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
        moved = {name for name, value in trainer.parameters.items() if not torch.equal(value, before[name])}
        assert moved and all(name.startswith(prefix) for name in moved)


def test_the_output_of_a_layer_is_that_of_the_whole_pass(place: Path) -> None:
    trainer = trainer_of(place)
    tokens = next(iter_tokens(trainer))
    whole = trainer.network.run(trainer.parameters, tokens, trainer._at, trainer._read).outputs
    for layer, expected in enumerate(whole):
        found = trainer.network.output(trainer.parameters, tokens, layer, trainer._at, trainer._read)
        torch.testing.assert_close(found, expected)


def iter_tokens(trainer: EncoderTrainer) -> Any:
    from subbyte.training.encoders.batches import to_tensors

    for batch in trainer._batches:
        tokens = to_tensors(batch).tokens
        yield tokens._replace(ids=trainer.words.numbered(tokens.ids)) if trainer.words else tokens


def test_a_run_can_start_from_what_quantize_made(place: Path, tmp_path: Path) -> None:
    subbyte.quantize(place / "model", tmp_path / "start", place / "r.toml", calibration=place / "lines", check=False)
    texts = {"train": place / "train.tsv", "valid": place / "train.tsv", "start": tmp_path / "start", "threads": 1}
    job.finetune(place / "model", tmp_path / "out", place / "r.toml", learning_rate=1e-9, updates=1, **texts)
    start, out = open_model(tmp_path / "start"), open_model(tmp_path / "out")
    for name, tensor in start.tensors.items():
        if isinstance(tensor, PackedMatrix):
            np.testing.assert_allclose(dequantize(out.tensors[name]), dequantize(tensor), rtol=2e-3, err_msg=name)
    assert out.activations.grids.keys() == start.activations.grids.keys()
