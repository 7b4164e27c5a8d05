"""The methods of training, each against its definition written out, with plain gradient descent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

import torch.nn.functional as F  # noqa: E402

from builders.training_runs import assert_goes_on, some_pairs  # noqa: E402
from subbyte.compress.recipes.recipe import parse_recipe, resolve  # noqa: E402
from subbyte.compress.rounding import quantize_model  # noqa: E402
from subbyte.folders.opening import open_model  # noqa: E402
from subbyte.models import marian  # noqa: E402
from subbyte.models.model import Model  # noqa: E402
from subbyte.numbers.matrices import dequantize  # noqa: E402
from subbyte.numbers.packed import PackedMatrix  # noqa: E402
from subbyte.training.rounding import Rounder  # noqa: E402
from subbyte.training.translation.batches import FILL, Pair, endless, to_tensors  # noqa: E402
from subbyte.training.translation.network import Network  # noqa: E402
from subbyte.training.translation.settings import Finetuning  # noqa: E402
from subbyte.training.translation.trainer import Trainer  # noqa: E402

LOG3 = '[[tensors]]\nmatch = "*"\nfamily = "logarithmic"\nbits = 3\ngranularity = "tensor"\n'
MIXED = """
[[tensors]]
match = "*"
family = "binary_coding"
bits = 2
solver = "greedy"
[[tensors]]
role = "embedding"
family = "uniform"
mode = "affine"
range = "minmax"
bits = 5
clusters = {count = 3, ratio = 2}
"""
PLAIN = Finetuning(
    updates=8, warmup=0, refit=1, learning_rate=0.05, batch_tokens=64, label_smoothing=0, distillation=0, clip_norm=1e6,
    dropout=False,
)  # fmt: skip
Weights = dict[str, torch.Tensor]


@pytest.fixture
def model(small: Path) -> Model:
    return open_model(small)


@pytest.fixture
def gradient_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimizer is W - rate * gradient."""
    monkeypatch.setattr(torch.optim, "Adam", lambda parameters, lr, **_: torch.optim.SGD(parameters, lr=lr))


def trainer_of(model: Model, method: str, recipe: str = MIXED, rounded: Model | None = None, **changes: Any) -> Trainer:
    schemes = resolve(parse_recipe(recipe, "test", "test"), model)
    return Trainer(model, schemes, some_pairs(), replace(PLAIN, method=method, **changes), rounded=rounded)


def gradients(model: Model, weights: Mapping[str, torch.Tensor], batch: Sequence[Pair]) -> Weights:
    """Of the mean loss per token, at these weights."""
    leaves = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    network = Network(marian.settings(model.config), model.aliases, round_inputs=True)
    source, inputs, labels = to_tensors(batch, network.settings.decoder_start)
    logits = network.logits(leaves, source, inputs, labels != FILL)
    F.cross_entropy(logits, labels[labels != FILL]).backward()
    return {name: leaf.grad for name, leaf in leaves.items()}


def floats_of(model: Model) -> Weights:
    return {name: torch.from_numpy(np.array(tensor)) for name, tensor in model.tensors.items()}


def rates() -> list[float]:
    return [PLAIN.learning_rate * (PLAIN.updates - i) / PLAIN.updates for i in range(PLAIN.updates)]


def batches(count: int) -> list[list[Pair]]:
    return list(islice(endless(some_pairs(), PLAIN.batch_tokens, 0), count))


def parameters(trainer: Trainer) -> Weights:
    return {name: w.detach().clone() for name, w in trainer.parameters.items()}


def on_grid(trainer: Trainer) -> set[str]:
    """The matrices whose weights are values that could be stored."""
    values = parameters(trainer)
    return {
        name for name, rounder in trainer.matrices.rounders.items() if rounder._parts[0].params
        and torch.equal(rounder.round(values[name]), values[name])
    }  # fmt: skip


