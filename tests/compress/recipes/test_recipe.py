"""Recipes: the presets, which rule holds for which matrix, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builders.tiny_marian import tiny_marian_folder
from subbyte.compress.recipes.recipe import (
    STACKS,
    load_recipe,
    parse_recipe,
    presets,
    resolve,
    resolve_points,
    resolved,
)
from subbyte.errors import RecipeError
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.numbers.schemes import BinaryCoding, Clustered, Logarithmic, Uniform, from_plain

NAMES = """encoder4 int8 uniform4 uniform3 uniform2 log4 log3 log2 log1 binary4 binary3 binary2 binary1 normal4 normal3
           nmt-mixed nmt-mixed-r1 nmt-mixed-r4 student4 student4.4 student8 normal5 encoder5
           encoder6 coded4 coded3.5 coded3 coded2.5""".split()


ENCODERS = (
    "w8a8 w8a8-each w8a8-turned w8a8-mixed w8a8-peg w4a8 w4a8-emb2 mkq-4-8 w4a4".split()
)  # test_point_rules.py has more on them


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_model(tiny_marian_folder(tmp_path_factory.mktemp("recipe") / "tiny"))


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("recipe") / "untied"
    return open_model(tiny_marian_folder(folder, share_encoder_decoder_embeddings=False, tie_word_embeddings=False))


def test_the_presets_are_those_that_are_promised() -> None:
    assert set(presets()) == {*NAMES, *ENCODERS}


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_covers_every_matrix(model: Model, untied: Model, name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name and recipe.description and recipe.activations == "int8"
    for one in (model, untied):
        assert resolve(recipe, one).keys() == one.roles.keys()


@pytest.mark.parametrize(
    ("prefix", "kind"), [("int", Uniform), ("uniform", Uniform), ("log", Logarithmic), ("binary", BinaryCoding)]
)
def test_plain_presets_have_the_bits_in_their_name(model: Model, prefix: str, kind: type) -> None:
    for name in [name for name in NAMES if name.startswith(prefix)]:
        for scheme in resolve(load_recipe(name), model).values():
            assert isinstance(scheme, kind) and not isinstance(scheme, Clustered)
            assert scheme.bits == int(name[-1])


@pytest.mark.parametrize(("name", "ratio"), [("nmt-mixed", 2), ("nmt-mixed-r1", 1), ("nmt-mixed-r4", 4)])
def test_mixed_presets_have_the_bits_of_the_paper(untied: Model, model: Model, name: str, ratio: int) -> None:
    wanted = {"encoder.self_attention": 3, "encoder.feed_forward": 4}
    wanted |= {"decoder.self_attention": 2, "decoder.cross_attention": 3, "decoder.feed_forward": 1}
    for one in (model, untied):
        for tensor, scheme in resolve(load_recipe(name), one).items():
            role = one.roles[tensor]
            if role.kind in ("embedding", "output"):
                assert isinstance(scheme, Clustered)
                assert [part.bits for part in scheme.schemes] == [4, 3, 2, 1]
                assert (scheme.clusters.count, scheme.clusters.ratio) == (4, ratio)
                scheme = scheme.scheme
            else:
                assert not isinstance(scheme, Clustered)
                assert scheme.bits == wanted[f"{role.stack}.{role.kind}"]
            assert isinstance(scheme, BinaryCoding)


RULES = """
description = "test"
activations = "float32"

[[tensors]]
match = "*"
family = "uniform"
bits = 2

[[tensors]]
role = ["feed_forward", "embedding"]
family = "uniform"
bits = 3

[[tensors]]
stack = "encoder"
layer = 1
family = "uniform"
bits = 4

