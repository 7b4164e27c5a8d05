"""Grids in training: values bit for bit, and gradients against differences and against the numbers of the papers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from subbyte.numbers.grids import Grid, fake_quantize, limit  # noqa: E402
from subbyte.training.encoders.activation_rounding import GRADIENTS, FakeQuantize, Quantizer, error_gradients  # noqa: E402

WIDTH = 12
GRIDS = {
    "symmetric": Grid(4, (0.21,), (0,)),
    "asymmetric": Grid(4, (0.13,), (-3,)),
    "one-sided": Grid(8, (0.007,), (-127,)),
    "2 bits": Grid(2, (0.9,), (0,)),
    "16 bits": Grid(16, (3e-5,), (-1200,)),
    "groups": Grid(4, (0.11, 0.2, 0.31), (-2, 0, 5)),
    "a column each": Grid(8, tuple(0.004 + 0.001 * i for i in range(WIDTH)), tuple(range(-60, 60, 10))),
}


def values(rows: int = 40, seed: int = 0) -> Any:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, WIDTH)).astype(np.float32))


def parts(grid: Grid) -> tuple[Any, Any]:
    """Scale and zero, float32 [K]."""
    return torch.tensor(grid.scale), torch.tensor(grid.zero, dtype=torch.float32)


def surrogate(
    x: np.ndarray, scale: np.ndarray, zero: np.ndarray, grid: Grid, at: np.ndarray, strict: bool
) -> np.ndarray:
    """x_hat as a function that differs from the grid by nothing where it is taken, and has no steps; float64.

    Rounding adds to x / s what it adds at the point `at`, and clips what it clips there; the zero is used as it is.
    """
    size = WIDTH // grid.groups
    known, known_zero = (np.repeat(np.float64(part), size) for part in (grid.scale, grid.zero))
    added = np.rint(at / known) - at / known
    codes = (at / known if strict else np.rint(at / known)) + known_zero
    s, z = np.repeat(scale, size), np.repeat(zero, size)
    top = limit(grid.bits)
    return np.where(abs(codes) <= top, x + s * added, s * (np.sign(codes) * top - z))


def differences(f: Any, x: np.ndarray, step: float = 1e-7) -> np.ndarray:
    """df/dx of a scalar function, by central differences."""
    found = np.zeros(x.size)
    for i in range(x.size):
        change = np.zeros(x.size)
        change[i] = step
        change = change.reshape(x.shape)
        found[i] = (f(x + change) - f(x - change)) / (2 * step)
    return found.reshape(x.shape)


@pytest.mark.parametrize("name", GRIDS)
def test_values_are_those_of_the_grid_bit_for_bit(name: str) -> None:
    grid = GRIDS[name]
    x = values(1000) * 1.5
    scale, zero = parts(grid)
    rounded, _ = FakeQuantize.apply(x, scale, zero, limit(grid.bits), True)
    np.testing.assert_array_equal(rounded.numpy(), fake_quantize(x.numpy(), grid))
    if grid.bits < 8:  # no more levels than the grid has
        for part in rounded.numpy().reshape(-1, grid.groups, WIDTH // grid.groups).transpose(1, 0, 2):
            assert 2 < len(np.unique(part)) <= 2 * limit(grid.bits) + 1


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("name", GRIDS)
def test_a_quantizer_starts_with_the_grid_that_it_is_given(name: str, gradient: Any) -> None:
    grid, x = GRIDS[name], values()
    quantizer = Quantizer(grid, gradient)
    assert quantizer.grid() == grid
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(quantizer(x).detach().numpy(), fake_quantize(x.numpy(), grid))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", GRIDS)
def test_gradients_are_those_of_the_surrogate_without_steps(name: str, strict: bool) -> None:
    grid, x, weights = GRIDS[name], values(6), values(6, seed=1)
    scale, zero = (part.requires_grad_() for part in parts(grid))
    given = x.clone().requires_grad_()
    rounded, _ = FakeQuantize.apply(given, scale, zero, limit(grid.bits), strict)
    (rounded * weights).sum().backward()
    at, w = x.numpy().astype(np.float64), weights.numpy().astype(np.float64)
    s, z = np.float64(grid.scale), np.float64(grid.zero)

    def loss(x: np.ndarray, s: np.ndarray, z: np.ndarray) -> float:
        return float((surrogate(x, s, z, grid, at, strict) * w).sum())

    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(given.grad, differences(lambda x: loss(x, s, z), at), **close)
    top = limit(grid.bits)
    of_scale = differences(lambda s: loss(at, s, z), s, step=1e-9)
    np.testing.assert_allclose(scale.grad, of_scale, rtol=1e-4, atol=2e-5 * top)
    np.testing.assert_allclose(zero.grad, differences(lambda z: loss(at, s, z), z), **close)


def test_gradients_are_those_of_the_paper_element_by_element() -> None:
    """Bondarenko et al. 2021 (bert.md, A2.7), with codes around 0: one value inside, one below and one above."""
    x = torch.tensor([[0.26, -9.0, 9.0]])
    for i, (inside, of_scale, of_zero) in enumerate([(1.0, 3 - 2.6, 0.0), (0.0, -7 - 2, -0.1), (0.0, 7 - 2, -0.1)]):
        given, scale, zero = x[:, i : i + 1].clone().requires_grad_(), torch.tensor([0.1]), torch.tensor([2.0])
        FakeQuantize.apply(given, scale.requires_grad_(), zero.requires_grad_(), 7, False)[0].sum().backward()
        found = [float(part.grad) for part in (given, scale, zero)]
        assert found == pytest.approx([inside, of_scale, of_zero], abs=1e-5)


@pytest.mark.parametrize("name", GRIDS)
def test_the_exact_gradient_of_the_error_is_its_difference(name: str) -> None:
    """M1: codes as they are, between two of their steps."""
    grid = GRIDS[name]
    x = values(50)
    scale, zero = parts(grid)
    rounded, codes = FakeQuantize.apply(x, scale, zero, limit(grid.bits), True)
    found, _ = error_gradients(x, rounded, codes, scale, zero, limit(grid.bits), exact=True)
    groups, size = grid.groups, WIDTH // grid.groups
    kept = (rounded.double().view(-1, groups, size) / scale.double()[:, None]).round().numpy()
    exact = x.double().view(-1, groups, size).numpy()

    def error(log_scale: np.ndarray) -> float:
        return float(((np.exp(log_scale)[:, None] * kept - exact) ** 2).mean((0, 2)).sum())

    expected = differences(error, np.log(np.float64(grid.scale)), step=1e-5)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("name", GRIDS)
def test_both_forms_of_the_gradient_with_lsqs_derivative_agree(name: str) -> None:
    """M2 is 2/N sum d * dx_hat/ds, LSQ's derivative, and also what noise and clipping say by themselves."""
    grid, x = GRIDS[name], values(50)
    scale, zero = (part.requires_grad_() for part in parts(grid))
    rounded, codes = FakeQuantize.apply(x, scale, zero, limit(grid.bits), True)
    share = 2 * grid.groups / x.numel()
    (share / 2 * (rounded - x).square()).sum().backward()
    with torch.no_grad():
        found, of_zero = error_gradients(x, rounded, codes, scale, zero, limit(grid.bits), exact=False)
        np.testing.assert_allclose(found, scale.grad * scale, rtol=2e-3, atol=1e-7)
        np.testing.assert_allclose(of_zero, zero.grad, rtol=1e-4, atol=1e-8)
        size = WIDTH // grid.groups
        s, z = (part.repeat_interleave(size) for part in (scale, zero))
        top = limit(grid.bits)
        low, high = s * (-top - z), s * (top - z)
        above, below = x > high, x < low
        noise = ((rounded - x).square() * ~(above | below)).view(-1, grid.groups, size).sum((0, 2))
        clipped = (high * (x - high) * above + -low * (low - x) * below).view(-1, grid.groups, size).sum((0, 2))
        np.testing.assert_allclose(found, share * (noise - clipped), rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize(
    "scale, exact, expected", [(0.25, True, -0.319), (0.25, False, -0.325), (0.45, True, 0.0717), (0.45, False, 0.0713)]
)
def test_gradients_of_the_error_of_normal_values_are_those_worked_out(
    scale: float, exact: bool, expected: float
) -> None:
    """x ~ N(0, 1) with 16 levels (bert.md, B2.3: n = -8, p = 7), which halves of codes make possible here."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(2_000_000).astype(np.float32))[:, None]
    s, z = torch.tensor([scale]), torch.tensor([0.5])
    rounded, codes = FakeQuantize.apply(x, s, z, 7.5, True)
    found, _ = error_gradients(x, rounded, codes, s, z, 7.5, exact=exact)
    assert float(found) / scale == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("gradient", ["mse", "mse_exact"])
@pytest.mark.parametrize("start", [0.1, 1.0])
def test_the_error_moves_a_scale_to_its_best(gradient: Any, start: float) -> None:
    """Whatever the loss says. With a level less than the paper's 16 the best scale is a bit above its 0.335."""
    x = values(1000).flatten()[:, None]
    candidates = np.linspace(0.25, 0.5, 126)
    errors = [((fake_quantize(x.numpy(), Grid(4, (float(s),), (0,))) - x.numpy()) ** 2).mean() for s in candidates]
    best = candidates[np.argmin(errors)]
    assert best == pytest.approx(0.35, abs=0.02)
    quantizer = Quantizer(Grid(4, (start,), (0,)), gradient)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        quantizer(x).sum().backward()
        quantizer.settle()
        optimizer.step()
    assert quantizer.grid().scale[0] == pytest.approx(best, rel=0.04)
    assert float((quantizer(x) - x).detach().square().mean()) < min(errors) * 1.02


def test_gradients_of_parameters_are_those_of_scales_and_zeros() -> None:
    grid, x = Grid(4, (0.13, 0.2), (-3, 2)), values()
    scale, zero = (part.requires_grad_() for part in parts(grid))
    both = []
    for strict in (False, True):
        FakeQuantize.apply(x, scale, zero, 7, strict)[0].square().sum().backward()
        both.append((scale.grad, zero.grad))
        scale.grad = zero.grad = None
    (learned, (of_scale, of_zero)) = both
    expected: dict[Any, Any] = {
        "learned": learned,
        "lsq": tuple(g / (x.numel() / 2 * 7) ** 0.5 for g in (of_scale * scale.detach(), of_zero * 7)),
        "fixed": (None, None),
    }
    for gradient, (of_scale, of_zero) in expected.items():
        quantizer = Quantizer(grid, gradient)
        given = x.clone().requires_grad_()
        quantizer(given).square().sum().backward()
        quantizer.settle()
        for found, wanted in ((quantizer.scale.grad, of_scale), (quantizer.zero.grad, of_zero)):
            assert (found is None) == (wanted is None)
            if wanted is not None:
                np.testing.assert_allclose(found, wanted, rtol=1e-5)
        assert given.grad is not None


@pytest.mark.parametrize("blend, as_if", [(1.0, "lsq"), (0.0, "mse")])
def test_a_blend_has_both_ends(blend: float, as_if: Any) -> None:
    """At an end the direction is that of the one gradient alone; sizes are their own units."""
    grid = Grid(4, (0.13, 0.2), (-3, 2))
    quantizer, alone = Quantizer(grid, "blend", blend), Quantizer(grid, as_if)
    for one in (quantizer, alone):
        one(values()).square().sum().backward()
        one.settle()
    for found, wanted in ((quantizer.scale.grad, alone.scale.grad), (quantizer.zero.grad, alone.zero.grad)):
        np.testing.assert_array_equal(found.sign(), wanted.sign())
        assert set(found[wanted != 0].abs().round(decimals=4).tolist()) == {1.0}  # in the first step


def test_symmetric_grids_stay_symmetric_and_scales_stay_above_their_floor() -> None:
    quantizer = Quantizer(Grid(8, (1e-7,), (0,)), "learned")
    assert [p.requires_grad for p in (quantizer.scale, quantizer.zero)] == [True, False]
    with torch.no_grad():
        quantizer.scale -= 1.0
    assert quantizer.grid().scale[0] == pytest.approx(1e-8) and torch.isfinite(quantizer(values())).all()


def test_a_zero_stays_a_code() -> None:
    quantizer = Quantizer(Grid(4, (0.1,), (-3,)), "lsq")
    for value, zero in ((-3.4 / 7, -3), (-3.6 / 7, -4), (-2.0, -7), (2.0, 7)):
        with torch.no_grad():
            quantizer.zero.fill_(value)
        assert quantizer.grid().zero == (zero,)


def test_the_state_is_whole() -> None:
    x, grid = values(), Grid(4, (0.13, 0.2), (-3, 2))
    for gradient, steps in itertools.product(GRADIENTS, (0, 2)):
        one, other = Quantizer(grid, gradient), Quantizer(grid, gradient)  # type: ignore[arg-type]
        for _ in range(steps):
            one(x.requires_grad_()).square().sum().backward()
            one.settle()
        other.load_state_dict(one.state_dict())
        for quantizer in (one, other):
            quantizer.zero_grad()
            quantizer(x).square().sum().backward()
            quantizer.settle()
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad)
