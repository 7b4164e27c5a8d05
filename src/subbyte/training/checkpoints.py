"""The working folder of a run: what it has done, its state, and the best model so far. It survives a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from subbyte.errors import UsageError

STATE, LOG, RUN, TARGETS, BEST = "state.pt", "log.jsonl", "run.json", "targets.json", "best"


class Checkpoints:
    """Files are written beside their place and then renamed, so each is whole, whatever stops us."""

    def __init__(self, folder: Path, run: Mapping[str, Any], *, resume: bool, force: bool = False) -> None:
        """The working folder of a new run, or of one to resume.

        run    all that decides what comes out; a run is only resumed if it is the same
        force  a run that was not finished may be given up for a new one
        """
        self.folder = folder
        if resume and (folder / RUN).exists():
            before = json.loads((folder / RUN).read_text("utf-8"))
            differing = sorted(
                key for key in {*before, *run} if before.get(key) != json.loads(json.dumps(run)).get(key)
            )
            if differing:
                raise UsageError(
                    f"{folder}: holds a run with other settings ({', '.join(differing)}); give the same ones to resume "
                    "it, or start anew with --force"
                )
            return
        if (folder / STATE).exists() and not force:
            raise UsageError(
                f"{folder}: holds a run that was not finished; give --resume to go on, --force to start anew"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name in (STATE, LOG, TARGETS):
            (folder / name).unlink(missing_ok=True)
        self._write(RUN, json.dumps(run, indent=1).encode())

    @property
    def best(self) -> Path:
        """Where the folder of the best model is."""
        return self.folder / BEST

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep the state in place of the one before."""
        temporary = self.folder / f".{STATE}"
        torch.save(dict(state), temporary)
        os.replace(temporary, self.folder / STATE)

    def load(self) -> dict[str, Any] | None:
        """The state, if there is one."""
        path = self.folder / STATE
        return torch.load(path, weights_only=True) if path.exists() else None

    def log(self, **facts: Any) -> None:
        """Append a line to the log."""
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")

    def targets(self) -> list[list[int]] | None:
        """The teacher's translations, if they were made."""
        path = self.folder / TARGETS
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def keep_targets(self, targets: list[list[int]]) -> None:
        """Keep the teacher's translations."""
        self._write(TARGETS, json.dumps(targets).encode())

    def clear(self) -> None:
        """Remove the files of a run that is done."""
        for name in (STATE, TARGETS):
            (self.folder / name).unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        temporary = self.folder / f".{name}"
        temporary.write_bytes(content)
        os.replace(temporary, self.folder / name)
