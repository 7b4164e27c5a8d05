"""Files as they are served: packed by gzip or Zstandard, under the name of what is in them with .gz or .zst behind it.

Unpacking is bounded: no file gives more than MOST_RATIO times its own size and LEAST_ROOM, for what it then takes of
memory is in proportion to what somebody has stored.
"""

import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from subbyte.errors import SubbyteError
from subbyte.folders.files import open_regular, read_file, regular_file

SUFFIXES = (".gz", ".zst")
MOST_RATIO = 32  # weights in int8 come to 1.4, and vocabularies to 3
LEAST_ROOM = 1 << 20  # bytes that any file may have unpacked
PIECE = 1 << 18  # bytes unpacked at a time
FEW = 128  # bytes given to zstandard at a time: they unpack to 4 MB at most, which nothing else bounds
LARGEST_WINDOW = 1 << 27  # bytes of memory that a file may ask for; the limit of the program zstd


def plain_name(name: str) -> str:
    """The name of what is in a file: without .gz or .zst."""
    return name.removesuffix(".gz") if name.endswith(".gz") else name.removesuffix(".zst")


def name_on_disk(folder: Path, name: str) -> str:
    """The name under which a file is there: its own, or that of its packed form; its own if there is neither."""
    return next((one for one in (name, *(name + suffix for suffix in SUFFIXES)) if (folder / one).exists()), name)


def read_plain(folder: Path, name: str, error: type[SubbyteError], limit: int) -> bytes:
    """The content, of at most `limit` bytes, of a file that is there as it is or packed."""
    stored = name_on_disk(folder, name)
    if stored == name:
        return read_file(folder, name, error, limit)
    return bytes(unpacked(regular_file(folder, stored, error), error, limit))


def unpacked(path: Path, error: type[SubbyteError], limit: int | None = None) -> bytearray:
    """What is in a file whose name ends in .gz or .zst, if it is whole and not more than `limit` bytes."""
    data = bytearray()
    try:
        with open_regular(path) as file:
            most = MOST_RATIO * os.fstat(file.fileno()).st_size + LEAST_ROOM
            most = most if limit is None else min(most, limit)
            for piece in _pieces(file, path, error):
                if len(data) + len(piece) > most:
                    raise error(f"{path}: unpacks to more than {most:,} bytes, more than such a file may have")
                data += piece
            if not data:
                raise EOFError
    except EOFError:
        raise error(f"{path}: is cut short; download it again") from None
    except (OSError, zlib.error, MemoryError) as e:  # gzip's own error is an OSError
        raise error(f"{path}: cannot be unpacked: {e}; download it again") from None
    return data


def _pieces(file: BinaryIO, path: Path, error: type[SubbyteError]) -> Iterator[bytes]:
    if path.name.endswith(".gz"):
        with gzip.GzipFile(fileobj=file) as source:
            yield from iter(partial(source.read, PIECE), b"")
        return
    if sys.version_info >= (3, 14):
        from compression import zstd

        try:
            with zstd.ZstdFile(file) as unpacking:
                yield from iter(partial(unpacking.read, PIECE), b"")
        except zstd.ZstdError as e:
            raise OSError(str(e)) from None
        return
    try:
        import zstandard
    except ImportError:
        raise error(
            f"{path}: is packed with Zstandard, which this Python does not read; "
            f"unpack it (zstd -d {path.name}), or pip install zstandard"
        ) from None
    try:
        yield from _zstandard_pieces(file, zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW))
    except zstandard.ZstdError as e:
        raise OSError(str(e)) from None


def _zstandard_pieces(file: BinaryIO, decompressor: Any) -> Iterator[bytes]:
    """Frame by frame: its own reader takes a file that was cut short for whole."""
    packed = file.read(FEW)
    while True:
        frame = decompressor.decompressobj()
        while not frame.eof:
            if not packed:
                raise EOFError
            yield frame.decompress(packed)
            packed = file.read(FEW) if not frame.eof else b""
        packed = frame.unused_data + file.read(FEW)
        if not packed:
            return