[[tensors]]
match = ["*.fc1.weight", "*.self_attn.q_proj.weight"]
stack = "decoder"
family = "uniform"
bits = 5
granularity = { group = 16 }
"""


def test_the_last_rule_that_covers_a_matrix_holds(model: Model) -> None:
    recipe = parse_recipe(RULES, "test", "test")
    assert (recipe.name, recipe.description, recipe.activations) == ("test", "test", "float32")
    bits = {name: scheme.bits for name, scheme in resolve(recipe, model).items() if not isinstance(scheme, Clustered)}
    assert bits["model.shared.weight"] == 3
    assert bits["model.encoder.layers.0.self_attn.q_proj.weight"] == 2
    assert bits["model.encoder.layers.0.fc2.weight"] == 3
    assert bits["model.encoder.layers.1.fc2.weight"] == 4
    assert bits["model.decoder.layers.0.fc1.weight"] == 5
    assert bits["model.decoder.layers.0.fc2.weight"] == 3
    assert bits["model.decoder.layers.0.self_attn.q_proj.weight"] == 5
    assert bits["model.decoder.layers.0.encoder_attn.q_proj.weight"] == 2


def test_halves_are_those_of_each_stack(model: Model) -> None:
    rule = '[[tensors]]\n{}\nfamily = "uniform"\nbits = {}\n'
    text = rule.format('match = "*"', 2) + rule.format('half = "lower"', 3) + rule.format('half = "upper"', 4)
    layers = {stack: 1 + max(r.layer or 0 for r in model.roles.values() if r.stack == stack) for stack in STACKS[:2]}
    for name, scheme in resolve(parse_recipe(text, "test", "test"), model).items():
        role = model.roles[name]
        wanted = 2 if role.layer is None else 4 if role.layer >= layers[role.stack] / 2 else 3
        assert not isinstance(scheme, Clustered) and scheme.bits == wanted
    both = resolve(parse_recipe(RULE + rule.format('half = ["lower", "upper"]', 3), "test", "test"), model)
    assert {name for name, scheme in both.items() if scheme == Uniform(3)} == {
        name for name, role in model.roles.items() if role.layer is not None
    }


@pytest.mark.parametrize("name", ENCODERS)
def test_a_translation_model_has_no_static_activations(model: Model, name: str) -> None:
    with pytest.raises(RecipeError, match=f"recipe {name} is for encoders.*MarianMTModel does not"):
        resolve(load_recipe(name), model)
    assert resolve_points(load_recipe("int8"), model) == {}


def test_a_matrix_without_a_rule_is_an_error_that_names_all_of_them(model: Model) -> None:
    recipe = parse_recipe('[[tensors]]\nstack = "encoder"\nfamily = "uniform"\nbits = 4', "test", "test")
    with pytest.raises(RecipeError) as error:
        resolve(recipe, model)
    uncovered = [name for name, role in model.roles.items() if role.stack != "encoder"]
    assert all(f"{name} (" in str(error.value) for name in uncovered)
    assert "encoder.layers" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_resolved_recipes_are_plain_data_and_name_every_matrix(model: Model, name: str) -> None:
    recipe = load_recipe(name)
    schemes = resolve(recipe, model)
    plain: dict[str, Any] = json.loads(json.dumps(resolved(recipe, schemes)))
    assert (plain["name"], plain["activations"]) == (name, "int8")
    again = {}
    for table in plain["tensors"]:
        scheme = from_plain({key: value for key, value in table.items() if key != "match"})
        again |= {tensor: scheme for tensor in table["match"]}
    assert again == schemes


@pytest.mark.parametrize(
    ("name", "hint"), [("unifrm4", "'uniform4'"), ("INT8", ""), ("nmt-mixd", "'nmt-mixed'"), ("float32", ""), ("", "")]
)
def test_an_unknown_preset_is_refused_with_the_list(name: str, hint: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(name)
    assert all(preset in str(error.value) for preset in (*NAMES, *ENCODERS))
    assert (f"did you mean {hint}?" if hint else "there is no recipe") in str(error.value)


def test_a_recipe_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RULES)
    assert load_recipe(path).name == "mine" and load_recipe(str(path)).rules[0].scheme == Uniform(2)
    with pytest.raises(RecipeError, match="there is no such recipe file"):
        load_recipe(tmp_path / "other.toml")
    path.write_bytes(b"description = '\xff'")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(path)
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(RecipeError, match="larger than"):
        load_recipe(path)


RULE = '[[tensors]]\nmatch = "*"\nfamily = "uniform"\nbits = 4\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("description = ", "not valid TOML"),
        ("description = " + "9" * 5000, "not valid TOML"),
        ("description = 0x" + "f" * 5000, "does not fit 64 bits"),
        (RULE + "granularity = { group = 0x" + "f" * 5000 + " }", "does not fit 64 bits"),
        ("name" + ".a" * 20000 + " = 1", "more than 15 parts"),
        ("name" + ' . "b.c"' * 20000 + " = 1", "more than 15 parts"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("", r"at least one \[\[tensors\]\]"),
        ("tensors = 3", r"at least one \[\[tensors\]\]"),
        ("tensors = [3]", r"at least one \[\[tensors\]\]"),
        ('activatons = "int8"\n' + RULE, "'activatons' is not a key of a recipe; did you mean 'activations'"),
        ('activations = "int4"\n' + RULE, "activations is 'int4', should be one of int8 float32 static"),
        ("activations = [1]\n" + RULE, r"activations is \[1\]"),
        ("description = 3\n" + RULE, "description is 3, should be text"),
        (RULE + 'granularty = "row"', "number 1: 'granularty' is not a key of a rule; did you mean 'granularity'"),
        (RULE + 'solver = "greedy"', "'solver' is not a key of a rule"),
        (RULE + "layers = 3", "did you mean 'layer'"),
        (RULE + "layer = -1", "layer is -1"),
        (RULE + "layer = true", "layer is True"),
        (RULE + "layer = []", r"layer is \[\]"),
        (RULE + 'role = "feedforward"', "'feedforward' is not a role; did you mean 'feed_forward'"),
        (RULE + 'stack = "both"', "'both' is not a stack; there are: encoder decoder shared"),
        (RULE + "stack = 3", "stack is 3, should be a word"),
        (RULE + 'half = "top"', "'top' is not a half; there are: lower upper"),
        (RULE + "half = 1", "half is 1, should be a word"),
        (RULE + 'half = ["upper", "uper"]', "'uper' is not a half; did you mean 'upper'"),
        (RULE + "role = []", r"role is \[\]"),
        (RULE.replace('match = "*"\n', ""), "names no tensors"),
        (RULE.replace("uniform", "unifrm"), "did you mean 'uniform'"),
        (RULE.replace('"uniform"', "[1]"), r"family is \[1\]"),
        (RULE.replace("bits = 4", "bits = 9"), "bits: expected 1..8, got 9"),
        (RULE.replace("bits = 4", ""), "bits is missing"),
        (RULE.replace('family = "uniform"', ""), "family"),
        (RULE + "granularity = { group = 5 }", "group size"),
        (RULE + "clusters = { count = 9, ratio = 1 }", "clusters.count"),
    ],
)
def test_recipes_that_are_not_right_are_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(text, "test.toml", "test")


def test_all_faults_of_a_recipe_are_named_at_once() -> None:
    text = 'colour = 1\nactivations = "x"\n' + RULE.replace("4", "9") + RULE + 'role = "x"\n'
    with pytest.raises(RecipeError) as error:
        parse_recipe(text, "test.toml", "test")
    assert all(part in str(error.value) for part in ("test.toml", "colour", "activations", "number 1", "number 2"))
