"""Entropy coded matrices in the training of translation models: a budget, and layer by layer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from builders.tiny_marian import tiny_marian_folder  # noqa: E402
from builders.training_runs import assert_goes_on, some_pairs  # noqa: E402
from subbyte.compress.quantizing import quantize  # noqa: E402
from subbyte.compress.recipes.recipe import parse_recipe, resolve  # noqa: E402
from subbyte.errors import RecipeError, UsageError  # noqa: E402
from subbyte.folders.opening import open_model  # noqa: E402
from subbyte.models import marian  # noqa: E402
from subbyte.models.model import Model  # noqa: E402
from subbyte.numbers.matrices import dequantize  # noqa: E402
from subbyte.numbers.packed import PackedMatrix  # noqa: E402
from subbyte.training.job import finetune  # noqa: E402
from subbyte.training.translation.batches import FILL, to_tensors  # noqa: E402
from subbyte.training.translation.blockwise import Blockwise  # noqa: E402
from subbyte.training.translation.network import Layer, Network  # noqa: E402
from subbyte.training.translation.settings import Finetuning  # noqa: E402
from subbyte.training.translation.trainer import Trainer  # noqa: E402

CODED = """
[[tensors]]
match = "*"
family = "entropy_coded"
bits = 8
step = 0.5
[[tensors]]
role = "embedding"
family = "entropy_coded"
bits = 8
clusters = { count = 2, ratio = 2, each = [{ step = 0.4 }, { step = 0.8 }] }
[[tensors]]
match = "model.decoder.layers.0.fc1.weight"
family = "uniform"
bits = 4
"""
SMALL: dict[str, Any] = {"encoder_layers": 1, "decoder_ffn_dim": 64, "decoder_attention_heads": 2}
SETTINGS = Finetuning(
    updates=8, warmup=0, refit=3, learning_rate=0.002, step_learning_rate=0.003, batch_tokens=64, distillation=1.0
)


@pytest.fixture
def model(small: Path) -> Model:
    return open_model(small)


def trainer_of(model: Model, method: str = "straight_through", **changes: Any) -> Trainer:
    schemes = resolve(parse_recipe(CODED, "test", "test"), model)
    kind = Blockwise if method == "blockwise" else Trainer
    return kind(model, schemes, some_pairs(), replace(SETTINGS, method=method, **changes))


over_methods = pytest.mark.parametrize("method", ["straight_through", "error_feedback", "blockwise"])


@pytest.mark.parametrize("more", [-0.5, 0.0, 0.3])
def test_bits_become_those_of_the_budget(model: Model, more: float) -> None:
    budget = trainer_of(model).bits + more
    trainer = trainer_of(model, updates=300, bits=budget, step_learning_rate=0.006)
    assert trainer.complete is (more >= 0)
    for _ in range(300):
        trainer.step()
    assert trainer.bits == pytest.approx(budget, rel=0.01)
    assert trainer.complete


def test_without_a_budget_bits_stay_those_of_the_start(model: Model) -> None:
    trainer = trainer_of(model, updates=60)
    start = trainer.bits
    for _ in range(60):
        trainer.step()
    assert trainer.bits == pytest.approx(start, rel=0.01)


@over_methods
def test_what_is_saved_is_what_products_used(model: Model, method: str) -> None:
    trainer = trainer_of(model, method)
    first = {name: value.clone() for name, value in trainer.matrices.rounded.items()}
    for _ in range(8):
        trainer.step()
    for name, tensor in trainer.model().tensors.items():
        if isinstance(tensor, PackedMatrix):
            np.testing.assert_array_equal(dequantize(tensor), trainer.matrices.rounded[name].numpy(), err_msg=name)
            scales = [part.params["scale"].float() for part in trainer.matrices.rounders[name].coded]
            for scale, part in zip(scales, trainer.matrices.rounders[name].coded, strict=True):
                torch.testing.assert_close(scale, part.log_step.detach().exp(), rtol=1e-3, atol=0)
    moved = {name for name, value in trainer.matrices.rounded.items() if not torch.equal(value, first[name])}
    assert len(moved) > 2 and ("model.shared.weight" in moved) is (method != "blockwise")


@over_methods
def test_a_restored_run_goes_on_as_if_it_had_not_stopped(model: Model, method: str, tmp_path: Path) -> None:
    assert_goes_on(lambda: trainer_of(model, method, updates=20), (3, 11), 20, tmp_path)


def test_layers_are_trained_one_after_the_other_and_come_nearer_to_the_float_ones(model: Model) -> None:
    trainer = trainer_of(model, "blockwise", updates=80)
    assert isinstance(trainer, Blockwise)
    assert trainer.layers == [Layer("encoder", 0), Layer("decoder", 0)]
    for number, layer in enumerate(trainer.layers):
        before = {name: value.detach().clone() for name, value in trainer.parameters.items()}
        assert trainer.layer == number
        losses = [trainer.step() for _ in range(40)]
        assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])
        moved = {name for name, value in trainer.parameters.items() if not torch.equal(value, before[name])}
        assert moved and all(name.startswith(layer.prefix) for name in moved)
    assert trainer.complete


def test_the_output_of_the_last_layer_is_what_words_are_chosen_by(model: Model) -> None:
    network = Network(marian.settings(model.config), model.aliases, round_inputs=False)
    weights = {name: torch.from_numpy(np.array(tensor)) for name, tensor in model.tensors.items()}
    source, inputs, labels = to_tensors(some_pairs(5), network.settings.decoder_start)
    wanted = labels != FILL
    states = network.output(weights, source, inputs, wanted, network.layers()[-1])
    logits = network._linear(weights, network._name("lm_head.weight"), "final_logits_bias", states)
    torch.testing.assert_close(logits, network.logits(weights, source, inputs, wanted))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"phases": True}, "phases do not go with entropy_coded"),
        ({"phases": True, "method": "blockwise"}, "blockwise has an order of its own"),
    ],
)
def test_phases_are_refused(model: Model, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        trainer_of(model, **changes)


BUDGET = """
budget = "4bits"
[[tensors]]
match = "*"
family = "entropy_coded"
bits = 8
[finetune]
warmup = 0
step_learning_rate = 0.01
"""


def test_a_recipe_with_a_budget_is_trained_from_what_quantize_made(text: Path, tmp_path: Path) -> None:
    larger = tiny_marian_folder(tmp_path / "larger", **{**SMALL, "d_model": 64, "encoder_ffn_dim": 256})
    recipe = tmp_path / "r.toml"
    recipe.write_text(BUDGET, "utf-8")
    texts = {"source": text / "en", "target": text / "de", "valid_source": text / "en", "valid_target": text / "de"}
    options: dict[str, Any] = {**texts, "updates": 60, "validate_every": 20, "batch_tokens": 64, "threads": 1}
    with pytest.raises(UsageError, match="its steps are found by `subbyte quantize"):
        finetune(larger, tmp_path / "out", recipe, **options)
    quantize(larger, tmp_path / "start", recipe, check=False)
    done = finetune(larger, tmp_path / "out", recipe, start=tmp_path / "start", **options)
    bits = [one["bits"] for one in json.loads((tmp_path / "out" / "report.json").read_text())["validations"]]
    assert 3.8 < bits[-1] <= 4 * 1.005
    assert done["average_bits"] == pytest.approx(bits[0], rel=0.01)  # of equal quality the first is the best
    assert open_model(tmp_path / "out").recipe["tensors"] == open_model(tmp_path / "start").recipe["tensors"]


def test_a_budget_that_is_not_met_is_told(teacher: Path, text: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(CODED, "utf-8")
    texts = {"source": text / "en", "target": text / "de", "valid_source": text / "en", "valid_target": text / "de"}
    with pytest.raises(
        UsageError, match=r"no validated model was within the budget: 1\.000 bits of a weight, the last"
    ):
        finetune(teacher, tmp_path / "out", recipe, **texts, updates=2, bits=1.0, threads=1)
