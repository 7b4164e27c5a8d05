"""`quantize` with coded presets and budgets: the size is reached, the recipe gives it again, and what is refused."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

import subbyte
from builders.encoder_folders import classifier_folder, sentence_folder
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_student import tiny_student_folder
from subbyte.compress.recipes.recipe import load_recipe, parse_recipe, with_budget
from subbyte.compress.search import probes
from subbyte.errors import RecipeError, UsageError
from subbyte.folders.opening import open_model
from subbyte.numbers.granularity import RowClusters
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, EntropyCoded

FOLDERS = {
    "marian": tiny_marian_folder, "student": tiny_student_folder, "sentences": sentence_folder,
    "classifier": classifier_folder,
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of tiny models have ranges too."""
    monkeypatch.setattr(probes, "FEWEST_WORDS", 16)
    monkeypatch.setattr(probes, "RANGES", RowClusters(count=2, ratio=2))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text").write_text("".join(f"a dog runs past {n} houses\n" for n in range(60)))
    return tmp_path / "text"


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_size_is_reached_and_the_recipe_gives_the_same_model(tmp_path: Path, text: Path, kind: str) -> None:
    folder = FOLDERS[kind](tmp_path / "model")
    calls: list[tuple[str, int, int | None]] = []
    document = subbyte.quantize(
        folder, tmp_path / "out", budget="7.5bits", calibration=text, progress=lambda *call: calls.append(call)
    )
    size = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert 8 * size / open_model(folder).parameters == pytest.approx(document["average_bits"])
    assert 7.35 <= document["average_bits"] <= 7.65
    phases = [*dict.fromkeys(name for name, *_ in calls)]
    assert phases[:3] == ["reading the text", "calibrating", "measuring"] and "rounding to budget-7.5bits" in phases
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    found = report["budget"].pop("nats" if kind in ("marian", "student") else "distance")
    assert found > 0 and report["budget"] == {"text": "7.5bits", "lines": 20} and report["recipe"] == "budget-7.5bits"
    assert {tensor["rule"] for tensor in report["tensors"].values()} == {"--budget 7.5bits"}
    recipe = tmp_path / "out" / "recipe.toml"
    assert f"{size:,} bytes" in recipe.read_text("utf-8")
    tables = tomllib.loads(recipe.read_text("utf-8"))["tensors"]
    assert {table["family"] for table in tables} == {"entropy_coded"} and len({table["step"] for table in tables}) > 1
    assert any(len(table.get("clusters", {}).get("each", ())) == 2 for table in tables)
    subbyte.quantize(folder, tmp_path / "again", recipe, calibration=text)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_size_needs_no_text_where_none_ships(tmp_path: Path) -> None:
    """The tiny student's languages are none: every weight counts alike, and goes to the nearest level."""
    document = subbyte.quantize(tiny_student_folder(tmp_path / "model"), tmp_path / "out", budget="7bits", check=False)
    assert 6.86 <= document["average_bits"] <= 7.14
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["budget"] == {"text": "7bits"} and report["calibration"] is None
    assert "no text to measure on" in (tmp_path / "out" / "recipe.toml").read_text("utf-8")


