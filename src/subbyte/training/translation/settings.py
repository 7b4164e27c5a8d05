"""How a translation model is finetuned: its texts, and the [finetune] table of a recipe. No torch here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from subbyte.errors import RecipeError
from subbyte.training.settings import BITS_HELP, COUNT, MOST, SHARE, START_HELP, STEP_HELP, Declared, check

Method = Literal["straight_through", "error_feedback", "periodic", "scales", "blockwise"]


@dataclass(frozen=True)
class Texts:
    """What a translation model is finetuned on."""

    source: Annotated[Path, Declared("Training text, a sentence a line (.gz too).")]
    valid_source: Annotated[Path, Declared("Text on which the best model is chosen.")]
    target: Annotated[
        Path | None,
        Declared("Translations of `--source`, line by line.  [default: MODEL translates it, which is distillation]"),
    ] = None
    valid_target: Annotated[
        Path | None, Declared("Translations of `--valid-source`.  [default: MODEL translates it]")
    ] = None
    frequencies: Annotated[
        Path | None,
        Declared(
            "Text whose words are counted, where the recipe gives frequent ones more bits.  "
            "[default: `--source` and `--target`]"
        ),
    ] = None
    start: Annotated[Path | None, Declared(START_HELP, path="FOLDER")] = None
    teacher_beam: Annotated[int, Declared("Beams with which MODEL translates `--source`.  [default: 1]", (1, 256))] = 1


@dataclass(frozen=True)
class Finetuning:
    """What a recipe may say of the finetuning of a translation model; trainer.py has the methods.

    Raises RecipeError for values that make no sense.
    """

    models: ClassVar[str] = "translation models"

    method: Annotated[Method, Declared("how rounded weights are trained", option=True)] = "straight_through"
    calibrate: Annotated[bool, Declared("start from calibrated rounding for the first lines of `--source`")] = False
    phases: Annotated[bool, Declared("embedding, decoder, encoder one after the other; at least 3 updates")] = False
    updates: Annotated[int, Declared("steps of the optimizer", COUNT, option=True)] = 1000
    period: Annotated[int, Declared("updates between overwritings, for `periodic`", COUNT, option=True)] = 100
    refit: Annotated[
        int, Declared("updates between fits from scratch; in between scales follow by least squares", COUNT)
    ] = 250
    learning_rate: Annotated[float, Declared("at its highest", (1e-9, 1), option=True)] = 3e-4
    bits: Annotated[float, Declared(BITS_HELP, (0, 32), option=True)] = 0.0
    step_learning_rate: Annotated[float, Declared(STEP_HELP, SHARE)] = 1e-3
    warmup: Annotated[int, Declared("updates until then; afterwards it falls in a straight line, to 0", (0, MOST))] = 50
    batch_tokens: Annotated[
        int, Declared("tokens of an update, the longer side, filled up", (16, 10**7), option=True)
    ] = 4096
    label_smoothing: Annotated[float, Declared("share of probability that goes to all words alike", (0, 0.9))] = 0.1
    distillation: Annotated[
        float, Declared("weight of MODEL's probabilities of words; the rest is the target's", SHARE, option=True)
    ] = 0.5
    clip_norm: Annotated[float, Declared("longest gradient", (1e-6, 1e6))] = 1.0
    dropout: Annotated[bool, Declared("drop values as config.json says")] = True
    validate_every: Annotated[int, Declared("updates between validations", COUNT, option=True)] = 250
    patience: Annotated[
        int, Declared("validations without a better BLEU that end training; 0: none do", (0, MOST), option=True)
    ] = 0

    def __post_init__(self) -> None:
        check(self)
        if self.phases and self.method == "blockwise":
            raise RecipeError("[finetune]: blockwise has an order of its own, and does not go with phases = true")
        if self.phases and self.updates < 3:
            raise RecipeError(f"[finetune]: updates is {self.updates}; three phases need at least 3")


DECLARED = (Texts, Finetuning)
