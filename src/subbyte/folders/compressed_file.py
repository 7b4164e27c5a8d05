"""Packed files: by gzip, xz or Zstandard, under the name of what is in them with .gz, .xz or .zst behind it.

Firefox's models are served so, and vocabularies lie so in packed folders. Where a file is there unpacked too, that one
is read. Unpacking is bounded: no file gives more than MOST_RATIO times its own size and LEAST_ROOM, for what it then
takes of memory is in proportion to what somebody has stored.
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
from subbyte.folders.files import MOST_VALUES, open_regular, parse_json, read_file, regular_file

SUFFIXES = (".gz", ".xz", ".zst")
MOST_RATIO = 32  # weights in int8 come to 1.4, and vocabularies to 3
LEAST_ROOM = 1 << 20  # bytes that any file may have unpacked
PIECE = 1 << 18  # bytes unpacked at a time
FEW = 128  # bytes given to zstandard at a time: they unpack to 4 MB at most, which nothing else bounds
LARGEST_WINDOW = 1 << 27  # bytes of memory that a file may ask for; the limit of the program zstd
XZ_MEMORY = 10 << 20  # the same of xz: what the program xz makes by default asks for 9 MiB
LARGEST_DICTIONARY = 1 << 23  # bytes, of the files that we pack by xz
# bits of context of xz (lc, lp, pb): its own, for numbers that stand on multiples of four, for text
CONTEXTS = ((3, 0, 2), (2, 2, 2), (4, 0, 0))


def plain_name(name: str) -> str:
    """The name of what is in a file: without .gz, .xz or .zst."""
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def name_on_disk(folder: Path, name: str) -> str:
    """The name under which a file is there: its own, or that of its packed form; its own if there is neither."""
    return next((one for one in (name, *(name + suffix for suffix in SUFFIXES)) if (folder / one).exists()), name)


def is_there(folder: Path, name: str) -> bool:
    """Whether a file is there, as it is or packed."""
    return (folder / name_on_disk(folder, name)).exists()


def read_plain(folder: Path, name: str, error: type[SubbyteError], limit: int) -> bytes:
    """The content, of at most `limit` bytes, of a file that is there as it is or packed."""
    stored = name_on_disk(folder, name)
    if stored == name:
        return read_file(folder, name, error, limit)
    return bytes(unpacked(regular_file(folder, stored, error), error, limit))


def read_plain_json(
    folder: Path, name: str, error: type[SubbyteError], limit: int, most_values: int = MOST_VALUES
) -> dict[str, Any]:
    """The object in such a file of JSON."""
    return parse_json(read_plain(folder, name, error, limit), str(folder / name), error, most_values)


def smallest(name: str, data: bytes) -> tuple[str, bytes]:
    """The name and the content with which a file takes the fewest bytes: as it is, or packed by gzip or xz."""
    forms = [(name, data), (f"{name}.gz", gzip.compress(data, 9, mtime=0))]
    forms += [(f"{name}.xz", packed) for packed in _by_xz(data)]
    return min((form for form in forms if len(data) <= _most(len(form[1]))), key=lambda form: len(form[1]))


def _by_xz(data: bytes) -> list[bytes]:
    """Packed by xz, in each of CONTEXTS; in none where this Python was built without it."""
    try:
        import lzma
    except ImportError:
        return []
    window = min(max(1 << 12, 1 << (len(data) - 1).bit_length()), LARGEST_DICTIONARY) if data else 1 << 12
    chains = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": window, "lc": lc, "lp": lp, "pb": pb}
              for lc, lp, pb in CONTEXTS]  # fmt: skip
    return [lzma.compress(data, check=lzma.CHECK_CRC32, filters=[chain]) for chain in chains]


def _most(size: int) -> int:
    """Bytes that a packed file of so many may unpack to."""
    return MOST_RATIO * size + LEAST_ROOM


def unpacked(path: Path, error: type[SubbyteError], limit: int | None = None) -> bytearray:
    """What is in a file whose name ends in one of SUFFIXES, if it is whole and not more than `limit` bytes."""
    data = bytearray()
    try:
        with open_regular(path) as file:
            most = _most(os.fstat(file.fileno()).st_size)
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
    if path.name.endswith(".xz"):
        yield from _xz_pieces(file, path, error)
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


def _xz_pieces(file: BinaryIO, path: Path, error: type[SubbyteError]) -> Iterator[bytes]:
    """Stream by stream: its own reader takes whatever comes behind a whole one for nothing."""
    try:
        import lzma
    except ImportError:
        raise error(
            f"{path}: is packed by xz, for which this Python was built without its module lzma; unpack it "
            f"(xz -d {path.name}), or take another Python"
        ) from None
    packed = file.read(PIECE)
    try:
        while True:
            stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)
            while not stream.eof:
                if stream.needs_input and not packed:
                    raise EOFError
                yield stream.decompress(packed, PIECE)
                packed = file.read(PIECE) if stream.needs_input else b""
            packed = stream.unused_data or file.read(PIECE)
            if not packed:
                return
    except lzma.LZMAError as e:
        raise OSError(f"{e} (in at most {XZ_MEMORY >> 20} MiB of memory)") from None


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
