"""A recipe that was written is the recipe that is read."""

from __future__ import annotations

from builders.numpy_bert import TINY, described
from builders.tiny_packed import EVERY_KIND
from subbyte.compress.recipes.recipe import load_recipe, parse_recipe, resolve, resolved
from subbyte.compress.recipes.writing import recipe_text
from subbyte.folders.opening import open_model


def test_what_is_written_is_read_again(tiny_folder):
    model = open_model(tiny_folder)
    recipe = parse_recipe(
        f'name = "a \\"b\\"\\u007f"\ndescription = "c\\nd"\nactivations = "float32"\n{EVERY_KIND}', "test", ""
    )
    schemes = resolve(recipe, model)
    first, second = [*schemes][:2]
    notes = {first: ["cheap"], second: ["two", "lines"]}
    text = recipe_text(resolved(recipe, schemes), ["a head " * 40, "and more"], notes)
    again = parse_recipe(text, "again", "none")
    assert (again.name, again.description, again.activations) == ('a "b"\x7f', "c\nd", "float32")
    assert resolve(again, model) == schemes
    assert "# and more\n" in text and f'"{first}",  # cheap\n' in text.replace("      ", "") + text
    assert "# two\n# lines\n" in text and max(map(len, text.splitlines())) <= 120


def test_rules_of_points_are_written_and_read_again():
    model = described(TINY)
    for name in ("w8a8-peg", "mkq-4-8"):
        recipe = load_recipe(name)
        schemes = resolve(recipe, model)
        again = parse_recipe(recipe_text(resolved(recipe, schemes), [], {}), "again", "none")
        assert (again.activations, again.permute, again.points) == ("static", recipe.permute, recipe.points)
        assert resolve(again, model) == schemes
