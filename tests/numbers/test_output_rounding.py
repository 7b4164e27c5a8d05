"""Rounding that keeps outputs: better than nearest where inputs are alike, the same where nothing is known of them."""

from __future__ import annotations

import numpy as np
import pytest

from subbyte.compress.calibration.translation import grams
from subbyte.compress.recipes.recipe import load_recipe, resolve
from subbyte.compress.rounding import quantize_model
from subbyte.folders.opening import open_model
from subbyte.numbers.gram_sums import GramSums
from subbyte.numbers.granularity import PerGroup, PerRow, PerTensor, group_size, grouped
from subbyte.numbers.matrices import dequantize, quantize_matrix
from subbyte.numbers.output_rounding import SWEEPS, Columns, columns_of, steps, within
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import SCHEMES, EntropyCoded, Params, Scheme, from_plain
from subbyte.text.tokenizer import load_tokenizer

NEAREST = {EntropyCoded: {"dead_zone": 0.0, "rate": 0.0}}  # by error alone, as all others
SCHEMES_TRIED = [
    kind(bits=bits, granularity=granularity, **NEAREST.get(kind, {}))
    for kind in SCHEMES.values()
    for bits in (2, 3, 4)
    for granularity in (PerTensor(), PerRow(), PerGroup(16))
] + [from_plain({"family": "uniform", "bits": bits, "mode": "affine", "granularity": "row"}) for bits in (3, 4, 6, 8)]


def weights(rows: int = 40, cols: int = 96) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, cols)).astype(np.float32)


def inputs(cols: int = 96) -> np.ndarray:
    """Inputs that hold a dozen numbers, and a little noise."""
    rng = np.random.default_rng(1)
    return (rng.normal(size=(2000, 12)) @ rng.normal(size=(12, cols)) + 0.3 * rng.normal(size=(2000, cols))).astype(
        "f4"
    )


def output_error(w: np.ndarray, packed: PackedMatrix, x: np.ndarray) -> float:
    return float(np.square(x @ (w - dequantize(packed)).T, dtype=np.float64).sum())


@pytest.mark.parametrize("scheme", SCHEMES_TRIED, ids=str)
def test_outputs_are_kept_better_than_by_nearest_rounding(scheme):
    w, x = weights(), inputs()
    plain = output_error(w, quantize_matrix(w, scheme), x)
    assert output_error(w, quantize_matrix(w, scheme, gram=(x.T @ x).astype(np.float64)), x) < 0.5 * plain


@pytest.mark.parametrize("scheme", SCHEMES_TRIED, ids=str)
def test_inputs_that_have_nothing_in_common_change_nothing(scheme):
    w = weights()
    plain, kept = quantize_matrix(w, scheme), quantize_matrix(w, scheme, gram=7 * np.eye(96))
    np.testing.assert_array_equal(dequantize(kept), dequantize(plain))


@pytest.mark.parametrize("granularity", [PerTensor(), PerRow(), PerGroup(16)], ids=str)
def test_what_is_out_of_reach_does_not_move_the_others(granularity):
    """A weight of 1,000 root mean squares is lost; its row stays near to what it was."""
    scheme, (w, x) = EntropyCoded(8, granularity, step=0.2), (weights(), inputs())
    gram = (x.T @ x).astype(np.float64)
    far = w.copy()
    far[3, 5] = 1000 * np.sqrt(np.mean(w**2))
    scale = EntropyCoded(8, granularity, step=0.2).fit(grouped(far, granularity))["scale"]
    lost = abs(dequantize(quantize_matrix(far, scheme, gram=gram)) - w)
    lost[3, 5] = 0
    assert lost[3].max() < 4 * float(scale.max())


