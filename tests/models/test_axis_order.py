"""The order of the embedding axis: by range, and folded into weights that then compute the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders.numpy_bert import forward, random_model
from subbyte.compress.rounding import quantize_model
from subbyte.errors import UsageError
from subbyte.models import encoder
from subbyte.models.axis_order import inverse, order, permuted
from subbyte.models.families import encoder_of
from subbyte.numbers.schemes import Uniform

FAMILIES = {
    "bert": {},
    "bare": {"architectures": ["BertModel"]},
    "distilbert": {
        "architectures": ["DistilBertForSequenceClassification"], "model_type": "distilbert", "dim": 24,
        "n_layers": 3, "n_heads": 4, "hidden_dim": 40,
    },
    "roberta": {"architectures": ["RobertaForSequenceClassification"], "model_type": "roberta", "type_vocab_size": 1},
}  # fmt: skip
PI = np.random.default_rng(1).permutation(24)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_permuted_model_computes_the_same(family: str) -> None:
    model = random_model(**FAMILIES[family])
    ids, types = [3, 14, 15, 9, 26, 5], [0] * 6
    before, after = (forward(one, ids, types) for one in (model, permuted(model, PI)))
    assert before.keys() == after.keys() == encoder_of(model.config).points().keys()
    for point, values in before.items():
        wanted = values[:, PI] if encoder_of(model.config).points()[point].on_axis else values
        np.testing.assert_allclose(after[point], wanted, atol=1e-9, err_msg=point)
    np.testing.assert_allclose(after["layers.2.output"][:, inverse(PI)], before["layers.2.output"], atol=1e-9)


def test_orders_are_recorded_one_after_the_other_and_undone() -> None:
    model = random_model()
    twice = permuted(permuted(model, PI), PI)
    assert permuted(model, PI).permutation == tuple(PI) and twice.permutation == tuple(PI[PI])
    back = permuted(permuted(model, PI), inverse(PI))
    assert back.permutation == tuple(range(24))
    assert all(np.array_equal(back.tensors[name], w) for name, w in model.tensors.items())


def test_the_widest_dimensions_come_last_and_points_count_alike() -> None:
    assert order({"y": np.array([3.0, 1.0, 2.0, 1.0])}).tolist() == [1, 3, 2, 0]
    ranges = {"x": np.array([1.0, 0.9, 0.1, 0.2]), "y": np.array([100.0, 200.0, 10.0, 150.0]), "z": np.zeros(4)}
    assert order(ranges).tolist() == [2, 3, 0, 1]  # shares 1, 1, 0.1, 0.75


def test_outliers_stand_first_with_the_narrowest_dimensions() -> None:
    plain, spiked = np.arange(64.0, 320), np.arange(64.0, 320)
    spiked[[5, 40]] = 4000.0  # more than six standard deviations above the mean, and
    spiked[20] = 500.0  # less: wide, but no outlier
    assert order({"y": spiked}).tolist()[:4] == [5, 40, 0, 1] and order({"y": spiked})[-1] == 20
    assert set(order({"x": plain, "y": spiked}).tolist()[:2]) == {5, 40}  # at one point is enough
    assert order({"x": plain}).tolist() == list(range(256))


def test_what_cannot_be_permuted() -> None:
    model = random_model()
    for pi in (PI[:-1], np.zeros(24, int), np.arange(1, 25)):
        with pytest.raises(UsageError, match=r"numbers 0\.\.23"):
            permuted(model, pi)
    packed = quantize_model(model, dict.fromkeys([encoder.WORDS], Uniform(8)))
    with pytest.raises(UsageError, match=r"word_embeddings\.weight is quantized"):
        permuted(replace(packed, recipe={}), PI)
