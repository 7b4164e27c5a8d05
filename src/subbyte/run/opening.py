"""Opening a model to run it, and what Translator, Encoder and Classifier have in common once they are open."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from subbyte.errors import UsageError
from subbyte.folders.opening import open_to_run
from subbyte.models.model import Model, Task
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.translation_engine import Engine

ENGINES: Mapping[Task, type[Engine] | type[EncoderEngine]] = {"translate": Engine, "encode": EncoderEngine}

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Opening:
    """From which folder something was opened (None: from a model in memory), and with which arguments."""

    folder: Path | None
    options: dict[str, Any]


def engine_of(model: Model, *, threads: int | None = None) -> Engine | EncoderEngine:
    """The engine that runs what a model does, laid out for this machine."""
    return ENGINES[model.task](model, threads=threads)


def opened(folder: str | Path | Model, require: Callable[[Model], None], activations: str | None) -> Model:
    """The model to run, which `require` may refuse (models.kinds)."""
    model = folder if isinstance(folder, Model) else open_to_run(folder, activations)
    require(model)
    return model


class Opened:
    """Something that was opened from a folder: Translator, Encoder and Classifier; they say how it is shared."""

    _opening: Opening | None = None  # of one that was put together by hand

    @property
    def _engine(self) -> Any:
        return vars(self)["engine"]

    def close(self) -> None:
        """Free the memory of the model; whatever is asked of it afterwards is a UsageError."""
        closed = _Closed(type(self).__name__)
        vars(self).update(engine=closed, tokenizer=closed)

    def __enter__(self) -> Self:
        if isinstance(self._engine, _Closed):
            raise UsageError(self._engine.sentence)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = self._opening.folder if self._opening else None
        source = f"from_pretrained({str(where)!r})" if where else "of a model in memory"
        if isinstance(self._engine, _Closed):
            return f"<{type(self).__name__} {source}: closed>"
        if self._opening is None:
            return f"<{type(self).__name__} put together by hand>"
        running = f"{self._engine.activations} activations, {self._engine.isa}, {self._engine.threads} threads"
        return f"<{type(self).__name__} {source}: {self._engine.about}, {running}>"

    def __copy__(self) -> Self:
        """Another one that shares the model, which nothing changes."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def __deepcopy__(self, _: object) -> Self:
        return self.__copy__()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        name = type(self).__name__
        if isinstance(self._engine, _Closed):
            raise UsageError(self._engine.sentence)
        if self._opening is None or self._opening.folder is None:
            raise UsageError(
                f"this {name} cannot be pickled: it was not opened from a folder, which another process could open "
                f"again; save its model, and open that with {name}.from_pretrained(folder)"
            )
        return _reopened, (type(self), str(self._opening.folder), self._opening.options)


class _Closed:
    """In the place of engine and tokenizer once they are gone."""

    def __init__(self, name: str) -> None:
        self.sentence = f"this {name} is closed; open it again with {name}.from_pretrained"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UsageError(self.sentence)


def _reopened(kind: type[Any], folder: str, options: dict[str, Any]) -> Any:
    return kind.from_pretrained(folder, **options)


def remembered(function: F) -> F:
    """A from_pretrained whose results know where they are from. Raises UsageError for what is no folder's name."""

    @wraps(function)
    def opening(cls: type[Any], folder: str | Path | Model, **options: Any) -> Any:
        if not isinstance(folder, str | os.PathLike | Model):
            raise UsageError(f"{cls.__name__}.from_pretrained takes the name of a folder, not {type(folder).__name__}")
        found = function(cls, folder, **options)
        place = None if isinstance(folder, Model) else Path(folder).absolute()
        found._opening = Opening(place, dict(options))
        return found

    return cast(F, opening)
