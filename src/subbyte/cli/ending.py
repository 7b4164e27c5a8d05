"""How the program ends: every fault in a sentence, lines that are done written, and an exit code that says how."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

from subbyte.errors import SubbyteError

# without a name: what has one is caught where it is
OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF)
INTERRUPTED, CLOSED_PIPE, TERMINATED = (128 + one for one in (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM))


def open_streams() -> None:
    """Make stdin, stdout and stderr UTF-8, and open where they were closed before we came (as with `>&-`).

    What replaces a closed one fails when it is used, as the closed one would: stdin and stdout are /dev/null, opened
    the wrong way round. Nobody hears what is said to a closed stderr.
    """
    for name, mode, flags in (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, flags), mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # names of files may be anything


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM raises SystemExit here, so that temporary files go away and lines that are done are written."""

    def end(*_: Any) -> NoReturn:
        sys.exit(TERMINATED)

    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def sentence_of(error: Exception) -> str:
    """What people are told of an error."""
    if isinstance(error, SubbyteError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"there is not enough memory{f': {error}' if str(error) else ''}"
    if isinstance(error, OSError) and error.filename is None and error.errno in OF_WRITING:
        return _not_written(error)
    if isinstance(error, OSError):
        return f"{'' if error.filename is None else f'{error.filename}: '}{error.strerror or error}"
    said = " ".join(str(error).split())
    return f"this is a fault of subbyte itself: {type(error).__name__}: {said}; subbyte --debug ... shows where"


def finish(code: int, fault: str) -> int:
    """Write what is left to be written and say what went wrong; the exit code, which a stdout that fails changes."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or CLOSED_PIPE
        _discard(sys.stdout)
    except (OSError, KeyboardInterrupt) as error:
        if isinstance(error, OSError):
            code, fault = 1, _not_written(error)
        _discard(sys.stdout)
    try:
        if fault:
            print(f"subbyte: {fault}", file=sys.stderr)
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    return code


def _not_written(error: OSError) -> str:
    return f"stdout: cannot be written: {error.strerror or error}"


def _discard(stream: TextIO) -> None:
    """What the stream still holds goes nowhere, so that the interpreter does not fail to write it when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
