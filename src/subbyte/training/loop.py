"""The loop that all finetuning shares: updates, a log, validations, checkpoints, and stopping early."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from subbyte.progress import Progress
from subbyte.training.checkpoints import Checkpoints

SAVE_SECONDS = 120.0  # between checkpoints
LOG_UPDATES = 10


class Plan(Protocol):
    """What the loop reads of settings."""

    @property
    def updates(self) -> int: ...
    @property
    def validate_every(self) -> int: ...
    @property
    def patience(self) -> int: ...


class Trained(Protocol):
    """What the loop needs of a trainer."""

    update: int

    @property
    def settings(self) -> Plan: ...
    @property
    def whole(self) -> bool: ...
    def step(self) -> float: ...
    def state(self) -> dict[str, Any]: ...


def train(
    trainer: Trained,
    kept: Checkpoints,
    history: Sequence[Mapping[str, Any]],
    validated: int,
    keep_best: Callable[[], None],
    progress: Progress | None,
    metric: str = "bleu",
) -> None:
    """Steps to the last update, or until nothing gets better.

    history    the validations, to which `keep_best` adds; more of `metric` is better
    validated  the update of the last one
    """
    settings = trainer.settings
    saved = logged = time.monotonic()
    losses: list[float] = []
    while trainer.update < settings.updates:
        losses.append(trainer.step())
        last = trainer.update == settings.updates
        if progress:
            progress("training", trainer.update, settings.updates)
        if trainer.update % LOG_UPDATES == 0 or last:
            now = time.monotonic()
            mean = sum(losses) / len(losses)
            kept.log(update=trainer.update, loss=round(mean, 4), seconds=round((now - logged) / len(losses), 3))
            logged, losses = now, []
        if trainer.whole and (last or trainer.update - validated >= settings.validate_every):
            keep_best()
            validated = trainer.update
            if settings.patience and _without_gain([one[metric] for one in history]) >= settings.patience:
                return
            logged = time.monotonic()
        if time.monotonic() - saved > SAVE_SECONDS or last:
            kept.save({**trainer.state(), "history": list(history), "validated": validated})
            saved = time.monotonic()


def _without_gain(scores: Sequence[float]) -> int:
    """How many validations there were since the best one (of equals the first, which is the one that is kept)."""
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0
