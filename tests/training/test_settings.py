"""The [finetune] table: the presets' own, and what is refused. No torch here."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from subbyte.compress.recipes.recipe import load_recipe, presets
from subbyte.errors import RecipeError
from subbyte.training.encoders.settings import SCALE_RATE, EncoderFinetuning
from subbyte.training.settings import declarations, from_table
from subbyte.training.translation.settings import Finetuning

DOCS = Path(__file__).parents[2] / "docs"
METHODS = {"nmt-mixed": "straight_through", "binary1": "straight_through", "log": "error_feedback"}


@pytest.mark.parametrize("name", presets())
def test_the_table_of_every_preset_is_valid(name: str) -> None:
    recipe = load_recipe(name)
    if recipe.activations == "static":
        from_table(EncoderFinetuning, recipe.finetune)
        return
    found = from_table(Finetuning, recipe.finetune)
    for prefix, method in METHODS.items():
        if name.startswith(prefix):
            assert found.method == method


def test_no_table_means_the_defaults() -> None:
    assert from_table(Finetuning, {}) == Finetuning()
    settings = from_table(Finetuning, {"updates": 7, "method": "periodic"})
    assert (settings.updates, settings.method, settings.period) == (7, "periodic", Finetuning().period)


@pytest.mark.parametrize(
    "table, message",
    [
        ({"upates": 3}, "[finetune]: 'upates' is not a key; did you mean 'updates'?; there are: method "),
        ({"method": "ste"}, "[finetune]: method is 'ste', should be one of straight_through error_feedback periodic"),
        ({"method": []}, "[finetune]: method is [], should be one of"),
        ({"phases": 1}, "[finetune]: phases is 1, should be true or false"),
        ({"updates": 0}, "[finetune]: updates is 0, should be a whole number from 1 to 1e+09"),
        ({"updates": 10.0}, "[finetune]: updates is 10.0, should be a whole number"),
        ({"updates": True}, "[finetune]: updates is True, should be a whole number"),
        ({"learning_rate": float("nan")}, "[finetune]: learning_rate is nan, should be a number from 1e-09 to 1"),
        ({"distillation": 1.5}, "[finetune]: distillation is 1.5, should be a number from 0 to 1"),
        ({"learning_rate": "fast"}, "[finetune]: learning_rate is 'fast', should be a number"),
        ({"phases": True, "updates": 2}, "[finetune]: updates is 2; three phases need at least 3"),
    ],
    ids=str,
)
def test_tables_that_are_not_right_are_refused_in_one_sentence(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)) as error:
        from_table(Finetuning, table)
    assert "\n" not in str(error.value)


def test_settings_are_checked_wherever_they_come_from() -> None:
    with pytest.raises(RecipeError, match="batch_tokens is 1, should be"):
        replace(Finetuning(), batch_tokens=1)


@pytest.mark.parametrize(
    "table, message",
    [
        ({"bach_size": 3}, "[finetune]: 'bach_size' is not a key; did you mean 'batch_size'?; there are: method "),
        ({"gradient": "ste"}, "[finetune]: gradient is 'ste', should be one of learned lsq mse mse_exact blend fixed"),
        ({"warmup": 1.5}, "[finetune]: warmup is 1.5, should be a number from 0 to 1"),
        ({"relation_layer": 0.5}, "[finetune]: relation_layer is 0.5, should be a whole number from -256 to 255"),
        ({"dropout": 0}, "[finetune]: dropout is 0, should be true or false"),
        ({"label_loss": 0}, "[finetune]: all losses have the weight 0; give one of them another"),
    ],
    ids=str,
)
def test_tables_for_encoders_that_are_not_right_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        from_table(EncoderFinetuning, table)


def test_scales_have_the_rate_of_weights_where_they_are_trained_as_these() -> None:
    assert EncoderFinetuning(learning_rate=3e-5).scale_rate == 3e-5
    assert EncoderFinetuning(gradient="mse").scale_rate == SCALE_RATE
    assert EncoderFinetuning(gradient="mse", scale_learning_rate=0.01).scale_rate == 0.01


def table(kind: Any) -> str:
    """The declarations as they stand on a page."""
    defaults = {one.name: one.default for one in fields(kind)}
    rows = ["| key | default | unit and meaning |", "|---|---|---|"]
    for name, (hint, one) in declarations(kind).items():
        words = f": {' '.join(get_args(hint))}" if get_args(hint) else ""
        rows.append(f"| `{name}` | {json.dumps(defaults[name])} | {one.help}{words} |")
    return "\n".join(rows)


@pytest.mark.parametrize("page, kind", [("finetune.md", Finetuning), ("finetune_encoders.md", EncoderFinetuning)])
def test_the_table_of_the_page_is_what_the_declarations_say(page: str, kind: Any) -> None:
    assert table(kind) in (DOCS / page).read_text("utf-8"), f"{page} should have\n{table(kind)}"


@pytest.mark.parametrize("kind", [Finetuning, EncoderFinetuning])
def test_every_number_has_limits_which_its_default_is_within(kind: Any) -> None:
    assert kind()  # is checked
    for name, (hint, one) in declarations(kind).items():
        assert (one.limits is not None) is (hint in (int, float)), name