@pytest.mark.usefixtures("gradient_descent")
@pytest.mark.parametrize("recipe", [LOG3, MIXED], ids=["logarithmic", "mixed"])
def test_error_feedback_is_that_of_the_paper(model: Model, recipe: str) -> None:
    """nmt.md B3: a quantized W, and a residual R = U - W that the next update is added to; R starts at zero."""
    schemes = resolve(parse_recipe(recipe, "test", "test"), model)

    def q(name: str, u: torch.Tensor) -> torch.Tensor:
        rounder = Rounder(tuple(u.shape), schemes[name])
        rounder.fit(u)
        return rounder.round(u)

    w = {name: q(name, value) if name in schemes else value for name, value in floats_of(model).items()}
    r = {name: torch.zeros_like(value) for name, value in w.items()}
    trainer = trainer_of(model, "error_feedback", recipe)
    changed = 0
    for batch, rate in zip(batches(3), rates(), strict=False):
        trainer.step()
        g = gradients(model, w, batch)
        u = {name: w[name] - rate * g[name] for name in w}
        u = {name: u[name] + r[name] for name in w}
        before = w
        w = {name: q(name, u[name]) if name in schemes else u[name] for name in u}
        r = {name: u[name] - w[name] for name in u}
        for name, shadow in parameters(trainer).items():
            np.testing.assert_allclose(shadow.numpy(), (w[name] + r[name]).numpy(), atol=2e-6, err_msg=name)
            if name in schemes:
                np.testing.assert_allclose(
                    trainer.matrices.rounded[name].numpy(), w[name].numpy(), atol=2e-6, err_msg=name
                )
            else:
                assert not r[name].any()
        changed += sum(int((w[name] != before[name]).sum()) for name in schemes)
    assert changed > 100 and any(r[name].any() for name in schemes)


@pytest.mark.usefixtures("gradient_descent")
def test_a_period_of_one_is_rounding_without_feedback(model: Model) -> None:
    """nmt.md B3 without R: W = Q(W + step)."""
    trainer = trainer_of(model, "periodic", period=1)
    w = floats_of(model)
    for batch, rate in zip(batches(3), rates(), strict=False):
        trainer.step()
        w = {name: w[name].add(g, alpha=-rate) for name, g in gradients(model, w, batch).items()}
        for name, scheme in resolve(parse_recipe(MIXED, "test", "test"), model).items():
            rounder = Rounder(tuple(w[name].shape), scheme)
            rounder.fit(w[name])
            w[name] = rounder.round(w[name])
        for name, value in parameters(trainer).items():
            np.testing.assert_allclose(value.numpy(), w[name].numpy(), atol=1e-6, err_msg=name)
    assert on_grid(trainer) == set(trainer.matrices.rounders) and trainer.whole


@pytest.mark.usefixtures("gradient_descent")
def test_straight_through_starts_from_the_float_weights_and_moves_them_by_the_gradient_at_the_rounded(
    model: Model,
) -> None:
    trainer = trainer_of(model, "straight_through")
    start = floats_of(model)
    assert all(torch.equal(value, start[name]) for name, value in parameters(trainer).items())
    plain = quantize_model(model, resolve(parse_recipe(MIXED, "test", "test"), model))
    for name, rounded in trainer.matrices.rounded.items():
        np.testing.assert_array_equal(rounded.numpy(), dequantize(plain.tensors[name]))
    g = gradients(model, {**start, **trainer.matrices.rounded}, batches(1)[0])
    trainer.step()
    for name, value in parameters(trainer).items():
        expected = start[name] - PLAIN.learning_rate * g[name]
        np.testing.assert_allclose(value.numpy(), expected.numpy(), atol=1e-6, err_msg=name)


def test_error_feedback_starts_from_the_rounded_weights(model: Model) -> None:
    trainer = trainer_of(model, "error_feedback")
    plain = quantize_model(model, resolve(parse_recipe(MIXED, "test", "test"), model))
    for name in trainer.matrices.rounders:
        np.testing.assert_array_equal(parameters(trainer)[name].numpy(), dequantize(plain.tensors[name]))


@pytest.mark.parametrize("method", ["straight_through", "error_feedback"])
def test_a_rounding_that_was_found_before_is_where_they_start(model: Model, method: str) -> None:
    schemes = resolve(parse_recipe(MIXED, "test", "test"), model)
    x = np.random.default_rng(1).standard_normal((50, 32))
    grams = {name: x[:, : w.shape[1]].T @ x[:, : w.shape[1]] for name, w in model.tensors.items() if name in schemes}
    rounded = quantize_model(model, schemes, None, grams)
    trainer = trainer_of(model, method, rounded=rounded, refit=100)
    for name in schemes:
        np.testing.assert_array_equal(trainer.matrices.rounded[name].numpy(), dequantize(rounded.tensors[name]))


@pytest.mark.parametrize("updates", [7, 9])
def test_periodic_overwrites_at_every_period_and_in_the_end_and_only_then(model: Model, updates: int) -> None:
    trainer = trainer_of(model, "periodic", period=3, updates=updates)
    assert on_grid(trainer) == set() and not trainer.matrices.rounded
    for update in range(1, updates + 1):
        trainer.step()
        overwritten = update % 3 == 0 or update == updates
        assert trainer.whole is overwritten
        assert on_grid(trainer) == (set(trainer.matrices.rounders) if overwritten else set()), update


