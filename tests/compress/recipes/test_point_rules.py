"""Rules of activation points: the presets of encoders with the papers' numbers, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders.numpy_bert import BASE, TINY, described
from subbyte.compress.recipes.point_rules import Rounding
from subbyte.compress.recipes.recipe import load_recipe, parse_recipe, resolve, resolve_points, resolved
from subbyte.errors import RecipeError
from subbyte.models import encoder
from subbyte.models.families import encoder_of
from subbyte.numbers.schemes import Clustered

ENCODERS = "w8a8 w8a8-mixed w8a8-peg w8a8-turned w4a8 w4a8-emb2 mkq-4-8 w4a4".split()
BARE = {"architectures": ["BertModel"]}
DISTILBERT = {
    "architectures": ["DistilBertForSequenceClassification"], "model_type": "distilbert", "dim": 768, "n_layers": 6,
    "n_heads": 12, "hidden_dim": 3072,
}  # fmt: skip
MINILM = BASE | {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
XHY = ("ffn_input", "ffn_output", "ffn_sum")


def bits_of(name: str, config: dict[str, Any]) -> dict[str, int]:
    """Matrix -> bits under a preset."""
    schemes = resolve(load_recipe(name), described(config))
    return {tensor: scheme.bits for tensor, scheme in schemes.items() if not isinstance(scheme, Clustered)}


def numbers(config: dict[str, Any]) -> dict[str, int]:
    """Tensor -> how many numbers it has."""
    sizes = {}
    for name, shape in encoder_of(config).specification().shapes.items():
        sizes[name] = shape[0] * (shape[1] if len(shape) == 2 else 1)
    return sizes


# --- the presets, and the numbers of the papers


@pytest.mark.parametrize("overrides", [{}, BARE, DISTILBERT, MINILM])
@pytest.mark.parametrize("name", ENCODERS)
def test_every_preset_covers_every_matrix_and_every_point(name: str, overrides: dict[str, Any]) -> None:
    model = described(BASE | overrides)
    recipe = load_recipe(name)
    assert (recipe.name, recipe.activations) == (name, "static") and recipe.description
    assert resolve(recipe, model).keys() == model.roles.keys()
    assert resolve_points(recipe, model)


def test_bert_base_has_161_quantizers_and_36_of_them_at_16_bits() -> None:
    model = described(BASE)
    assert set(resolve_points(load_recipe("w8a8"), model).values()) == {Rounding(8)}
    assert len(resolve_points(load_recipe("w8a8"), model)) == 161
    mixed = resolve_points(load_recipe("w8a8-mixed"), model)
    wide = {point for point, rounding in mixed.items() if rounding.bits == 16}
    assert len(mixed) == 161 and len(wide) == 36
    assert wide == {f"layers.{i}.{name}" for i in range(12) for name in XHY}
    groups = resolve_points(load_recipe("w8a8-peg"), model)
    assert load_recipe("w8a8-peg").permute and len(groups) == 161
    assert {point for point, rounding in groups.items() if rounding.groups == 6} == wide
    assert {rounding.bits for rounding in groups.values()} == {8}


def test_the_parameters_of_groups_are_next_to_nothing() -> None:
    """Per layer d + 2 * 3 * K in the paper; one order for all layers needs d once."""
    groups = resolve_points(load_recipe("w8a8-peg"), described(BASE))
    parameters = sum(2 * rounding.groups for rounding in groups.values() if rounding.groups > 1)
    assert parameters == 12 * 36 and 12 * 768 + parameters == 9648


@pytest.mark.parametrize(
    ("weights", "words", "tables", "gamma", "ratio"),
    [(8, 8, 8, 8, 3.99), (6, 6, 6, 6, 5.31), (4, 4, 4, 4, 7.95), (4, 2, 4, 4, 8.89), (4, 2, 8, 32, 8.85)],
)
def test_memory_of_bert_base(weights: int, words: int, tables: int, gamma: int, ratio: float) -> None:
    """As the paper counts: no scales; biases and beta of LayerNorm have 32 bits. The last row is what it prints."""
    sizes = numbers(BASE)
    assert sum(sizes.values()) == 109_483_778
    widths = {encoder.WORDS: words, encoder.POSITIONS: tables, encoder.TYPES: tables}
    widths |= {name: 32 if name.endswith("bias") else gamma for name in sizes if "LayerNorm" in name or "bias" in name}
    bits = sum(n * widths.get(name, weights) for name, n in sizes.items())
    assert 32 * sum(sizes.values()) / bits == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize("config", [BASE, MINILM, BASE | DISTILBERT])
def test_the_half_split_is_six_bits_on_average(config: dict[str, Any]) -> None:
    bits, roles = bits_of("mkq-4-8", config), described(config).roles
    sizes = numbers(config)
    layers = {name: width for name, width in bits.items() if roles[name].layer is not None}
    average = sum(sizes[name] * width for name, width in layers.items()) / sum(sizes[name] for name in layers)
    assert average == 6 and 32 / average == pytest.approx(5.33, abs=0.005)
    assert {width for name, width in bits.items() if name not in layers} == {8}


@pytest.mark.parametrize(("name", "ratio"), [("w4a8", 7.5), ("w4a8-emb2", 10.2), ("w8a8", 3.9)])
def test_a_small_encoder_with_its_scales_is_as_small_as_promised(name: str, ratio: float) -> None:
    sizes, bits, shapes = numbers(MINILM), bits_of(name, MINILM), encoder_of(MINILM).specification().shapes
    stored = sum(16 * shapes[t][0] + bits[t] * n if t in bits else 32 * n for t, n in sizes.items())
    assert 32 * sum(sizes.values()) / stored >= ratio


def test_in_the_half_split_a_4_bit_layer_multiplies_4_bit_inputs_and_others_8_bit_ones() -> None:
    bits = bits_of("mkq-4-8", BASE)
    points = resolve_points(load_recipe("mkq-4-8"), described(BASE))
    assert {(rounding.operand, rounding.groups) for rounding in points.values()} == {(True, 1)}
    for i in range(12):
        before = "embeddings.output" if i == 0 else f"layers.{i - 1}.output"
        inputs = [points[p].bits for p in (before, *(f"layers.{i}.{n}" for n in ("context", "ffn_input", "hidden")))]
        weights = {width for name, width in bits.items() if f"encoder.layer.{i}." in name}
        assert {*inputs} == weights == {8 if i < 6 else 4}
    assert points["layers.11.output"].bits == points["pooler"].bits == bits["pooler.dense.weight"] == 8
    assert len(points) == 2 + 12 * 4  # nothing else is rounded


def test_in_w4a4_all_layers_multiply_4_bits() -> None:
    points = resolve_points(load_recipe("w4a4"), described(BASE))
    assert {point for point, rounding in points.items() if rounding.bits == 8} == {"layers.11.output", "pooler"}
    assert {width for name, width in bits_of("w4a4", BASE).items() if "layer." in name} == {4}


# --- rules

RULE = '[[tensors]]\nmatch = "*"\nfamily = "uniform"\nbits = 4\n'
STATIC = 'activations = "static"\n'
POINT = '[[points]]\nmatch = "*"\nbits = 8\n'


def roundings(points: str, config: dict[str, Any] = TINY) -> dict[str, Rounding]:
    return resolve_points(parse_recipe(STATIC + RULE + points, "test.toml", "test"), described(config))


def test_the_last_rule_that_covers_a_point_holds() -> None:
    found = roundings(
        POINT
        + """
