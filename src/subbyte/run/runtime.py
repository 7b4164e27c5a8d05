"""How a model is to run on this machine, as callers say it."""

import operator
from dataclasses import dataclass

from subbyte.errors import UsageError
from subbyte.models.model import Activations, Model, Static
from subbyte.numbers.cores import available_cores

MOST_THREADS = 1024
ANY_MODEL: tuple[Activations, ...] = ("int8", "float32")  # "static" is of models that were made for it


@dataclass(frozen=True)
class Runtime:
    """What `from_pretrained` and the engines take. Raises UsageError for what cannot be.

    threads      cores to use; None: all
    isa          the name of an instruction set, or best; the engine asks whether this machine has it
    activations  how inputs of matrix products are rounded; None: as the model was made for
    """

    threads: int | None = None
    isa: str = "best"
    activations: str | None = None

    def __post_init__(self) -> None:
        try:
            threads = operator.index(1 if self.threads is None else self.threads)
        except TypeError:
            raise UsageError(f"threads is {self.threads!r}, should be a whole number, or None for all cores") from None
        if not 1 <= threads <= MOST_THREADS:
            raise UsageError(f"threads is {threads}, should be 1 to {MOST_THREADS:,}")
        if not isinstance(self.isa, str):
            raise UsageError(f"isa is {self.isa!r}, should be the name of an instruction set, or best")

    @property
    def cores(self) -> int:
        """How many threads work together."""
        return available_cores() if self.threads is None else self.threads

    def activations_of(self, model: Model) -> str:
        """How inputs of this model's products are rounded."""
        known = (*ANY_MODEL, "static") if isinstance(model.activations, Static) else ANY_MODEL
        if self.activations not in (None, *known):
            raise UsageError(f"activations are {' or '.join(known)}, not {self.activations!r}")
        return self.activations or model.activations.word
