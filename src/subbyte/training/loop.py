"""The loop that all finetuning shares: updates, a log, validations, checkpoints, and stopping early."""

from __future__ import annotations

import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from subbyte.models.model import Model
from subbyte.progress import Progress
from subbyte.training.checkpoints import Checkpoints
from subbyte.training.coded import Price
from subbyte.training.matrices import Matrices

SAVE_SECONDS = 120.0  # between checkpoints
LOG_UPDATES = 10


class Trained(ABC):
    """A model while it is finetuned. `step` until `update` is as wanted; `model` is what there is to save.

    settings  with updates, validate_every and patience
    weights   all that is trained
    price     of the bits of the model, where there is a budget
    """

    price: Price | None = None
    settings: Any
    update: int
    weights: nn.Module
    matrices: Matrices
    optimizer: Any

    @property
    def whole(self) -> bool:
        """Whether the weights are now what `model` gives."""
        return True

    @property
    def complete(self) -> bool:
        """Whether the model may be chosen: every matrix is rounded by now, and the budget is met, if there is one."""
        return self.price is None or self.price.met(self.bits)

    @property
    def bits(self) -> float:
        """Of a weight, as the budget counts."""
        return self.price.bits(dict(self.matrices.parameters)) if self.price else 0.0

    @property
    def measured(self) -> dict[str, float]:
        """What is known of the model beside its quality: with a budget, the bits of a weight as `inspect` counts."""
        return {"bits": round(self.bits, 4)} if self.price else {}

    @abstractmethod
    def step(self) -> float:
        """One update; returns the loss of its batch."""

    @abstractmethod
    def model(self) -> Model:
        """The model as it stands, with every matrix that is rounded by now packed as it was trained."""

    @abstractmethod
    def _resume(self) -> None:
        """Go on with the batches behind `update`, and with rounded weights, once all else is restored."""

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here."""
        return {
            "update": self.update,
            "trained": self.weights.state_dict(),
            "matrices": self.matrices.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.update = state["update"]
        self.weights.load_state_dict(state["trained"])
        self.matrices.load_state_dict(state["matrices"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self._resume()


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

    SIGINT and SIGTERM do what they always do, but only after the update that is being made, when the state is saved.

    history    the validations, to which `keep_best` adds; more of `metric` is better
    validated  the update of the last one
    """
    settings = trainer.settings
    saved = logged = time.monotonic()
    losses: list[float] = []
    began = trainer.update

    def due() -> bool:
        since = trainer.update - validated
        return trainer.whole and since > 0 and (since >= settings.validate_every or trainer.update == settings.updates)

    with Stopping() as stopping:
        while True:
            last = trainer.update >= settings.updates
            if due():  # before the first update too, if it was stopped here
                with stopping.at_once():
                    keep_best()
                    validated = trainer.update
                    logged = time.monotonic()
                if not stopping.signal and settings.patience:
                    if _without_gain([one[metric] for one in history]) >= settings.patience:
                        return
            waited = time.monotonic() - saved > SAVE_SECONDS
            if stopping.signal or (trainer.update > began and (waited or last)):
                kept.save({**trainer.state(), "history": list(history), "validated": validated})
                saved = time.monotonic()
            stopping.stop()
            if last:
                return
            losses.append(trainer.step())
            if progress:
                progress("training", trainer.update, settings.updates)
            if trainer.update % LOG_UPDATES == 0 or trainer.update == settings.updates:
                now = time.monotonic()
                mean = sum(losses) / len(losses)
                kept.log(update=trainer.update, loss=round(mean, 4), seconds=round((now - logged) / len(losses), 3))
                logged, losses = now, []


def falling(rate: float, update: int, warmup: int, updates: int) -> float:
    """A rate in the update behind `update`: it rises to `rate` in `warmup` updates, then falls to 0 in a line."""
    if update < warmup:
        return rate * (update + 1) / warmup
    return rate * max(0.0, (updates - update) / max(1, updates - warmup))


class Stopping:
    """SIGINT and SIGTERM wait in the `with` block until the state is saved; a second one waits for nothing.

    signal  the one that came; None so far
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}
        self._at_once = False

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():  # signals are never handled elsewhere
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is in the block can be done again, and is left when a signal comes."""
        try:
            self._at_once = True
            yield
        except _Left:
            pass
        finally:
            self._at_once = False

    def stop(self) -> None:
        """Do now what the signal does that came, if one did: raise KeyboardInterrupt, or end the process."""
        if self.signal is not None:
            self.__exit__()
            signal.raise_signal(self.signal)

    def _note(self, number: int, _: object) -> None:
        if self.signal is not None:
            self.stop()
        self.signal = number
        if self._at_once:
            raise _Left


class _Left(BaseException):
    """A signal came where work can be left at once."""


def _without_gain(scores: Sequence[float]) -> int:
    """How many validations there were since the best one (of equals the first, which is the one that is kept)."""
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0
