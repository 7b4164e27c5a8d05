"""How a model is finetuned: the [finetune] table of a recipe. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from subbyte.compress.recipes.selectors import did_you_mean
from subbyte.errors import RecipeError

Method = Literal["straight_through", "error_feedback", "periodic", "scales"]
# (least, most) of the numbers
LIMITS: Mapping[str, tuple[float, float]] = {
    "updates": (1, 1e9),
    "period": (1, 1e9),
    "refit": (1, 1e9),
    "learning_rate": (1e-9, 1.0),
    "warmup": (0, 1e9),
    "batch_tokens": (16, 1e7),
    "label_smoothing": (0.0, 0.9),
    "distillation": (0.0, 1.0),
    "clip_norm": (1e-6, 1e6),
    "validate_every": (1, 1e9),
    "patience": (0, 1e9),
}


@dataclass(frozen=True)
class Finetuning:
    """What a recipe may say of its finetuning.

    method           "straight_through": products use rounded weights, and their gradients move the weights behind them
                     "error_feedback": the same, but starting from the rounded weights (Aji & Heafield 2020)
                     "periodic": ordinary training; every `period` updates the weights are overwritten by their rounded
                     values (Chung et al. 2020, "pNR"); with a period of 1 that is training without error feedback
                     "scales": codes stay as they are, and scales, biases and norms are trained (Chen et al. 2024,
                     "EfficientQAT", second phase)
    calibrate        matrices start at their calibrated rounding (compensation.py), for the first lines of the text
    phases           the embedding is rounded first, then the decoder too, then the encoder, a third of the updates each
    updates          steps of the optimizer
    period           updates between overwritings, for "periodic"
    refit            updates between fits of scales and levels from scratch; in between scales follow by least squares
    learning_rate    of Adam, at its highest
    warmup           updates until then; afterwards it falls in a straight line, to 0 behind the last update
    batch_tokens     of the longer side, filling included
    label_smoothing  the share of probability that goes to all words alike
    distillation     the weight of the float32 model's distribution (word level); that of the target is the rest
    clip_norm        the longest gradient
    dropout          whether values are dropped as config.json says
    validate_every   updates between validations
    patience         validations without a better BLEU before training stops; 0: it never does
    """

    method: Method = "straight_through"
    calibrate: bool = False
    phases: bool = False
    updates: int = 1000
    period: int = 100
    refit: int = 250
    learning_rate: float = 3e-4
    warmup: int = 50
    batch_tokens: int = 4096
    label_smoothing: float = 0.1
    distillation: float = 0.5
    clip_norm: float = 1.0
    dropout: bool = True
    validate_every: int = 250
    patience: int = 0

    def with_options(self, **options: Any) -> Finetuning:
        """These settings with the options that are not None in their place."""
        return check(replace(self, **{name: value for name, value in options.items() if value is not None}))


def from_table(table: Mapping[str, Any]) -> Finetuning:
    """The settings in a [finetune] table. Raises RecipeError."""
    check_keys(table, Finetuning, "translation models")
    return check(Finetuning(**table))


def check(settings: Finetuning) -> Finetuning:
    """The same settings. Raises RecipeError for values that make no sense."""
    check_values(settings, LIMITS)
    if settings.phases and settings.updates < 3:
        raise RecipeError(f"[finetune]: updates is {settings.updates}; three phases need at least 3")
    return settings


def check_keys(table: Mapping[str, Any], kind: type[Any], models: str) -> None:
    """Raises RecipeError for a key that is no field of `kind`, which is for these models."""
    known = [field.name for field in fields(kind)]
    for key in table:
        if key not in known:
            there = f"there are: {' '.join(known)} (for {models})"
            raise RecipeError(f"[finetune]: {key!r} is not a key{did_you_mean(key, known)}; {there}")


def check_values(settings: Any, limits: Mapping[str, tuple[float, float]]) -> None:
    """Raises RecipeError for a value that is not of its field's type: one of some words, a truth value, or a number."""
    hints = get_type_hints(type(settings))
    for name, value in vars(settings).items():
        words = get_args(hints[name])
        if words:
            if value not in words:
                raise RecipeError(f"[finetune]: {name} is {value!r}, should be one of {' '.join(words)}")
        elif hints[name] is bool:
            if not isinstance(value, bool):
                raise RecipeError(f"[finetune]: {name} is {value!r}, should be true or false")
        else:
            least, most = limits[name]
            number = type(value) is int or (hints[name] is float and type(value) is float)
            if not number or not least <= value <= most:
                kind = "a whole number" if hints[name] is int else "a number"
                raise RecipeError(f"[finetune]: {name} is {value!r}, should be {kind} from {least:g} to {most:g}")
