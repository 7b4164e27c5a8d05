"""Files that are others than those that were meant: links, pipes, files that change while they are read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.hostile import FAMILY, error_of, use, weights_of
from subbyte.errors import UsageError
from subbyte.folders import files
from subbyte.folders.converted import saving
from subbyte.folders.opening import open_model
from subbyte.run.translation_engine import Engine


def test_links_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("lex", "manifest", "report", "README")):
            continue
        path.rename(tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
        with pytest.raises(FAMILY, match="leads out of the folder"):
            use(folder)
        path.unlink()
        (tmp_path / path.name).rename(path)
    use(folder)


def test_pipes_do_not_block(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("lex", "manifest", "report", "README")):
            continue
        data = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(FAMILY, match="not a regular file"):
            use(folder)
        path.unlink()
        path.write_bytes(data)


def test_hard_links_are_files_like_others(folder: Path, tmp_path: Path) -> None:
    os.link(weights_of(folder), tmp_path / "other name")
    use(folder)


def test_a_file_that_becomes_a_pipe_after_it_was_checked_does_not_block(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights_of(folder)
    checked = files.open_regular

    def swap(opened: Path) -> Any:
        if opened.name == path.name and opened.is_file():
            opened.unlink()
            os.mkfifo(opened)
        return checked(opened)

    monkeypatch.setattr("subbyte.folders.tensor_files.open_regular", swap)
    with pytest.raises(error_of(folder), match="no longer a regular file"):
        open_model(folder)


@pytest.mark.parametrize("left", [0, 1, 0.5, 0.99])
def test_a_file_that_shrinks_while_it_is_read_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, left: float
) -> None:
    """It is cut after its size was asked for, as by a download that begins again."""
    path = weights_of(folder)
    size = path.stat().st_size
    fstat = os.fstat

    def cut(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        if found.st_ino == path.stat().st_ino and found.st_size == size and cut.calls:  # type: ignore[attr-defined]
            os.truncate(path, int(left) if left in (0, 1) else int(size * left))
        cut.calls += found.st_ino == path.stat().st_ino  # type: ignore[attr-defined]
        return found

    cut.calls = 0  # type: ignore[attr-defined]  # the first look is whether it is a regular file
    monkeypatch.setattr(os, "fstat", cut)
    with pytest.raises(error_of(folder), match=r"cut short|not a whole|not valid JSON"):
        open_model(folder)


def test_weights_that_were_read_do_not_change_with_the_file(folder: Path) -> None:
    model = open_model(folder)
    engine = Engine(model, threads=1)
    before = engine.logits([5, 0], [3, 4])
    weights_of(folder).write_bytes(b"")
    assert np.array_equal(before, Engine(model, threads=1).logits([5, 0], [3, 4]))


def test_a_folder_is_never_saved_onto_itself(originals: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(originals / "converted", tmp_path / "m"))
    with pytest.raises(UsageError, match="is the folder of the source model"):
        saving.save(open_model(folder), folder, report={}, force=True)
    use(folder)
