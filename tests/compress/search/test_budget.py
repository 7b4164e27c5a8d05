"""`quantize --budget`: what is measured, that the budget is kept on the disk, and that the recipe can be used again."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest

import subbyte
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import EVERY_KIND
from builders.tiny_student import tiny_student_folder
from subbyte.compress.calibration.translation import grams
from subbyte.compress.recipes.recipe import load_recipe, parse_recipe, resolve
from subbyte.compress.rounding import quantize_model
from subbyte.compress.search import sensitivity
from subbyte.compress.search.budget import blank_size, choice, offered, parse_budget
from subbyte.compress.search.choosing import Cost, widths
from subbyte.compress.search.sensitivity import measure
from subbyte.errors import UsageError
from subbyte.folders.converted.saving import weights_size
from subbyte.folders.opening import open_model
from subbyte.models import translation
from subbyte.numbers.matrices import blank_matrix
from subbyte.numbers.schemes import BinaryCoding, Normal, Uniform
from subbyte.text.tokenizer import load_tokenizer

OFFERED = (*widths(Normal(1)), *widths(BinaryCoding(1))[1:], *widths(Uniform(2, mode="affine"))[1:])
LINES = [f"a dog runs past {n} houses" for n in range(40)]
FAST = """[[tensors]]
match = "*"
family = "uniform"
bits = 4
range = "minmax"
"""


@pytest.fixture(autouse=True)
def few_probes(monkeypatch):
    """Two widths and few rows are measured, so that tests are fast."""
    monkeypatch.setattr(sensitivity, "PROBES", (2, 3))
    monkeypatch.setattr(sensitivity, "SAMPLE", 8)


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").write_text("\n".join(LINES) + "\n")
    return tmp_path / "text"


@pytest.fixture
def fast(tmp_path):
    (tmp_path / "fast.toml").write_text(FAST)
    return tmp_path / "fast.toml"


def costs_of(model, schemes, seed=0):
    """Made-up costs, one range of words in the first matrix and in all others one range at all."""
    generator = np.random.default_rng(seed)
    found = {}
    for i, (name, several) in enumerate(schemes.items()):
        rows = model.tensors[name].shape[0]
        parts = [rows // 4, rows - rows // 4] if i == 0 else [rows]
        errors = {one: 4.0**-one.bits for one in several}
        found[name] = tuple(Cost(part, {several[0]: float(generator.uniform(0.01, 1))}, errors) for part in parts)
    return found


def test_budgets_are_read():
    assert parse_budget("2.5bits", 1000).bytes == 312
    sizes = {
        "3MB": 3e6,
        " 3 MB ": 3e6,
        "1.5kB": 1500,
        "2KiB": 2048,
        ".5MiB": 1 << 19,
        "1GB": 1e9,
        "7B": 7,
        "1 bit": 125,
    }
    assert {text: parse_budget(text, 1000).bytes for text in sizes} == sizes
    for wrong in ("", "3", "MB", "3mb", "-3MB", "1e3MB", "3 parsecs", "nanbits", "2,6bits"):
        with pytest.raises(UsageError, match=r"should be like 2\.6bits .* or 3MB; units: B kB MB GB KiB MiB GiB bits"):
            parse_budget(wrong, 1000)


@pytest.mark.parametrize("student", [False, True])
def test_a_blank_model_has_the_size_of_a_real_one(tmp_path, student):
    model = open_model((tiny_student_folder if student else tiny_marian_folder)(tmp_path / "model"))
    schemes = resolve(parse_recipe(EVERY_KIND, "test", "test"), model)
    assert blank_size(model, schemes) == weights_size(quantize_model(model, schemes))
    for name, scheme in schemes.items():
        blank = blank_matrix(model.tensors[name].shape, scheme)
        real = quantize_model(model, {name: scheme}).tensors[name]
        assert (blank.shape, blank.group_size, blank.scheme) == (real.shape, real.group_size, real.scheme)
        for mine, its in zip(blank.blocks, real.blocks, strict=True):
            for field in ("codes", "scale", "alphas", "zero"):
                one, other = getattr(mine, field), getattr(its, field)
                assert (one is None) == (other is None)
                assert one is None or (one.shape, one.dtype) == (other.shape, other.dtype), field


def test_the_choice_fits_closely_and_never_loses_more_for_more(tiny_folder):
    model = open_model(tiny_folder)
    schemes = dict.fromkeys(model.roles, OFFERED)
    costs = costs_of(model, schemes)
    ends = [blank_size(model, {name: several[i] for name, several in schemes.items()}) for i in (0, -1)]
    losses = []
    for limit in np.linspace(ends[0], ends[1] + 1000, 6).astype(int):
        chosen = choice(model, schemes, costs, int(limit))
        size = blank_size(model, {name: option.scheme for name, option in chosen.items()})
        assert size <= limit and (size > 0.99 * limit or limit > ends[1] - 1000)
        losses.append(sum(option.loss for option in chosen.values()))
    assert losses == sorted(losses, reverse=True) and losses[0] > losses[-1]


@pytest.mark.parametrize("student", [False, True])
def test_the_budget_is_kept_and_the_recipe_gives_the_same_model(tmp_path, text, fast, student, monkeypatch):
    monkeypatch.setattr(
        "subbyte.folders.converted.saving.producer", lambda: "subbyte 10.0"
    )  # at which the header's filling is short
    folder = (tiny_student_folder if student else tiny_marian_folder)(tmp_path / "model")
    words = tmp_path / "words"
    words.write_text("houses houses dog\n")
    options = {"calibration": text, "frequencies": words, "check": False}
    calls: list[tuple[str, int, int | None]] = []
    document = subbyte.quantize(
        folder, tmp_path / "out", fast, budget="9.6bits", progress=lambda *call: calls.append(call), **options
    )
    size = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert 9.4 < document["average_bits"] <= 9.6
    assert calls[0] == ("reading the text", 27, 27)
    assert [*dict.fromkeys(name for name, *_ in calls)] == [
        "reading the text",
        "measuring",
        "calibrating",
        "rounding to budget-9.6bits",
    ]
    recipe = tmp_path / "out" / "recipe.toml"
    assert f"{size:,} bytes" in recipe.read_text("utf-8") and '"text"' in recipe.read_text("utf-8")
    assert "recipe.toml" in subbyte.verify(tmp_path / "out")
    bits = {tensor["bits"] for tensor in document["tensors"] if tensor["role"]}
    assert len(bits) > 1 and {table["range"] for table in tomllib.loads(recipe.read_text("utf-8"))["tensors"]} == {
        "minmax"
    }
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert (
        report["budget"]["text"] == "9.6bits" and report["budget"]["nats"] > 0 and report["recipe"] == "budget-9.6bits"
    )
    subbyte.quantize(folder, tmp_path / "again", recipe, **options)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_every_width_of_the_recipe_is_offered(tiny_folder):
    mixed = offered(open_model(tiny_folder), load_recipe("nmt-mixed"))
    assert mixed[translation.SHARED] == [BinaryCoding(bits) for bits in (1, 2, 3, 4)]


@pytest.mark.parametrize("budget", ["1bits", "100B"])
def test_too_small_a_budget_is_refused_before_the_work(tiny_folder, tmp_path, text, monkeypatch, budget):
    monkeypatch.setattr("subbyte.compress.search.budget.grams_of", None)
    with pytest.raises(
        UsageError, match=r"but the weights of this model take [\d,]+ to [\d,]+ bytes \([\d.]+bits to"
    ) as e:
        subbyte.quantize(tiny_folder, tmp_path / "out", budget=budget, calibration=text)
    least = str(e.value).split("(")[1].split(" ")[0]
    assert parse_budget(least, 30000).bytes > parse_budget(budget, 30000).bytes and not (tmp_path / "out").exists()


def test_the_least_budget_is_possible(tiny_folder):
    model = open_model(tiny_folder)
    schemes = dict.fromkeys(model.roles, OFFERED)
    least = blank_size(model, {name: BinaryCoding(1) for name in schemes})
    chosen = choice(model, schemes, costs_of(model, schemes), least)
    assert blank_size(model, {name: option.scheme for name, option in chosen.items()}) <= least


def test_a_budget_needs_a_text_and_something_must_say_the_bits(tiny_folder, tmp_path):
    with pytest.raises(UsageError, match="a budget with recipe uniform4 needs a calibration text"):
        subbyte.quantize(tiny_folder, tmp_path / "out", "uniform4", budget="9bits")
    with pytest.raises(UsageError, match="name a recipe, or leave the check on"):
        subbyte.quantize(tiny_folder, tmp_path / "out", check=False)


def test_each_matrix_is_measured_and_wider_ones_lose_less(tiny_folder):
    model = open_model(tiny_folder)
    tokenizer = load_tokenizer(model.folder, model.config)
    first, second = (f"model.decoder.layers.0.{name}.weight" for name in ("fc1", "fc2"))
    schemes = {name: [Uniform(bits, mode="affine", range="minmax") for bits in (2, 3, 4)] for name in (first, second)}
    sentences = [tokenizer.encode(line) for line in LINES[:12]]
    calls = []
    found = measure(model, sentences, grams(model, tokenizer, LINES), schemes, progress=lambda *c: calls.append(c))
    assert calls == [(i, 4) for i in range(1, 5)] and found.tokens > 12
    losses = {name: [cost.loss(one) for one in schemes[name]] for name, (cost,) in found.costs.items()}
    for two, three, four in losses.values():
        assert two >= three >= four > 0


def test_words_are_measured_by_ranges_of_falling_frequency(tiny_folder, monkeypatch):
    model = open_model(tiny_folder)
    rows = model.tensors[translation.SHARED].shape[0]
    counts = np.arange(rows)
    changed = []
    monkeypatch.setattr(sensitivity, "translations", lambda *_: [[0]])
    monkeypatch.setattr(sensitivity, "log_probabilities", lambda engine, *_: [0.0])
    monkeypatch.setattr(sensitivity, "Engine", lambda model, **_: changed.append(model.tensors[translation.SHARED]))
    schemes = {translation.SHARED: [Uniform(2)]}
    found = measure(model, [[0]], {}, schemes, {translation.SHARED: counts})
    costs = found.costs[translation.SHARED]
    assert sum(cost.rows for cost in costs) == rows and [cost.rows for cost in costs] == sorted(
        cost.rows for cost in costs
    )
    for i, cost in enumerate(costs):
        (moved,) = np.nonzero((changed[i + 1] != model.tensors[translation.SHARED]).any(axis=1))
        last = sum(cost.rows for cost in costs[: i + 1])
        assert set(moved) <= set(range(rows - last, rows - last + cost.rows)) and len(moved) > 0.8 * cost.rows


def test_noise_is_not_taken_for_a_gain(tiny_folder, monkeypatch):
    """A matrix whose rounding seems to help costs its standard error; one that breaks the model costs much."""
    name = "model.decoder.layers.0.fc1.weight"
    scores = iter([[-1.0] * 4, [-0.5, -1.0, -0.5, -1.0], [-1.0, -1.0, np.nan, -np.inf]])
    monkeypatch.setattr(sensitivity, "log_probabilities", lambda *_: next(scores))
    model = open_model(tiny_folder)
    ((cost,),) = measure(model, [[5, 0]], {}, {name: [Uniform(2), Uniform(3)]}).costs.values()
    assert {*cost.losses.values()} == {0.125, 50.0}
