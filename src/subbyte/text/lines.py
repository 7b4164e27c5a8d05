"""Lines of text from files and pipes. Only a line feed ends a line, so that every reader counts the same lines."""

import gzip
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator, Sized
from contextlib import nullcontext
from io import BytesIO, UnsupportedOperation
from pathlib import Path
from typing import BinaryIO, cast

from subbyte.errors import UsageError

PIECE = 1 << 12  # bytes of a packed file that are unpacked at a time, so that its position says where the lines are


def decode_lines(stream: Iterable[bytes], where: str) -> Iterator[str]:
    """The lines of a binary stream with their ends."""
    for number, line in enumerate(stream, start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as e:
            raise UsageError(
                f"{where}: line {number} is not UTF-8: byte {e.start + 1} of it is {line[e.start]:#04x}; "
                "convert the text, for instance with iconv -f latin1 -t utf-8"
            ) from None


def read_lines(path: str | Path) -> Iterator[str]:
    """The lines of a file without their ends, unpacked if its name ends in .gz; read as they are asked for."""
    return map(without_end, LineReader(path))


class LineReader:
    """The lines of a file or of stdin with their ends, read as they are asked for, and how far that has come.

    total     bytes of the file; None of a pipe, and before the first line
    position  bytes of the file that the lines so far are from; of a packed one, packed
    """

    def __init__(self, path: str | Path | None) -> None:
        """`path`: unpacked if its name ends in .gz; None or - : stdin."""
        self.path = None if path is None or str(path) == "-" else Path(path)
        self.total: int | None = None
        self.position = 0

    def __iter__(self) -> Iterator[str]:
        where = "stdin" if self.path is None else str(self.path)
        try:
            with self.path.open("rb") if self.path else nullcontext(sys.stdin.buffer) as file:
                self.total = _bytes_left(file)
                yield from decode_lines(self._counted(file), where)
        except (OSError, EOFError, zlib.error) as e:
            raise UsageError(f"{where}: cannot be read: {getattr(e, 'strerror', None) or e}") from None

    def _counted(self, file: BinaryIO) -> Iterator[bytes]:
        if self.path and self.path.suffix == ".gz":
            pieces = _Pieces(file)
            for line in gzip.GzipFile(fileobj=cast(BytesIO, pieces)):
                self.position = pieces.position
                yield line
        else:
            for line in file:
                self.position += len(line)
                yield line


class _Pieces:
    """A file that gives little at a time, and counts what it gave."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.position = file, 0

    def read(self, size: int) -> bytes:
        data = self.file.read(min(size, PIECE))
        self.position += len(data)
        return data


def _bytes_left(file: BinaryIO) -> int | None:
    """Those of a regular file behind where it stands; None of anything else."""
    try:
        status = os.fstat(file.fileno())
    except (UnsupportedOperation, AttributeError):
        return None
    return status.st_size - file.tell() if stat.S_ISREG(status.st_mode) else None


def require_parallel(source: str | Path, sources: Sized, target: str | Path, targets: Sized) -> None:
    """Raise UsageError unless the lines of both files are as many."""
    if len(sources) != len(targets):
        raise UsageError(
            f"{source} has {len(sources):,} lines and {target} has {len(targets):,}; "
            "line i of the one should be the translation of line i of the other"
        )


def without_end(line: str) -> str:
    """A line without its line feed, and without a carriage return before it."""
    return line.removesuffix("\n").removesuffix("\r")


def one_line(text: str) -> str:
    """A text without line ends, for a model may know pieces with some."""
    return text.replace("\r", " ").replace("\n", " ")
