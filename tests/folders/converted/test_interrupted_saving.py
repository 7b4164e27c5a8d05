"""Saving that is interrupted leaves no trace."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders.same_models import assert_same
from subbyte.errors import SubbyteError
from subbyte.folders import atomic
from subbyte.folders.converted import loading, saving
from subbyte.models.model import Model


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.rename", "pathlib.Path.write_bytes", "pathlib.Path.mkdir"])
def test_a_full_disk_leaves_no_trace(
    model: Model, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, force: bool
) -> None:
    out = tmp_path / "home" / "out"
    out.parent.mkdir()
    if force:
        shutil.copytree(saved, out)
    before = sorted(path.name for path in out.parent.iterdir())
    monkeypatch.setattr(where, no_space)
    monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    with pytest.raises(SubbyteError, match="cannot be written: No space left on device"):
        saving.save(model, out, report={}, force=force)
    monkeypatch.undo()
    assert sorted(path.name for path in out.parent.iterdir()) == before
    if force:
        assert_same(loading.load(out), model)


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.write_bytes"])
def test_an_interruption_leaves_no_trace(model: Model, out: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        saving.save(model, out, report={}, force=True)
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert '"seed": 0' in (out / "report.json").read_text()


def test_a_rename_that_fails_half_way_puts_the_old_folder_back(
    model: Model, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def second_fails(path: Path, target: Path) -> Path:
        if ".subbyte-new-" in path.name:
            no_space()
        return rename(path, target)

    monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(SubbyteError, match="No space left"):
        saving.save(model, out, report={}, force=True)
    assert '"seed": 0' in (out / "report.json").read_text()
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_folders_without_exchange_are_replaced_too(model: Model, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    saving.save(model, out, report={}, force=True)
    assert '"seed": 0' not in (out / "report.json").read_text() and [path.name for path in out.parent.iterdir()] == [
        "out"
    ]


KILLED = """
import os, sys
from pathlib import Path
from subbyte.folders.atomic import new_folder
with new_folder(Path(sys.argv[1]), force=True) as folder:
    (folder / "half").write_text("half")
    os._exit(9)
"""


def test_what_a_killed_run_left_goes_with_the_next(model: Model, out: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED, out], env={**os.environ, "PYTHONPATH": ":".join(sys.path)}, check=False
    )
    left = [path.name for path in out.parent.iterdir() if path.name != "out"]
    assert len(left) == 1 and left[0].startswith(".out.subbyte-new-")
    assert_same(loading.load(out), model)
    saving.save(model, out, report={}, force=True)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_old_folder_that_was_only_moved_aside_comes_back(model: Model, out: Path) -> None:
    aside = out.parent / ".out.subbyte-old-00000000"
    out.rename(aside)
    with pytest.raises(RuntimeError, match="stop"), atomic.new_folder(out, force=True):
        raise RuntimeError("stop")
    assert_same(loading.load(out), model)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_the_folder_of_a_run_that_is_alive_is_left_alone(model: Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with atomic.new_folder(out, force=True) as other:
        (other / "half").write_text("half")
        saving.save(model, out, report={})
        assert (other / "half").exists()
    assert [path.name for path in out.iterdir()] == ["half"]  # the last to finish wins, whole
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
