"""How an encoder is finetuned: its texts, and the [finetune] table of a recipe for encoders. No torch here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from subbyte.errors import RecipeError
from subbyte.training.settings import BITS_HELP, COUNT, MOST, SHARE, START_HELP, STEP_HELP, Declared, check

Gradient = Literal["learned", "lsq", "mse", "mse_exact", "blend", "fixed"]
Method = Literal["straight_through", "blockwise"]
Metric = Literal["auto", "accuracy", "f1", "matthews", "pearson", "spearman", "correlation"]
SCALE_RATE = 1e-3  # of logarithms of scales
WEIGHT = (0.0, 1e6)  # of a loss


@dataclass(frozen=True)
class Texts:
    """What an encoder is finetuned on."""

    train: Annotated[Path, Declared("labelled training texts (.tsv or .tsv.gz).")]
    valid: Annotated[Path, Declared("those on which the best model is chosen.")]
    start: Annotated[Path | None, Declared(START_HELP, path="FOLDER")] = None


@dataclass(frozen=True)
class EncoderFinetuning:
    """What a recipe may say of the finetuning of an encoder; activation_rounding.py has the gradients.

    Raises RecipeError for values that make no sense.
    """

    models: ClassVar[str] = "encoders"

    method: Annotated[Method, Declared("all at once, or one layer after the other", option=True)] = "straight_through"
    updates: Annotated[int, Declared("steps of the optimizer", COUNT, option=True)] = 1000
    batch_size: Annotated[int, Declared("texts or pairs of an update", (1, 10**6), option=True)] = 16
    max_length: Annotated[int, Declared("tokens; what is longer is cut, in training", (4, 10**6))] = 128
    learning_rate: Annotated[float, Declared("of weights, at its highest", (1e-9, 1), option=True)] = 5e-5
    bits: Annotated[float, Declared(BITS_HELP, (0, 32), option=True)] = 0.0
    step_learning_rate: Annotated[float, Declared(STEP_HELP, SHARE)] = 1e-3
    scale_learning_rate: Annotated[float, Declared("of grids; 0: as weights for `learned`, else 0.001", SHARE)] = 0.0
    warmup: Annotated[
        float, Declared("share of the updates until then; afterwards rates fall in a line, to 0", SHARE)
    ] = 0.1
    weight_decay: Annotated[float, Declared("of matrices (AdamW)", SHARE)] = 0.0
    clip_norm: Annotated[float, Declared("longest gradient of weights", (1e-6, 1e6))] = 1.0
    dropout: Annotated[bool, Declared("drop values as config.json says")] = False
    refit: Annotated[
        int, Declared("updates between fits from scratch; in between scales follow by least squares", COUNT)
    ] = 250
    gradient: Annotated[Gradient, Declared("of scales of activations", option=True)] = "learned"
    blend: Annotated[float, Declared("share of `lsq`, for `blend`", SHARE)] = 0.5
    calibrate: Annotated[bool, Declared("start below 8 bits at calibrated rounding, see above")] = False
    calibration_batches: Annotated[
        int, Declared("batches of 16 texts for it and for first ranges; 0: 10,000 tokens", (0, 10**6))
    ] = 0
    label_loss: Annotated[float, Declared("weight, see above", WEIGHT)] = 1.0
    output_distillation: Annotated[float, Declared("weight, see above", WEIGHT)] = 0.0
    state_distillation: Annotated[float, Declared("weight, see above", WEIGHT)] = 0.0
    attention_distillation: Annotated[float, Declared("weight, see above", WEIGHT)] = 0.0
    value_distillation: Annotated[float, Declared("weight, see above", WEIGHT)] = 0.0
    temperature: Annotated[float, Declared("divides logits, for `output_distillation`", (1e-3, 1e3))] = 1.0
    relation_layer: Annotated[int, Declared("of the relations; negative: from the last", (-256, 255))] = -1
    metric: Annotated[
        Metric, Declared("what the best is chosen by; auto: accuracy, of numbers correlation", option=True)
    ] = "auto"
    validate_every: Annotated[int, Declared("updates between validations", COUNT, option=True)] = 100
    patience: Annotated[
        int, Declared("validations without a gain that end training; 0: none do", (0, MOST), option=True)
    ] = 0

    def __post_init__(self) -> None:
        check(self)
        if not self.distils and self.label_loss == 0 and self.method != "blockwise":
            raise RecipeError("[finetune]: all losses have the weight 0; give one of them another")

    @property
    def scale_rate(self) -> float:
        """The learning rate of scales, at its highest."""
        return self.scale_learning_rate or (self.learning_rate if self.gradient == "learned" else SCALE_RATE)

    @property
    def distils(self) -> bool:
        """Whether the float32 model is asked."""
        of_relations = self.attention_distillation + self.value_distillation
        return self.output_distillation + self.state_distillation + of_relations > 0


DECLARED = (Texts, EncoderFinetuning)
