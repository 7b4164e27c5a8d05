"""Which tensors a model has, said before any of them is read: names, shapes, roles, ties."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from subbyte.models.model import Role

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Specification:
    """The tensors of one model."""

    # name -> [out, in] for matrices, [n] for vectors; every tensor once
    shapes: dict[str, Shape] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)  # name -> role, for exactly the matrices
    aliases: dict[str, str] = field(default_factory=dict)  # tied name -> the name in `shapes` that holds its weights
    added: dict[str, Shape] = field(default_factory=dict)  # name -> [n], vectors that compression may add (operands.py)
    zeros: tuple[str, ...] = ()  # vectors that are 0 where a checkpoint has none
    # tables that the engine computes -> how; a checkpoint may hold them, and then holds the same
    computed: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)

    def matrix(self, name: str, outputs: int, inputs: int, role: Role) -> None:
        """List a matrix."""
        self.shapes[name] = (outputs, inputs)
        self.roles[name] = role

    def linear(self, name: str, outputs: int, inputs: int, role: Role) -> None:
        """List a matrix and its bias."""
        self.matrix(f"{name}.weight", outputs, inputs, role)
        self.shapes[f"{name}.bias"] = (outputs,)

    def layer_norm(self, name: str, width: int) -> None:
        """List the weights and the bias of a layer normalization."""
        self.shapes[f"{name}.weight"] = self.shapes[f"{name}.bias"] = (width,)


def shape_faults(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> Iterator[str]:
    """A line for each tensor that is missing, unexpected or of another shape."""
    for name, shape in wanted.items():
        if name not in found:
            yield f"missing tensor {name} {list(shape)}"
        elif found[name] != shape:
            yield f"tensor {name} is {list(found[name])}, should be {list(shape)}"
    for name in found:
        if name not in wanted:
            yield f"unexpected tensor {name} {list(found[name])}"
