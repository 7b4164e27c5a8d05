"""The working folder of a run: what it has done, its state, and the best model so far. It survives a kill."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from subbyte.errors import SubbyteError, UsageError
from subbyte.folders.files import read_json

STATE, LOG, RUN, TARGETS, BEST = "state.pt", "log.jsonl", "run.json", "targets.json", "best"
FINISHED = "finished"  # a key of run.json
OF_A_RUN = {"model", "recipe", "finetune"}  # keys that every run.json has
SHOWN = 3


class Checkpoints:
    """Files are written beside their place and then renamed, so each is whole, whatever stops us.

    best  where the folder of the best model is
    """

    def __init__(self, folder: Path, run: Mapping[str, Any], *, resume: bool, force: bool = False) -> None:
        """The working folder of a new run, or of one to resume.

        run    all that decides what comes out; a run is only resumed if it is the same
        force  a run that was not finished may be given up for a new one
        """
        self.folder, self.best = folder, folder / BEST
        self._run = json.loads(json.dumps(run, default=str))
        try:
            before = self._before()
            if resume and before is not None:
                self._refuse_other(before)
                return
            begun = any((folder / name).exists() for name in (STATE, LOG, TARGETS))
            if before is not None and begun and not before.get(FINISHED) and not force:
                raise UsageError(
                    f"{folder}: holds a run that was not finished; give --resume to go on, --force to start anew"
                )
            folder.mkdir(parents=True, exist_ok=True)
            for name in (STATE, LOG, TARGETS):
                (folder / name).unlink(missing_ok=True)
        except OSError as e:
            raise SubbyteError(f"{folder}: cannot be written: {e.strerror or e}") from e
        self._note(self._run)

    def _before(self) -> dict[str, Any] | None:
        """The run that the folder is of; None where there is nothing. Raises UsageError for a folder that is not ours.

        Ours has run.json, for which such a folder is used, and nothing is ever removed from another.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder}: is a file; give the name of a working folder with --checkpoints")
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return None
        try:
            before = read_json(self.folder, RUN, UsageError)
        except UsageError:
            before = {}
        if not OF_A_RUN <= before.keys():
            names = sorted(path.name for path in self.folder.iterdir())[:SHOWN]
            raise UsageError(
                f"{self.folder}: is not a working folder of subbyte finetune, for it has no {RUN} of a run; it holds "
                f"{', '.join(names)}; give another name with --checkpoints"
            )
        return before

    def _refuse_other(self, before: Mapping[str, Any]) -> None:
        """Raise UsageError unless the run `before` can be resumed as this one."""
        if before.get(FINISHED):
            raise UsageError(f"{self.folder}: the run in it is finished; leave --resume out to start anew")
        differing = sorted(key for key in {*before, *self._run} if before.get(key) != self._run.get(key))
        if differing:
            raise UsageError(
                f"{self.folder}: holds a run with other settings ({', '.join(differing)}); give the same ones to "
                "resume it, or start anew with --force"
            )

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep the state in place of the one before."""
        with self._written(STATE) as path:
            torch.save(dict(state), path)

    def load(self) -> dict[str, Any] | None:
        """The state, if there is one."""
        path = self.folder / STATE
        return torch.load(path, weights_only=True) if path.exists() else None

    def log(self, **facts: Any) -> None:
        """Append a line to the log."""
        try:
            with (self.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(facts) + "\n")
        except OSError as e:
            raise SubbyteError(f"{self.folder / LOG}: cannot be written: {e.strerror or e}") from e

    def targets(self) -> list[list[int]] | None:
        """The teacher's translations, if they were made."""
        path = self.folder / TARGETS
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def keep_targets(self, targets: list[list[int]]) -> None:
        """Keep the teacher's translations."""
        with self._written(TARGETS) as path:
            path.write_text(json.dumps(targets), "utf-8")

    def clear(self) -> None:
        """Remove the files of a run that is done, and note that it is."""
        self._note({**self._run, FINISHED: True})
        for name in (STATE, TARGETS):
            (self.folder / name).unlink(missing_ok=True)

    def _note(self, run: Mapping[str, Any]) -> None:
        with self._written(RUN) as path:
            path.write_text(json.dumps(run, indent=1), "utf-8")

    @contextmanager
    def _written(self, name: str) -> Iterator[Path]:
        """Where to write what will be the file of this name."""
        temporary = self.folder / f".{name}"
        try:
            yield temporary
            os.replace(temporary, self.folder / name)
        except (OSError, RuntimeError) as e:  # torch has its own for a full disk
            with suppress(OSError):
                temporary.unlink()
            raise SubbyteError(f"{self.folder / name}: cannot be written: {getattr(e, 'strerror', None) or e}") from e