@pytest.mark.parametrize("updates, ends", [(9, (3, 6, 9)), (10, (4, 7, 10))])
def test_periodic_overwrites_at_the_end_of_a_phase(model: Model, updates: int, ends: tuple[int, ...]) -> None:
    trainer = trainer_of(model, "periodic", period=100, updates=updates, phases=True)
    found = []
    for _ in range(updates):
        trainer.step()
        if trainer.whole:
            found.append((trainer.update, {str(model.roles[name]).split(".")[0] for name in on_grid(trainer)}))
    assert found == [*zip(ends, ({"shared"}, {"shared", "decoder"}, {"shared", "decoder", "encoder"}), strict=True)]


@pytest.mark.parametrize("method", ["straight_through", "error_feedback"])
def test_phases_round_the_embedding_then_the_decoder_then_the_encoder(model: Model, method: str) -> None:
    trainer = trainer_of(model, method, updates=9, phases=True)
    found = []
    for _ in range(10):
        found.append("".join(sorted({model.roles[name].stack[0] for name in trainer.matrices.rounded})))
        assert trainer.complete is (len(trainer.matrices.rounded) == len(trainer.matrices.rounders))
        packed = {name for name, tensor in trainer.model().tensors.items() if isinstance(tensor, PackedMatrix)}
        assert packed == trainer.matrices.rounded.keys()
        if trainer.update < 9:
            trainer.step()
    # after updates 0 to 9: what the first update of a phase uses is rounded from the one before on, or after it
    assert found == ["s"] * 4 + ["ds"] * 3 + ["des"] * 3


@pytest.mark.parametrize("method", ["straight_through", "error_feedback", "periodic"])
@pytest.mark.parametrize("refit", [2, 100])
def test_what_is_saved_is_what_products_used(model: Model, method: str, refit: int) -> None:
    trainer = trainer_of(model, method, period=2, refit=refit, learning_rate=0.01)
    for _ in range(4):
        trainer.step()
    saved, used = trainer.model(), {**parameters(trainer), **trainer.matrices.rounded}
    assert len(saved.tensors) == len(used)
    for name, tensor in saved.tensors.items():
        assert isinstance(tensor, PackedMatrix) is (name in trainer.matrices.rounders)
        values = dequantize(tensor) if isinstance(tensor, PackedMatrix) else tensor
        np.testing.assert_array_equal(values, used[name].numpy(), err_msg=name)


def test_trained_scales_leave_codes_alone(model: Model) -> None:
    plain = quantize_model(model, resolve(parse_recipe(MIXED, "test", "test"), model))
    trainer = trainer_of(model, "scales", learning_rate=0.01)
    for _ in range(4):
        trainer.step()
    moved = 0
    for name, tensor in trainer.model().tensors.items():
        if isinstance(tensor, PackedMatrix):
            rounder, factors = trainer.weights.scaled[name]
            used = rounder.scaled(trainer.parameters[name], list(factors)).detach().numpy()
            np.testing.assert_allclose(dequantize(tensor), used, rtol=3e-7)
            for block, before in zip(tensor.blocks, plain.tensors[name].blocks, strict=True):
                np.testing.assert_array_equal(block.codes, before.codes)
                moved += np.count_nonzero(block.scale != before.scale)
        else:
            assert (tensor != model.tensors[name]).any() or name.endswith("k_proj.bias"), name  # softmax hides these
    assert moved > 100


@pytest.mark.parametrize("method", ["straight_through", "error_feedback", "periodic", "scales"])
@pytest.mark.parametrize("phases", [False, True])
def test_a_restored_run_goes_on_as_if_it_had_not_stopped(
    model: Model, method: str, phases: bool, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"dropout": True, "refit": 3, "period": 2, "distillation": 0.5, "phases": phases}
    assert_goes_on(lambda: trainer_of(model, method, **options), (1, 6), 8, tmp_path)


def test_bf16_trains_in_the_process_that_trained_in_float32(model: Model) -> None:
    schemes = resolve(parse_recipe(MIXED, "test", "test"), model)
    losses = {
        precision: Trainer(model, schemes, some_pairs(), PLAIN, precision=precision).step()
        for precision in ("float32", "bf16", "float32")
    }
    assert losses["bf16"] != losses["float32"] and losses["bf16"] == pytest.approx(losses["float32"], rel=0.02)
