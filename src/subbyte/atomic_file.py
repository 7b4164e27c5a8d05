"""Writing a file so that others see all of it or nothing, whatever stops us."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from subbyte.errors import SubbyteError, UsageError

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
    if out.is_symlink() or not out.is_file() or not _known(out, ours):
        raise UsageError(f"{out}: was not written by this command, so it is not replaced; choose another name")


def _known(out: Path, ours: Ours) -> bool:
    try:
        return ours(out)
    except Exception:
        return False
