"""The smallest preset that keeps a model's answers, found by trying those that fit (candidates.py), smallest first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

from subbyte.compress.calibration.texts import Texts
from subbyte.compress.candidates import candidates
from subbyte.compress.encoder_agreement import EncoderAgreement
from subbyte.compress.recipes.recipe import Recipe, load_recipe
from subbyte.compress.translation_agreement import Agreement
from subbyte.folders.converted.saving import weights_size
from subbyte.models.model import Model
from subbyte.progress import Progress


@dataclass(frozen=True)
class Verdict:
    """How far a compressed model is from its source on a text.

    distance  what that is depends on the kind of model; 0 is equal
    most      that up to which answers are kept so well that a preset may be chosen for somebody who did not ask for it
    said      the same for people, in a few words, beside one of the two
    document  the same for report.json, with its noise and the limit above which people are warned
    """

    distance: float
    most: float
    said: Callable[[float], str]
    document: Agreement | EncoderAgreement

    @property
    def keeps(self) -> bool:
        """Whether the preset may be chosen."""
        return self.distance <= self.most

    @property
    def disagrees(self) -> bool:
        """Whether people have to be warned."""
        return not self.distance <= self.document["limit"]


class Task(Protocol):
    """What a choice needs of a kind of model (translation.py, encoders.py).

    model  in float32
    texts  what it is rounded for and compared on
    """

    model: Model
    texts: Texts

    def compressed(self, recipe: Recipe, progress: Progress | None = None) -> Model:
        """The model under a recipe."""

    def verdict(self, packed: Model, progress: Progress | None = None) -> Verdict | None:
        """How far the result is from the model; None if there is no text to compare on."""


class Tried(TypedDict):
    """A preset that was tried: its weights file, against float32 weights, and the distance from the model."""

    recipe: str
    megabytes: float
    times_smaller: float
    distance: float | None
    noise: float | None
    kept: bool


@dataclass(frozen=True)
class Chosen:
    """The preset, the model under it, what was found of it, and all that was tried, smallest first.

    advice  what to do for a smaller one
    """

    recipe: Recipe
    packed: Model
    verdict: Verdict | None
    tried: tuple[Tried, ...] = ()
    advice: str = ""

    @property
    def sentence(self) -> str:
        """One line: what was chosen, how much smaller, how far from float32, and what to do for less."""
        chosen = self.tried[-1]
        size = (
            f"chose {chosen['recipe']}, {chosen['megabytes']:.1f} MB of weights, "
            f"{chosen['times_smaller']:.1f} times smaller than float32"
        )
        said = self.verdict.said(self.verdict.most) if self.verdict else ""
        return "; ".join(filter(None, [size, said, self.advice]))


def choose(task: Task, progress: Progress | None = None) -> Chosen:
    """Try the presets that fit, smallest first, until one keeps the answers; the last is taken as it is."""
    tried: list[Tried] = []
    for name in candidates(task.model):
        recipe = load_recipe(name)
        packed = task.compressed(recipe, progress)
        verdict = task.verdict(packed, progress)
        kept = verdict is not None and verdict.keeps
        size = weights_size(packed)
        distance, noise = (verdict.distance, verdict.document["noise"]) if verdict else (None, None)
        tried.append(
            Tried(
                recipe=name,
                megabytes=round(size / 1e6, 3),
                times_smaller=round(4 * task.model.parameters / size, 2),
                distance=distance,
                noise=noise,
                kept=kept,
            )
        )
        if kept:
            break
    return Chosen(recipe, packed, verdict, tuple(tried), _advice(task, tried))


def _advice(task: Task, tried: Sequence[Tried]) -> str:
    if not task.texts.check:
        return "for less, give --calibration FILE, for no text in the language of this model ships"
    if len(tried) == 1:
        return "for less, try --budget or subbyte finetune"
    near = tried[-2]
    return f"--recipe {near['recipe']} is {near['times_smaller']:.1f} times smaller, and further from it"