@pytest.mark.parametrize("name", ["coded4", "coded3.5", "coded3", "coded2.5"])
def test_a_preset_has_the_size_in_its_name(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.budget == f"{name.removeprefix('coded')}bits" and recipe.entropy_coded and not recipe.models
    folder = classifier_folder(tmp_path / "model", hidden_size=256, intermediate_size=512, num_attention_heads=4)
    document = subbyte.quantize(folder, tmp_path / "out", name, check=False)
    assert document["average_bits"] == pytest.approx(float(name.removeprefix("coded")), rel=0.02)


@pytest.mark.parametrize("budget", ["0.5bits", "30bits"])
def test_a_budget_out_of_reach_is_refused_before_the_work(
    tmp_path: Path, text: Path, budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subbyte.compress.translation.grams_of", None)
    folder = tiny_student_folder(tmp_path / "model")
    with pytest.raises(UsageError, match=r"the weights of this model take [\d,]+ to [\d,]+ bytes \([\d.]+bits to"):
        subbyte.quantize(folder, tmp_path / "out", budget=budget, calibration=text)
    assert not (tmp_path / "out").exists()


def test_a_budget_takes_the_place_of_the_size_of_a_recipe() -> None:
    found = with_budget(load_recipe("coded4"), "6 MB")
    assert found.budget == "6MB" and found.name == "budget-6MB" and found.rules == load_recipe("coded4").rules
    uniform = load_recipe("uniform4")
    assert with_budget(uniform, "6MB") == uniform and not uniform.entropy_coded
    with pytest.raises(UsageError, match="should be like"):
        with_budget(uniform, "6 parsecs")


def test_faults_of_a_size_in_a_recipe_are_named() -> None:
    rule = '[[tensors]]\nmatch = "*"\nfamily = "{}"\nbits = 4\n'
    assert parse_recipe(f'budget = "3MB"\n{rule.format("entropy_coded")}', "here", "r").budget == "3MB"
    for budget, family, message in (
        ('"3"', "entropy_coded", "budget is '3', should be like 2.6bits"),
        ("3", "entropy_coded", "budget is '3', should be like"),
        ('"3bits"', "uniform", 'steps of matrices of family "entropy_coded"'),
    ):
        with pytest.raises(RecipeError) as e:
            parse_recipe(f"budget = {budget}\n{rule.format(family)}", "here", "r")
        assert message in str(e.value)


def test_other_matrices_are_as_the_recipe_says(tmp_path: Path, text: Path) -> None:
    (tmp_path / "mixed.toml").write_text(
        'budget = "9bits"\n[[tensors]]\nmatch = "*"\nfamily = "entropy_coded"\nbits = 4\n'
        '[[tensors]]\nrole = "feed_forward"\nfamily = "uniform"\nbits = 8\n'
    )
    folder = tiny_student_folder(tmp_path / "model")
    document = subbyte.quantize(folder, tmp_path / "out", tmp_path / "mixed.toml", calibration=text)
    assert 8.82 <= document["average_bits"] <= 9.18
    coded = {one["role"]: one["scheme"].startswith("entropy_coded") for one in document["tensors"] if one["role"]}
    assert {role for role in coded if not coded[role]} == {role for role in coded if "feed_forward" in role} != set()


def test_what_is_measured_is_one_share_at_a_time(tmp_path: Path) -> None:
    """The rest is in int8; a share that breaks the model gets a step that is smaller, not one that is nothing."""
    model = open_model(tiny_student_folder(tmp_path / "model"))
    schemes = probes.ranged(model, {name: EntropyCoded(4) for name in model.roles})
    words = [name for name, scheme in schemes.items() if isinstance(scheme, Clustered)]
    assert words == [name for name, role in model.roles.items() if role.kind in ("embedding", "output")]
    asked = []

    def lost(changed):
        coarse = [name for name in model.roles if not same(changed.tensors[name], base.tensors[name])]
        asked.append(coarse)
        return np.array([np.nan, np.inf] if len(asked) == 1 else [0.1, 0.1])

    def ask(of):
        nonlocal base
        base = of
        return lost

    base = model
    shares = probes.measured(model, schemes, {}, ask)
    order = [name for name, scheme in schemes.items() for _ in range(2 if isinstance(scheme, Clustered) else 1)]
    assert asked == [[name] for name in order]
    losses = [share.loss for of_matrix in shares.values() for share in of_matrix]
    assert losses[0] > 10 * max(losses[1:]) and min(losses) > 0


def same(one: PackedMatrix, other: PackedMatrix) -> bool:
    return one is other or all(
        a.codes.shape == b.codes.shape and (a.codes == b.codes).all()
        for a, b in zip(one.blocks, other.blocks, strict=True)
    )
