"""Writing a folder so that others see all of it or none of it, whatever stops us."""

import ctypes
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from subbyte.errors import SubbyteError, UsageError, few
from subbyte.folders.manifest import strangers

AT_FDCWD = -100
RENAME_EXCHANGE = 2

Strangers = Callable[[Path], list[str]]  # the names in a folder of what would be lost with it


@contextmanager
def new_folder(out: Path, *, force: bool, strangers: Strangers = strangers) -> Iterator[Path]:
    """An empty folder beside `out`, to be filled in the `with` block, which becomes `out` when the block ends.

    If the block raises, or the disk is full, `out` is as it was and nothing is left beside it. With `force` an old
    folder `out` without `strangers` is exchanged for the new one in one step. What killed runs left is named
    `.OUT.subbyte-*` and removed by the next run for the same `out`; the folder of a run that is still alive is locked,
    and left alone.

    Raises UsageError if `out` exists and may not be replaced, SubbyteError if it cannot be written.
    """
    refuse_existing(out, force=force, strangers=strangers)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _tidy(out)
        new = _beside(out, "new")
        new.mkdir()
        with _locked(new, required=False):
            try:
                yield new
                _sync(new)
                refuse_existing(out, force=force, strangers=strangers)  # much may have come there meanwhile
                _put_in_place(new, out)
                _sync_one(out.parent)
            finally:
                shutil.rmtree(new, ignore_errors=True)  # after an exchange this is the old folder
    except OSError as e:
        raise SubbyteError(f"{out}: cannot be written: {e.strerror or e}") from e


def refuse_existing(out: Path, *, force: bool, strangers: Strangers = strangers) -> None:
    """Raise UsageError unless nothing is at `out`, or an empty folder, or with `force` one that has no `strangers`."""
    try:
        if out.is_symlink():
            raise UsageError(f"{out}: is a link; give the name of a folder to write")
        if not out.exists():
            return
        if not out.is_dir():
            raise UsageError(f"{out}: is a file; give the name of a folder to write")
        if not any(out.iterdir()):
            return
        if not force:
            raise UsageError(f"{out}: already exists; choose another name, or give --force to replace it")
        lost = strangers(out)
    except OSError as e:
        raise SubbyteError(f"{out}: cannot be read: {e.strerror or e}") from e
    if lost:
        raise UsageError(
            f"{out}: is not replaced, because it holds what subbyte did not write there: {few(lost)}; move that away, "
            "or choose another name"
        )


def refuse_unwritable(out: Path) -> None:
    """Raise SubbyteError if a folder cannot be made at `out`: tried, so that it is known before long work."""
    above = next((path for path in out.absolute().parents if path.exists()), Path("/"))
    trial = above / f".{out.name}.{secrets.token_hex(4)}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as e:
        raise SubbyteError(f"{out}: cannot be written: {e.strerror or e}") from e


def _beside(out: Path, kind: str) -> Path:
    return out.parent / f".{out.name}.subbyte-{kind}-{secrets.token_hex(4)}"


def _tidy(out: Path) -> None:
    """Remove what killed runs for the same `out` left; an old folder that was moved aside for nothing returns."""
    for left in sorted(out.parent.glob(f".{_literal(out.name)}.subbyte-*-*")):
        with suppress(OSError), _locked(left, required=True):
            if ".subbyte-old-" in left.name and not out.exists():
                left.rename(out)
            else:
                shutil.rmtree(left, ignore_errors=True)


def _literal(name: str) -> str:
    """`name` as a glob pattern that matches only itself."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


@contextmanager
def _locked(folder: Path, *, required: bool) -> Iterator[None]:
    """Hold the lock that says a run is alive. `required`: raise an OSError if another one holds it, or none can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held by another run, or a network file system that locks no folders
            if required:
                raise
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    """Everything in the folder is on the disk when this returns."""
    for path in (*folder.rglob("*"), folder):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(new: Path, out: Path) -> None:
    """Give `new` the name `out`; an old `out` gets the name `new`, or is removed."""
    if not out.exists() or not any(out.iterdir()):
        new.rename(out)
    elif not _exchange(new, out):  # a file system without exchange: for a moment there is nothing at `out`
        old = _beside(out, "old")
        out.rename(old)
        try:
            new.rename(out)
        except OSError:
            old.rename(out)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE) == 0)


Ours = Callable[[Path], bool]  # whether a file is one that we wrote; what it raises means no


@contextmanager
def new_file(out: Path, *, force: bool = False, ours: Ours = lambda _: False) -> Iterator[IO[bytes]]:
    """A file beside `out`, to be written in the `with` block, which becomes `out` when the block ends well.

    With `force` an older file `out` may be replaced, if it is `ours`.

    Raises UsageError if `out` exists and may not be replaced, SubbyteError if it cannot be written.
    """
    _refuse_existing(out, force, ours)
    new = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        with new.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _refuse_existing(out, force, ours)  # it may have come there meanwhile
        os.replace(new, out)
    except OSError as e:
        raise SubbyteError(f"{out}: cannot be written: {e.strerror or e}") from e
    finally:
        with suppress(OSError):
            new.unlink()


def _refuse_existing(out: Path, force: bool, ours: Ours) -> None:
    if not os.path.lexists(out):
        return
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; give the name of a file to write")
    if not force:
        raise UsageError(f"{out}: already exists; choose another name, or give --force to replace it")
    with suppress(Exception):
        if not out.is_symlink() and out.is_file() and ours(out):
            return
    raise UsageError(f"{out}: was not written by this command, so it is not replaced; choose another name")
