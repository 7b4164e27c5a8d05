"""Learned steps and the price of bits, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from subbyte.numbers.granularity import PerRow, RowClusters  # noqa: E402
from subbyte.numbers.matrices import dequantize, quantize_matrix  # noqa: E402
from subbyte.numbers.schemes import Clustered, EntropyCoded, Scheme  # noqa: E402
from subbyte.training.coded import BEYOND, Price, entropy_of, slopes_of  # noqa: E402
from subbyte.training.matrices import Matrices, used  # noqa: E402
from subbyte.training.rounding import Rounder  # noqa: E402

RANGES = Clustered(EntropyCoded(4), RowClusters(2, 1), ((("step", 0.7),), (("bits", 8), ("step", 1.1))))
SCHEMES = [EntropyCoded(4, step=0.9), EntropyCoded(8, step=0.4), EntropyCoded(3, PerRow()), RANGES]
over_schemes = pytest.mark.parametrize("scheme", SCHEMES, ids=["4", "8", "rows", "ranges"])


def matrix(seed: int = 1, rows: int = 20, cols: int = 48) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32))


def learned(scheme: Scheme | Clustered, w: torch.Tensor) -> tuple[Matrices, list[torch.nn.Parameter]]:
    matrices = Matrices({"w": torch.nn.Parameter(w.clone())}, {"w": scheme}, refit=10)
    steps = matrices.learn_steps()
    matrices.start(["w"], {})
    matrices.round(["w"])
    return matrices, steps


@over_schemes
def test_the_gradient_of_a_step_is_that_at_which_codes_stay(scheme: Scheme | Clustered) -> None:
    """That of the sum of slope * s * level, by the logarithm of s."""
    w, slope = matrix(), matrix(2)
    w[0, :8] = 30
    matrices, steps = learned(scheme, w)
    products = used(matrices.parameters.items(), matrices.rounded, matrices.learned)["w"]
    torch.testing.assert_close(products.detach(), matrices.rounded["w"], rtol=0, atol=0)
    (products * slope).sum().backward()
    torch.testing.assert_close(matrices.parameters["w"].grad, slope, rtol=0, atol=0)
    for part, step in zip(matrices.rounders["w"].coded, steps, strict=True):
        rows, g = w[part.rows].double().numpy(), slope[part.rows].double().numpy()
        s = part.params["scale"].double().numpy()
        levels = np.array(part.scheme.levels)
        q = levels[np.abs(rows[..., None] / s[..., None] - levels).argmin(-1)]
        expected = g * s * q
        expected = expected.sum(1, keepdims=True) if step.shape[0] > 1 else expected.sum().reshape(1, 1)
        np.testing.assert_allclose(step.grad.numpy(), expected, rtol=1e-4, atol=1e-4)


@over_schemes
def test_a_learned_step_is_stored_as_products_use_it(scheme: Scheme | Clustered) -> None:
    w = matrix()
    matrices, steps = learned(scheme, w)
    before = [part.params["scale"].clone() for part in matrices.rounders["w"].coded]
    with torch.no_grad():
        for step in steps:
            step += 0.1
    matrices.fit(["w"], 1)
    matrices.round(["w"])
    packed = matrices.rounders["w"].pack(w)
    np.testing.assert_array_equal(dequantize(packed), matrices.rounded["w"].numpy())
    for block, scale in zip(packed.blocks, before, strict=True):
        np.testing.assert_allclose(block.scale, scale.numpy() * math.exp(0.1), rtol=1e-3)


@over_schemes
def test_weights_start_near_the_float_ones_with_the_codes_that_were_found(scheme: Scheme | Clustered) -> None:
    w, x = matrix(), matrix(3, 200).double().numpy()
    packed = quantize_matrix(w.numpy(), scheme, gram=x.T @ x)
    matrices = Matrices({"w": torch.nn.Parameter(w.clone())}, {"w": scheme}, refit=10)
    matrices.learn_steps()
    matrices.start(["w"], {"w": packed})
    matrices.round(["w"])
    np.testing.assert_array_equal(matrices.rounded["w"].numpy(), dequantize(packed))
    off = (matrices.parameters["w"].detach() - w).abs()
    assert off.sum() < 0.5 * (matrices.rounded["w"] - w).abs().sum()
    assert (off < 1e-6).float().mean() > 0.5


def test_bits_are_those_of_the_entropy_and_fall_with_the_step_as_said() -> None:
    w = torch.from_numpy(np.random.default_rng(4).laplace(size=(500, 400)).astype(np.float32))
    rounder = Rounder((500, 400), EntropyCoded(8, step=0.5))
    rounder.fit(w)
    (part,) = rounder.coded

    def entropy() -> float:
        _, counts = np.unique(rounder.round(w).numpy(), return_counts=True)
        p = counts / w.numel()
        return float(-(p * np.log2(p)).sum())

    bits, slope = entropy_of(part.counts(w), part.levels)
    assert bits == pytest.approx(entropy(), abs=1e-9)
    with torch.no_grad():
        part.log_step += 0.05
    rounder.settle()
    assert (entropy() - bits) / 0.05 == pytest.approx(slope, rel=0.15)


def test_slopes_lead_to_the_most_frequent_level_even_where_a_rarer_one_is_between() -> None:
    slopes = slopes_of(torch.tensor([3, 0, 9, 100, 20, 30, 0]), torch.tensor([-4, -2, -1, 0, 1, 2, 3]))
    assert (slopes[:3] <= 0).all() and (slopes[3:] >= 0).all() and slopes[4] == 0
    assert slopes[2] == pytest.approx(math.log2(9 / 100))


@over_schemes
def test_weights_are_pulled_to_levels_of_fewer_bits(scheme: Scheme | Clustered) -> None:
    matrices, _ = learned(scheme, matrix())
    before = matrices.parameters["w"].detach().clone()
    price = Price(matrices.learned, 20 * 48, 0.5, updates=10)
    matrices.hold(price)
    bits = price.bits(matrices.parameters)
    with torch.no_grad():
        price.follow(matrices.parameters, 10, 8, 0.005)  # far beyond the budget: at the full rate
    moved = matrices.parameters["w"].detach() - before
    assert float(moved.abs().mean()) == pytest.approx(8 * 0.005, rel=1e-3)
    assert price.bits(matrices.parameters) < bits


@pytest.mark.parametrize("budget, rises", [(2.0, True), (4.0, False)])
def test_the_price_rises_while_the_budget_is_not_met_and_falls_while_there_is_room(budget: float, rises: bool) -> None:
    matrices, steps = learned(EntropyCoded(8, step=0.5), matrix())
    price = Price(matrices.learned, 20 * 48, budget, updates=10)
    matrices.hold(price)
    steps[0].grad = torch.full_like(steps[0], 0.01)
    matrices.add_gradients()
    assert float(steps[0].grad) == pytest.approx(0, abs=1e-6)  # the first price: nothing is gained by another step
    for update in range(10, 60, 8):
        price.follow(matrices.parameters, update, 8, 0.0)
        steps[0].grad = torch.full_like(steps[0], 0.01)
        matrices.add_gradients()
        assert (float(steps[0].grad) < 0) is rises
    assert price.met(budget * (1 + BEYOND)) and not price.met(budget * (1 + 2 * BEYOND))
