"""The analysis finds what was planted: exactly these dimensions, at this place, and the recipe that helps."""

from __future__ import annotations

import pytest

import subbyte
from builders.planted_bert import LAYERS, OUTLIERS, WIDTH, planted, texts
from subbyte.compress.candidates import CANDIDATES
from subbyte.measure.analysis.keeping import LIMITS


def analysis(tmp_path, **options):
    data = tmp_path / "texts.txt"
    data.write_text("".join(f"{line}\n" for line in texts()), "utf-8")
    return subbyte.analyze(planted(tmp_path / "model", **options), data, threads=1)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return analysis(tmp_path_factory.mktemp("planted"))


def test_names_exactly_the_planted_dimensions_and_layers(found):
    layers = {one["dimension"]: tuple(one["layers"]) for one in found["residual"]}
    assert layers == dict.fromkeys(OUTLIERS, LAYERS)
    (sentence,) = (one for one in found["findings"] if "dimensions have any" in one)
    assert f"2 of {WIDTH} dimensions" in sentence and "17 and 90 have 100%" in sentence
    (sentence,) = (one for one in found["findings"] if "farthest of the sums" in one)
    assert "dimension 17 has 50% of the outliers" in sentence


@pytest.mark.parametrize("layer", range(3))
def test_every_token_has_them_in_the_planted_layers_alone(found, layer):
    (point,) = (one for one in found["points"] if one["name"] == f"layers.{layer}.ffn_sum")
    wanted = found["tokens"] if layer in LAYERS else 0
    assert {one["dimension"]: one["outliers"] for one in point["dimensions"]} == (
        dict.fromkeys(OUTLIERS, wanted) if wanted else {}
    )
    assert point["outliers"] == wanted * len(OUTLIERS) and point["share"] == pytest.approx(
        point["outliers"] / point["values"], rel=1e-4
    )
    if wanted:
        assert all(one["outliers"] == 2 * one["read"] for one in point["tokens"])
        assert {"[CLS]", "[SEP]"} <= {one["token"] for one in point["tokens"]}
        assert -303 < point["low"][90] <= point["high"][90] < -297 < 297 < point["low"][17]


def test_leaving_out_the_sum_is_what_helps(found):
    of = found["leave_one_out"]
    recovered = {one["family"]: one["recovered"] for one in of["families"]}
    assert not LIMITS["vectors"].keeps(of["all"])
    assert recovered.pop("ffn_sum") > 0.8 and max(recovered.values()) < 0.2
    alone = {one["family"]: one["alone"]["distance"] for one in of["families"]}
    assert max(alone, key=lambda family: alone[family]) == "ffn_sum"
    assert any(
        one.startswith("The cause is ffn_sum (y in the paper): leave these 3 of 42") for one in found["findings"]
    )


def test_both_remedies_help_and_are_told_with_their_noise(found):
    distances = {one["recipe"]: one["quality"]["distance"] for one in found["leave_one_out"]["remedies"]}
    assert [*distances] == ["w8a8", "w8a8-mixed", "w8a8-peg"]
    assert max(distances["w8a8-mixed"], distances["w8a8-peg"]) < 0.2 * distances["w8a8"]
    (sentence,) = (one for one in found["findings"] if one.startswith("Activations move the answers"))
    for recipe in ("w8a8-mixed", "w8a8-peg"):
        assert f"{recipe} (" in sentence and "is closer, by 0." in sentence


def test_what_is_recommended_follows_from_the_figures(found):
    """With these outliers a fixed range for a tensor is no good, whatever the weights have."""
    kept = [one for one in found["sizes"] if one["keeps"]]
    assert kept and found["recommended"]["keeps"]
    (taken,) = (
        one
        for one in kept
        if (one["name"], one["calibrated"]) == (found["recommended"]["recipe"], found["recommended"]["calibrated"])
    )
    assert taken["bytes"] <= 1.02 * min(one["bytes"] for one in kept)
    assert found["recommended"]["recipe"] not in ("w8a8", "uniform2", "normal3", "uniform3")
    assert found["findings"][0] == found["recommended"]["command"]


def test_every_preset_that_fits_is_measured(found):
    names = {one["name"] for one in found["sizes"]}
    assert {*CANDIDATES["encoder"], "w8a8", "w8a8-mixed", "w8a8-peg", "normal4", "uniform2"} <= names
    both = {(one["name"], one["calibrated"]) for one in found["sizes"]}
    assert {("encoder4", True), ("encoder4", False), ("w4a8", True), ("int8", False)} <= both
    assert found["left_out"] == []


def test_float32_is_no_distance_away_from_itself(found):
    assert found["leave_one_out"]["float32"]["distance"] == pytest.approx(0, abs=1e-9)


def test_without_them_nothing_is_found_and_nothing_advised(tmp_path):
    found = analysis(tmp_path, outliers=False)
    assert found["residual"] == []
    assert any(one.startswith("No activation breaks the model") for one in found["findings"])