[[points]]
match = ["*.ffn_sum", "classifier"]
bits = 16
symmetric = true
[[points]]
layer = [0, 2]
bits = 4
groups = 1
range = "mse"
[[points]]
layer = 2
match = "*.hidden"
bits = 32
"""
    )
    assert found["embeddings.words"] == found["layers.1.output"] == Rounding(8)
    assert found["layers.1.ffn_sum"] == found["classifier"] == Rounding(16, symmetric=True)
    assert found["layers.0.ffn_sum"] == found["layers.2.scores"] == Rounding(4, range="mse")
    assert "layers.2.hidden" not in found and len(found) == 43


def test_a_half_is_what_its_layers_multiply() -> None:
    found = roundings(POINT + '[[points]]\nhalf = "upper"\nbits = 4\n[[points]]\nhalf = "lower"\nbits = 3\n')
    bits = {point: rounding.bits for point, rounding in found.items()}
    assert bits["embeddings.output"] == bits["layers.0.output"] == bits["layers.1.hidden"] == 3  # 3 layers
    assert bits["layers.1.output"] == bits["layers.2.query"] == 4
    assert bits["layers.2.output"] == bits["embeddings.sum"] == bits["pooler"] == 8


@pytest.mark.parametrize("name", ENCODERS)
def test_resolved_recipes_keep_the_rules_as_plain_data(name: str) -> None:
    recipe = load_recipe(name)
    plain = json.loads(json.dumps(resolved(recipe, resolve(recipe, described(BASE)))))
    assert plain["permute"] == recipe.permute
    for table, rule in zip(plain["points"], recipe.points, strict=True):
        assert table["bits"] == rule.rounding.bits and table["range"] == rule.rounding.range
        assert table["match"] == list(rule.match) and ("half" in table) == bool(rule.half)
    other = resolved(load_recipe("int8"), {})
    assert "points" not in other and "permute" not in other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (STATIC + RULE, r"static activations needs at least one \[\[points\]\]"),
        (STATIC + "points = 3\n" + RULE, r"at least one \[\[points\]\]"),
        (STATIC + "points = []\n" + RULE, r"at least one \[\[points\]\]"),
        (RULE + POINT, 'points needs activations = "static"'),
        ("permute = true\n" + RULE, 'permute needs activations = "static"'),
        (STATIC + "permute = 1\n" + RULE + POINT, "permute is 1, should be true or false"),
        (STATIC + "permute = true\n" + RULE + POINT, r"no \[\[points\]\] table has any"),
        (STATIC + RULE + POINT + "group = 6", "number 1: 'group' is not a key of a rule; did you mean 'groups'"),
        (STATIC + RULE + POINT + "role = 'x'", "'role' is not a key"),
        (STATIC + RULE + "[[points]]\nbits = 8", "names no points"),
        (STATIC + RULE + "[[points]]\nlayer = 0", "bits is missing"),
        *(
            (STATIC + RULE + POINT.replace("8", bits), "bits are .*, should be 2 to 8")
            for bits in ("1", "9", "0", "true", "8.0")
        ),
        *((STATIC + RULE + POINT + f"groups = {k}", "groups is") for k in ("0", "-1", "true", "'6'", "[6]")),
        (STATIC + RULE + POINT + "symmetric = 1", "symmetric is 1"),
        (STATIC + RULE + POINT + "rotate = 128", "rotate is 128, should be true or false"),
        (STATIC + RULE + POINT + "rotate = true", "they need operand = true"),
        (STATIC + RULE + POINT + "equalize = true", "they need operand = true"),
        (STATIC + RULE + POINT + "operand = true\ngroups = 2\nrotate = true", "stands without groups"),
        (STATIC + "permute = true\n" + RULE + POINT + "operand = true\nrotate = true", "which rotate mixes"),
        (STATIC + RULE + POINT + "range = 'runing'", "'runing' is not a range; did you mean 'running'"),
        (STATIC + RULE + POINT + "range = ['mse']", "range is"),
        (STATIC + RULE + POINT + "layer = -1", "layer is -1"),
        (STATIC + RULE + POINT + "half = 'uper'", "did you mean 'upper'"),
    ],
)
def test_rules_that_are_not_right_are_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(text, "test.toml", "test")


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ('[[points]]\nmatch = "*.ffn_sum"\nbits = 8', "embeddings.words: no rule covers it; bits = 32"),
        (POINT + '[[points]]\nmatch = "*.fnn_sum"\nbits = 16', r"'\*.fnn_sum' is no point"),
        (POINT + '[[points]]\nmatch = "layers.0.fnn_sum"\nbits = 16', "did you mean 'layers.0.ffn_sum'"),
        (POINT + '[[points]]\nmatch = "layers.3.ffn_sum"\nbits = 16', "'layers.3.ffn_sum' is no point"),
        (POINT + "groups = 6", "layers.0.scores: 1 columns do not divide into 6 groups"),
        (POINT + '[[points]]\nmatch = "*.ffn_sum"\nbits = 8\ngroups = 5', "layers.2.ffn_sum: 24 columns do not"),
        (POINT + 'range = "cross_entropy"', "embeddings.words: cross_entropy is for the logits"),
        (
            POINT + '[[points]]\nmatch = "classifier"\nbits = 8\ngroups = 3\nrange = "cross_entropy"',
            "classifier: cross",
        ),
    ],
)
def test_rules_that_do_not_fit_the_model_are_refused(points: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        roundings(points)


def test_logits_may_have_the_range_of_cross_entropy_if_there_are_two() -> None:
    logits = POINT + '[[points]]\nmatch = "classifier"\nbits = 8\nrange = "cross_entropy"'
    assert roundings(logits)["classifier"].range == "cross_entropy"
    with pytest.raises(RecipeError, match="two labels and more"):
        roundings(logits, TINY | {"num_labels": 1})


def test_rules_for_heads_do_not_trouble_a_bare_encoder() -> None:
    found = roundings(POINT + '[[points]]\nmatch = ["pooler", "classifier"]\nbits = 16', TINY | BARE)
    assert len(found) == 42 and "pooler" not in found