def test_every_cluster_is_rounded_with_its_own_bits():
    scheme = from_plain({"family": "uniform", "bits": 4, "clusters": {"count": 3, "ratio": 2}})
    w, x = weights(), inputs()
    gram = (x.T @ x).astype(np.float64)
    plain, kept = quantize_matrix(w, scheme), quantize_matrix(w, scheme, gram=gram)
    np.testing.assert_array_equal(kept.cluster, plain.cluster)
    assert [block.bits for block in kept.blocks] == [4, 3, 2]
    for cluster in range(3):
        rows = kept.cluster == cluster
        lost = [np.square(x @ (w - dequantize(packed))[rows].T).sum() for packed in (kept, plain)]
        assert lost[0] < 0.5 * lost[1]


@pytest.mark.parametrize("gram", [np.zeros((96, 96)), np.diag([0.0] * 50 + [1.0] * 46)], ids=["none", "half"])
def test_inputs_that_are_always_zero_are_no_trouble(gram):
    scheme = from_plain({"family": "uniform", "bits": 4})
    kept, nearest = (dequantize(quantize_matrix(weights(), scheme, gram=g)) for g in (gram, None))
    np.testing.assert_array_equal(kept, nearest)


def defined(w: np.ndarray, columns: Columns, scheme: Scheme, params: Params) -> np.ndarray:
    """What the compensated matrix stands for, column by column in float64, by the scheme's own encode and decode."""
    rows, cols = w.shape
    shape = (1, 1, rows) if scheme.granularity == PerTensor() else (rows, 1, 1)
    size = group_size(scheme.granularity, cols)
    found = np.empty_like(w)
    if isinstance(scheme, EntropyCoded):
        w = within(w, steps(scheme, params)[1], size)

    def rounded(at: int, values: np.ndarray) -> np.ndarray:
        group = at // size
        of_group = {key: p if p.shape[1] == 1 else p[:, group : group + 1] for key, p in params.items()}
        return scheme.decode(scheme.encode(values.astype(np.float32).reshape(shape), of_group), of_group).ravel()

    rest = w.astype(np.float64)[:, columns.order]
    for j, at in enumerate(columns.order):
        found[:, at] = rounded(at, rest[:, j])
        rest[:, j + 1 :] -= np.outer((rest[:, j] - found[:, at]) / columns.spread[j, j], columns.spread[j, j + 1 :])
    slope = (w.astype(np.float64) - found)[:, columns.order] @ columns.gram
    for _ in range(SWEEPS):
        for j, at in enumerate(columns.order):
            before = found[:, at].copy()
            found[:, at] = rounded(at, before + slope[:, j] / columns.gram[j, j])
            slope -= np.outer(found[:, at] - before, columns.gram[j])
    return found


@pytest.mark.parametrize("scheme", SCHEMES_TRIED, ids=str)
def test_the_core_rounds_as_defined(scheme):
    w, x = weights(), inputs()
    columns = Columns.of((x.T @ x).astype(np.float64))
    params = scheme.fit(grouped(w, scheme.granularity))
    codes = columns.encode(w, params, scheme, threads=1)
    values = scheme.decode(grouped(codes, scheme.granularity), params).reshape(w.shape)
    wanted = defined(w, columns, scheme, params)
    assert np.mean(values == wanted) > 0.99  # one code that falls otherwise, for sums in another order, moves its row
    errors = [np.square(x @ (w - one).T, dtype=np.float64).sum() for one in (values, wanted)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-2)
    np.testing.assert_array_equal(columns.encode(w, params, scheme, threads=3), codes)


