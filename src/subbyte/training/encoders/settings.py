"""How an encoder is finetuned: the [finetune] table of a recipe for encoders. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from subbyte.errors import RecipeError
from subbyte.training.translation.settings import check_keys, check_values

Gradient = Literal["learned", "lsq", "mse", "mse_exact", "blend", "fixed"]
SCALE_RATE = 1e-3  # of logarithms of scales
# (least, most) of the numbers
LIMITS: Mapping[str, tuple[float, float]] = {
    "updates": (1, 1e9),
    "batch_size": (1, 1e6),
    "max_length": (4, 1e6),
    "learning_rate": (1e-9, 1.0),
    "scale_learning_rate": (0.0, 1.0),
    "warmup": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "clip_norm": (1e-6, 1e6),
    "refit": (1, 1e9),
    "blend": (0.0, 1.0),
    "calibration_batches": (0, 1e6),
    "label_loss": (0.0, 1e6),
    "output_distillation": (0.0, 1e6),
    "state_distillation": (0.0, 1e6),
    "attention_distillation": (0.0, 1e6),
    "value_distillation": (0.0, 1e6),
    "temperature": (1e-3, 1e3),
    "relation_layer": (-256, 255),
    "validate_every": (1, 1e9),
    "patience": (0, 1e9),
}


@dataclass(frozen=True)
class EncoderFinetuning:
    """What a recipe for encoders may say of its finetuning.

    updates                 steps of the optimizer (Adam)
    batch_size              texts, or pairs of them, of an update
    max_length              tokens of a text or pair; what is longer is cut
    learning_rate           of weights, at its highest
    scale_learning_rate     of scales and zeros of activations; 0: that of weights with gradient "learned", else 0.001
    warmup                  share of the updates until then; afterwards rates fall in a straight line, to 0 at the end
    weight_decay            of matrices, as AdamW has it
    clip_norm               the longest gradient of weights
    dropout                 whether values are dropped as config.json says
    refit                   updates between fits of weight scales from scratch; in between they follow by least squares
    gradient                of scales of activations; activation_rounding.py has the formulas
                            "learned": of the loss, as Bondarenko et al. 2021
                            "lsq": of the loss, with LSQ's factor; scales by their logarithms, here and below
                            "mse": of the rounding error, with LSQ's derivative (M2); "mse_exact": the exact one (M1)
                            "blend": blend * lsq + (1 - blend) * mse, each in units of its own size
                            "fixed": none; ranges stay as calibrated
    blend                   the share of "lsq"
    calibrate               matrices of less than 8 bits start at their calibrated rounding (compensation.py)
    calibration_batches     batches of 16 training texts that this and first ranges are found on; 0: 10,000 tokens
    label_loss              weight of the loss of labels: cross entropy, or the squared error of a regression
    output_distillation     weight of the loss of the float32 model's outputs: cross entropy with its probabilities at
                            `temperature`, or the squared error to its number
    state_distillation      weight of the squared error of every layer's output, by the squares of the float32 model's
    attention_distillation  weight of MiniLM's loss of attention: queries times keys of one layer
    value_distillation      weight of MiniLM's loss of values times values
    temperature             divides logits of both models for output_distillation
    relation_layer          the layer of both; negative ones count from the last, -1
    metric                  that the best model is chosen by; "auto": accuracy, or of numbers "correlation", the mean of
                            Pearson's and Spearman's
    validate_every          updates between validations
    patience                validations without a better metric before training stops; 0: it never does
    """

    updates: int = 1000
    batch_size: int = 16
    max_length: int = 128
    learning_rate: float = 5e-5
    scale_learning_rate: float = 0.0
    warmup: float = 0.1
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    dropout: bool = False
    refit: int = 250
    gradient: Gradient = "learned"
    blend: float = 0.5
    calibrate: bool = False
    calibration_batches: int = 0
    label_loss: float = 1.0
    output_distillation: float = 0.0
    state_distillation: float = 0.0
    attention_distillation: float = 0.0
    value_distillation: float = 0.0
    temperature: float = 1.0
    relation_layer: int = -1
    metric: Literal["auto", "accuracy", "f1", "matthews", "pearson", "spearman", "correlation"] = "auto"
    validate_every: int = 100
    patience: int = 0

    @property
    def scale_rate(self) -> float:
        """The learning rate of scales, at its highest."""
        return self.scale_learning_rate or (self.learning_rate if self.gradient == "learned" else SCALE_RATE)

    @property
    def distils(self) -> bool:
        """Whether the float32 model is asked."""
        return self.output_distillation > 0 or self.state_distillation > 0 or self.relations

    @property
    def relations(self) -> bool:
        """Whether relations within attention are compared."""
        return self.attention_distillation > 0 or self.value_distillation > 0

    def with_options(self, **options: Any) -> EncoderFinetuning:
        """These settings with the options that are not None in their place."""
        given = {name: value for name, value in options.items() if value is not None}
        check_keys(given, EncoderFinetuning, "encoders")
        return check(replace(self, **given))


def from_table(table: Mapping[str, Any]) -> EncoderFinetuning:
    """The settings in a [finetune] table. Raises RecipeError."""
    check_keys(table, EncoderFinetuning, "encoders")
    return check(EncoderFinetuning(**table))


def check(settings: EncoderFinetuning) -> EncoderFinetuning:
    """The same settings. Raises RecipeError for values that make no sense."""
    check_values(settings, LIMITS)
    if not settings.distils and settings.label_loss == 0:
        raise RecipeError("[finetune]: all losses have the weight 0; give one of them another")
    return settings
