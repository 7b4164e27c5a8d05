"""Writing a file so that others see all of it or nothing, whatever stops us."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from subbyte.errors import SubbyteError, UsageError


@contextmanager
def new_file(out: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """A file beside `out`, to be written in the `with` block, which becomes `out` when the block ends well.

    Raises UsageError if `out` exists and may not be replaced, SubbyteError if it cannot be written.
    """
    if out.is_dir() or (out.exists() and not force):
        raise UsageError(f"{out}: already exists; choose another name, or give --force to replace it")
    new = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        with new.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, out)
    except OSError as e:
        raise SubbyteError(f"{out}: cannot be written: {e.strerror or e}") from e
    finally:
        new.unlink(missing_ok=True)