@pytest.mark.parametrize("bits", range(1, 9))
def test_encoding_is_a_flight_of_steps(bits):
    """Any weight, and above all those beside a border, goes to the value that `encode` has it go to."""
    kinds = [from_plain({"family": "uniform", "bits": bits, "mode": mode, "granularity": granularity})
             for mode in ("symmetric", "midrise", "affine") for granularity in ("row", "tensor", {"group": 16})
             if mode != "midrise" or bits < 8]  # fmt: skip
    kinds += [from_plain({"family": family, "bits": bits, "granularity": granularity})
              for family, most in (("normal", 6), ("logarithmic", 4), ("binary_coding", 4)) if bits <= most
              for granularity in ("row", "tensor", {"group": 16})]  # fmt: skip
    rng = np.random.default_rng(bits)
    for scheme in kinds:
        w = grouped(weights(24, 32) * rng.choice([1e-3, 1.0, 300.0], (24, 1)).astype(np.float32), scheme.granularity)
        w[..., :3] = 0
        params = scheme.fit(w)
        codes, values, borders = steps(scheme, params)
        tried = [w, np.where(np.isfinite(borders), borders, 0), values, np.zeros_like(values), -0.0 * values]
        for far in (1, 2, 5):
            for toward in (np.float32(-np.inf), np.float32(np.inf)):
                moved = np.where(np.isfinite(borders), borders, 0)
                for _ in range(far):
                    moved = np.nextafter(moved, toward)
                tried.append(moved)
        for one in tried:
            one = np.where(abs(one) < np.finfo(np.float32).tiny, 0, one).astype(np.float32)
            place = (one[..., None] >= borders[..., None, :]).sum(-1)
            wanted = scheme.decode(scheme.encode(one, params), params)
            np.testing.assert_array_equal(np.take_along_axis(values, place, -1), wanted, err_msg=str(scheme))
            # codes may differ where several stand for one value, as planes with an alpha of 0 have them
            given = scheme.decode(np.take_along_axis(codes, place, -1), params)
            np.testing.assert_array_equal(given, wanted, err_msg=str(scheme))


def test_the_factor_is_that_of_the_inverse():
    for cols in (1, 5, 64, 65, 200, 333):
        x = np.random.default_rng(cols).normal(size=(2 * cols + 9, cols)) * np.linspace(1, 3, cols)
        columns = Columns.of(x.T @ x)
        spread = columns.spread.astype(np.float64)
        np.testing.assert_array_equal(spread, np.triu(spread))
        np.testing.assert_allclose(spread.T @ spread @ columns.gram, np.eye(cols), atol=1e-4)
        assert (np.diff(np.diag(columns.gram)) <= 0).all() and (np.diag(spread) > 0).all()


def test_matrices_with_the_same_inputs_share_a_sum():
    rng = np.random.default_rng(0)
    batches = [[rng.normal(size=(rows, 8)).astype(np.float32) for _ in range(2)] for rows in (5, 1, 7)]
    sums = GramSums()
    for number, (x, y) in enumerate(batches):
        # c is by chance what a is, but not in the last batch; d and e have nothing at first
        named = {"a": x, "b": x.copy(), "c": x if number < 2 else y}
        named |= {"d": y[:0] if number == 0 else y, "e": x[:0] if number == 0 else x}
        sums.add(named.items())
    found = sums.sums()
    wanted = {
        "a": [x for x, _ in batches],
        "c": [batches[0][0], batches[1][0], batches[2][1]],
        "d": [y for _, y in batches[1:]],
        "e": [x for x, _ in batches[1:]],
    }
    assert found["a"] is found["b"] and found["c"] is not found["a"]
    for name, parts in wanted.items():
        np.testing.assert_allclose(found[name], sum(x.astype(np.float64).T @ x for x in parts), atol=1e-5)


def test_sums_serve_several_recipes(tiny_folder):
    model = open_model(tiny_folder)
    sums = grams(model, load_tokenizer(model.folder, model.config), [f"a dog runs past {n} houses" for n in range(40)])
    made = columns_of(sums)
    query, key = (f"model.encoder.layers.0.self_attn.{one}_proj.weight" for one in "qk")
    assert sums[query] is sums[key] and made[query] is made[key] and len({*map(id, made.values())}) < len(made)
    for recipe in ("uniform4", "binary2"):
        schemes = resolve(load_recipe(recipe), model)
        once, again = (quantize_model(model, schemes, grams=one) for one in (sums, made))
        assert list(once.tensors) == list(again.tensors) == list(model.tensors)
        for name in model.roles:
            for first, second in zip(once.tensors[name].blocks, again.tensors[name].blocks, strict=True):
                np.testing.assert_array_equal(first.codes, second.codes)
