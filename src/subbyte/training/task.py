"""What the frame of a finetuning (job.py) and its task, one for each kind of model, say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from subbyte.compress.recipes.recipe import Recipe
from subbyte.models.model import Model
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.progress import Progress
from subbyte.training.checkpoints import Checkpoints
from subbyte.training.loop import Trained

Texts = TypeVar("Texts")
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Job(Generic[Texts, Settings]):
    """What is to be done: a float32 model under a recipe, trained on texts.

    precision  of the products in training: float32 or bf16
    started    the model under the recipe that training begins with, if one was given
    """

    model: Model
    recipe: Recipe
    schemes: Mapping[str, Scheme | Clustered]
    texts: Texts
    settings: Settings
    threads: int
    seed: int
    precision: str
    progress: Progress | None
    started: Model | None = None


class Task(Protocol):
    """A job for one kind of model, once its texts are read. Raises UsageError and ModelError for what cannot work.

    declared  the dataclasses of its texts and its settings
    refusal  what to say of a model that these texts are not for
    metric   the name of what the best model is chosen by
    first    whether the model is validated before the first update, too: then training does not make it worse
    """

    declared: ClassVar[tuple[type[Any], type[Any]]]
    refusal: ClassVar[str]
    metric: ClassVar[str]
    first: ClassVar[bool]

    def __init__(self, job: Job[Any, Any]) -> None: ...

    def trainer(self, kept: Checkpoints) -> Trained:
        """The model before the first update. What takes long to find may be kept in the working folder."""

    def score(self, model: Model) -> float:
        """The metric of a model as it would be stored."""

    def described(self) -> dict[str, Any]:
        """What the report says of the texts, once there is a trainer."""
