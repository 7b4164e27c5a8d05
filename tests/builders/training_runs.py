"""What tests of training share. Imports torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from subbyte.training.translation.batches import Pair


def some_pairs(count: int = 30) -> list[Pair]:
    """Short sentences of a tiny model, each with its end."""
    rng = np.random.default_rng(2)
    return [Pair(*([*map(int, rng.integers(3, 90, rng.integers(2, 7))), 0] for _ in range(2))) for _ in range(count)]


def assert_goes_on(make: Callable[[], Any], stops: tuple[int, ...], updates: int, folder: Path) -> None:
    """A trainer that is restored from a file goes on as if it had not stopped, to the bit."""
    trainer = make()
    for _ in range(updates):
        trainer.step()
        if trainer.update in stops:
            torch.save(trainer.state(), folder / f"{trainer.update}.pt")
    for stopped in stops:
        other = make()
        other.restore(torch.load(folder / f"{stopped}.pt", weights_only=True))
        while other.update < updates:
            other.step()
        found = other.weights.state_dict()
        for name, value in trainer.weights.state_dict().items():
            np.testing.assert_array_equal(found[name].numpy(), value.numpy(), err_msg=name)
