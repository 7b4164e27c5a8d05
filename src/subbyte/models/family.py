"""What a family is: configurations of one model_type of transformers, mapped onto a shape that the engine runs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from subbyte.models import encoder, translation
from subbyte.models.model import Task

Settings = encoder.Settings | translation.Settings
NOTHING = re.compile(r"(?!)")  # fits no name


@dataclass(frozen=True)
class Family:
    """A model_type, and how its checkpoints differ from the names of the shape.

    architectures     those that are run, the simplest first -> the class of transformers that loads one
    architecture_of   configuration -> which of them it is run as; None where it is none of this family
    settings          (configuration, where) -> those of the shape; all faults in one ModelError
    check_generation  (configuration, generation_config.json, where): ModelError for what no search could follow; None
                      where nothing is generated, and the file is not read
    renamed           patterns of names in a checkpoint, and what stands in their place with us, in this order
    prefix            before the names of the shape in a model that has a head
    unused            what is never read of a checkpoint
    spare             ours that a checkpoint may have beside the shape's
    heads             other heads, which are left out with a note
    """

    model_type: str
    task: Task
    architectures: Mapping[str, str]
    architecture_of: Callable[[Mapping[str, Any]], str | None]
    settings: Callable[[Mapping[str, Any], str], Settings]
    check_generation: Callable[[Mapping[str, Any], Mapping[str, Any], str], None] | None = None
    renamed: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    unused: re.Pattern[str] = NOTHING
    spare: re.Pattern[str] = NOTHING
    heads: re.Pattern[str] = NOTHING

    def our_name(self, name: str) -> str:
        """What we call a tensor of a checkpoint."""
        for pattern, replacement in self.renamed:
            name = re.sub(pattern, replacement, name)
        return name
