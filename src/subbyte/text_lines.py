"""Lines of text from files and pipes. Only a line feed ends a line, so that every reader counts the same lines."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from subbyte.errors import UsageError

Item = TypeVar("Item")


def decode_lines(stream: Iterable[bytes], where: str) -> Iterator[str]:
    """The lines of a binary stream without their ends (a line feed, perhaps with a carriage return before it)."""
    return map(without_end, decode_whole_lines(stream, where))


def decode_whole_lines(stream: Iterable[bytes], where: str) -> Iterator[str]:
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
    return map(without_end, read_whole_lines(path))


def read_whole_lines(path: str | Path) -> Iterator[str]:
    """The lines of a file with their ends, unpacked if its name ends in .gz; read as they are asked for."""
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from decode_whole_lines(file, str(path))
    except (OSError, EOFError, zlib.error) as e:
        raise UsageError(f"{path}: cannot be read: {getattr(e, 'strerror', None) or e}") from None


def without_end(line: str) -> str:
    """A line without its line feed, and without a carriage return before it."""
    return line.removesuffix("\n").removesuffix("\r")


def one_line(text: str) -> str:
    """A text without line ends, for a model may know pieces with some."""
    return text.replace("\r", " ").replace("\n", " ")


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, `size` at a time, read as they are asked for. Raises UsageError for a size below 1."""
    if size < 1:
        raise UsageError(f"batch size is {size}, should be at least 1")
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
