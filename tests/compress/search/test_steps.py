"""The steps of entropy coded matrices: what curves say, that a choice is the best, what noise may do. Numbers only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from subbyte.compress.search.steps import FAR, PROBE, STEPS, WIDTHS, Curve, Share, allot, entropy, expected, scheme_at
from subbyte.numbers.matrices import dequantize, quantize_matrix
from subbyte.numbers.schemes import EntropyCoded

SCHEME = EntropyCoded(4)


def weights(seed: int = 0, heavy: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_t(3, 1 << 14) if heavy else rng.standard_normal(1 << 14)).astype(np.float32).reshape(64, -1)


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
    packed = [quantize_matrix(w, EntropyCoded(bits, step=float(STEPS[at]))) for bits in WIDTHS]
    probe = quantize_matrix(w, EntropyCoded(8, step=PROBE))
    narrow, wide, unit = (np.square(w - dequantize(one)).sum() for one in (*packed, probe))
    for place, one in enumerate(packed):
        values = np.unique(dequantize(one), return_counts=True)[1]
        assert curve.bits[place, at] == pytest.approx(entropy(values), abs=0.03)
    assert curve.errors[at] == pytest.approx(wide / unit, rel=0.15)
    assert curve.against_probe(float(STEPS[at])) == pytest.approx(curve.errors[at])
    assert curve.clipped[at] == pytest.approx(narrow / wide, rel=0.3)  # between knots they are not straight
    assert entropy(values) == pytest.approx(2.05 - np.log2(step), abs=0.2)  # what the scheme promises


def test_memory_is_that_of_rows_with_levels_too_large():
    w = weights()
    w[:16] = np.clip(w[:16], -0.5, 0.5)  # a quarter of the rows is small
    curve = Curve.of(w, SCHEME)
    assert (curve.memory[0] == 4).all() and (np.diff(curve.memory[1]) <= 0).all()
    rms = np.sqrt(np.square(w).mean())
    for step in (0.05, 0.1, 0.4, 1.0):
        at = int(np.abs(STEPS - step).argmin())
        levels = np.abs(np.round(w / (rms * STEPS[at]))).max(axis=1)
        assert curve.memory[1, at] == pytest.approx(4 + 4 * (levels > 7).mean(), abs=0.26)
    assert curve.memory[1, 0] == 8 and curve.memory[1, -1] == 4


def test_wide_codes_are_for_steps_at_which_narrow_ones_clip():
    def wide(share: Share) -> np.ndarray:
        return np.isfinite(share.losses()[1])

    normal, heavy = (Share(1, Curve.of(weights(heavy=one), SCHEME), 1.0) for one in (False, True))
    assert wide(normal)[STEPS < 0.3].all() and not wide(normal)[STEPS > 0.6].any()
    assert wide(heavy).sum() > wide(normal).sum()
    told = replace(normal, clipped=np.full(len(STEPS), 50.0))  # a weight out of reach spoils the outputs
    assert wide(told).all() and (told.losses()[0] >= 50 * told.losses()[1] * (1 - 1e-9)).all()


def test_a_choice_takes_its_room_and_no_other_of_its_size_loses_less():
    shares = [Share(1 << 14, Curve.of(weights(i), SCHEME), loss) for i, loss in enumerate((0.4, 0.02, 0.1))]
    room = 3 * 3.0 * (1 << 14)
    best = allot(shares, room)
    assert 0.995 * room < taken(shares, best) <= room
    steps = [STEPS[at] for _, at in best]
    assert steps[0] < steps[2] < steps[1]
    rng = np.random.default_rng(1)
    for _ in range(3000):
        other = [(int(rng.integers(2)), at + int(rng.integers(-90, 90))) for _, at in best]
        if taken(shares, other) <= taken(shares, best):
            assert lost(shares, other) >= lost(shares, best) * (1 - 1e-9)
    assert lost(shares, allot(shares, 0.9 * room)) > lost(shares, best) > lost(shares, allot(shares, 1.1 * room))


def test_equal_shares_have_equal_steps():
    shares = [Share(1 << 14, Curve.of(weights(), SCHEME), 0.1) for _ in range(3)]
    assert len({*allot(shares, 3 * 2.5 * (1 << 14))}) == 1


def test_memory_is_bounded_where_it_is_asked_for():
    shares = [Share(1 << 14, Curve.of(weights(i), SCHEME), 10.0**-i) for i in range(6)]
    room = 6 * 3.2 * (1 << 14)

    def memory(places) -> float:
        return float(np.mean([WIDTHS[width] for width, _ in places]))

    free, bound = allot(shares, room), allot(shares, room, 4.7)
    assert memory(free) > 5 and memory(bound) <= 4.7
    assert taken(shares, bound) <= room and lost(shares, bound) > lost(shares, free)
    assert memory(allot(shares, room, 4)) == 4


def test_room_that_widths_leave_is_taken_by_steps():
    """Two large shares, one of which would need all the memory: the other's step is not kept from being finer."""
    shares = [Share(1 << 14, Curve.of(weights(0), SCHEME), 0.1), Share(1 << 14, Curve.of(weights(1), SCHEME), 0.09)]
    for bits in np.arange(2.6, 3.5, 0.1):
        room = 2 * bits * (1 << 14)
        places = allot(shares, room, 6)
        assert 0.99 * room < taken(shares, places) <= room


def test_noise_is_expected_to_be_like_the_rest_and_what_is_clear_stays():
    found = expected([0.1, 0.0, 0.1], [0.001, 0.001, 0.15], [100, 100, 100])
    assert found[0] == pytest.approx(0.1, rel=0.01)
    assert 0 < found[1] < 0.01 and found[1] >= 0.2 / 3 / FAR - 1e-12  # clear, and never nothing
    assert found[2] == pytest.approx(0.2 / 3, rel=0.1)  # hardly measured: as its weights have it
    assert all(one > 0 for one in expected([-0.1, -0.2], [0.3, 0.3], [5, 10]))
    assert all(one > 0 for one in expected([0.0], [0.0], [5]))


def test_a_place_is_a_scheme_that_keeps_the_other_options():
    found = scheme_at(EntropyCoded(4, rate=0.3), (1, 10))
    assert found == EntropyCoded(8, step=round(float(STEPS[10]), 4), rate=0.3)
