"""Tiny models under a recipe, and a recipe with blocks of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from subbyte.compress.recipes.recipe import load_recipe, parse_recipe, presets, resolve, resolved
from subbyte.compress.rounding import quantize_model
from subbyte.folders.opening import open_model
from subbyte.models.model import Model, activations_of

EVERY_KIND = """
[[tensors]]
match = "*"
family = "uniform"
bits = 3
[[tensors]]
role = "cross_attention"
family = "uniform"
bits = 5
mode = "affine"
granularity = {group = 16}
[[tensors]]
match = "*encoder.layers.0.self_attn.*"
family = "uniform"
bits = 8
mode = "affine"
granularity = "tensor"
[[tensors]]
match = "*encoder.layers.0.fc1.weight"
family = "uniform"
bits = 8
[[tensors]]
stack = "decoder"
role = "feed_forward"
family = "binary_coding"
bits = 3
granularity = {group = 16}
[[tensors]]
match = "*decoder.layers.0.self_attn.*"
family = "logarithmic"
bits = 4
granularity = "tensor"
[[tensors]]
role = "embedding"
family = "uniform"
bits = 7
mode = "midrise"
clusters = {count = 5, ratio = 1.5}
"""

# The presets that a translation model can have; the others are for encoders.
TRANSLATION_PRESETS = tuple(name for name in presets() if load_recipe(name).activations != "static")


def quantized(folder: Path, recipe_text: str = EVERY_KIND) -> Model:
    """The model of a float folder under a recipe, a preset or a text."""
    recipe = load_recipe(recipe_text) if recipe_text in presets() else parse_recipe(recipe_text, "test", "test")
    model = open_model(folder)
    schemes = resolve(recipe, model)
    return replace(
        quantize_model(model, schemes), activations=activations_of(recipe.activations), recipe=resolved(recipe, schemes)
    )
