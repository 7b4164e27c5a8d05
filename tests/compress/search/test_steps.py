"""The steps of entropy coded matrices: what curves say, that a choice is the best, what noise may do. Numbers only."""

from __future__ import annotations

import numpy as np
import pytest

from subbyte.compress.search.steps import BITS, FAR, PROBE, STEPS, Curve, Share, allot, entropy, expected, scheme_at
from subbyte.numbers.matrices import dequantize, quantize_matrix
from subbyte.numbers.schemes import EntropyCoded

SCHEME = EntropyCoded(8)


def weights(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(1 << 14).astype(np.float32).reshape(64, -1)


def taken(shares, places) -> float:
    return sum(share.weights * share.bits()[at] for share, at in zip(shares, places, strict=True))


def lost(shares, places) -> float:
    return sum(share.losses()[at] for share, at in zip(shares, places, strict=True))


def test_the_entropy_is_that_of_a_coin_and_of_nothing():
    assert entropy(np.array([5, 0, 5])) == 1 and entropy(np.array([7])) == 0 and entropy(np.array([], int)) == 0


@pytest.mark.parametrize("step", [0.25, 0.7, 1.3])
def test_a_curve_says_what_rounding_takes_and_costs(step):
    w, at = weights(), int(np.abs(STEPS - step).argmin())
    curve = Curve.of(w, SCHEME)
    packed, probe = (quantize_matrix(w, EntropyCoded(BITS, step=one)) for one in (float(STEPS[at]), PROBE))
    values = np.unique(dequantize(packed), return_counts=True)[1]
    error, unit = (np.square(w - dequantize(one)).sum() for one in (packed, probe))
    assert curve.bits[at] == pytest.approx(entropy(values), abs=0.03)
    assert curve.errors[at] == pytest.approx(error / unit, rel=0.15)
    assert curve.against_probe(float(STEPS[at])) == pytest.approx(curve.errors[at])
    assert entropy(values) == pytest.approx(2.05 - np.log2(step), abs=0.2)  # what the scheme promises


def test_a_choice_takes_its_room_and_no_other_of_its_size_loses_less():
    shares = [Share(1 << 14, Curve.of(weights(i), SCHEME), loss) for i, loss in enumerate((0.4, 0.02, 0.1))]
    room = 3 * 3.0 * (1 << 14)
    best = allot(shares, room)
    assert 0.995 * room < taken(shares, best) <= room
    steps = [STEPS[at] for at in best]
    assert steps[0] < steps[2] < steps[1]
    rng = np.random.default_rng(1)
    for _ in range(3000):
        other = [at + int(rng.integers(-90, 90)) for at in best]
        if taken(shares, other) <= taken(shares, best):
            assert lost(shares, other) >= lost(shares, best) * (1 - 1e-9)
    assert lost(shares, allot(shares, 0.9 * room)) > lost(shares, best) > lost(shares, allot(shares, 1.1 * room))


def test_equal_shares_have_equal_steps():
    shares = [Share(1 << 14, Curve.of(weights(), SCHEME), 0.1) for _ in range(3)]
    assert len({*allot(shares, 3 * 2.5 * (1 << 14))}) == 1


def test_noise_is_expected_to_be_like_the_rest_and_what_is_clear_stays():
    found = expected([0.1, 0.0, 0.1], [0.001, 0.001, 0.15], [100, 100, 100])
    assert found[0] == pytest.approx(0.1, rel=0.01)
    assert 0 < found[1] < 0.01 and found[1] >= 0.2 / 3 / FAR - 1e-12  # clear, and never nothing
    assert found[2] == pytest.approx(0.2 / 3, rel=0.1)  # hardly measured: as its weights have it
    assert all(one > 0 for one in expected([-0.1, -0.2], [0.3, 0.3], [5, 10]))
    assert all(one > 0 for one in expected([0.0], [0.0], [5]))


def test_a_place_is_a_scheme_that_keeps_the_other_options():
    found = scheme_at(EntropyCoded(4, rate=0.3), 10)
    assert found == EntropyCoded(8, step=round(float(STEPS[10]), 4), rate=0.3)
