"""Files that strangers wrote: which file a name may mean, how large it may be, and JSON without surprises.

Every function takes the exception to raise, because the same fault is a `ModelError` in a source folder and a
`FormatError` in a converted one.
"""

import json
import math
import os
import re
import stat
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from subbyte.errors import SubbyteError, UsageError

JSON_LIMIT = 1 << 19  # bytes
MOST_VALUES = 1 << 14  # of a JSON document; each takes up to about 150 bytes, whatever it has in the text
MOST_LEVELS = 64  # of nesting; Python itself would allow some hundreds, but not everywhere
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def named_path(name: object) -> Path:
    """The path that somebody gave. Raises UsageError for what is no name of a file or folder."""
    path = os.fspath(name) if isinstance(name, str | os.PathLike) else None
    if not isinstance(path, str):
        raise UsageError(f"{name!r} is no name of a file or folder, which are strings or paths")
    return Path(path)


def regular_file(folder: Path, name: str, error: type[SubbyteError]) -> Path:
    """The path of the file `name` directly inside `folder`.

    Refused are names with a directory part, links that lead out of the folder, and everything that is not a regular
    file (a pipe would block for ever). Links into the `blobs` beside `snapshots` are what the Hugging Face cache is
    made of, and are followed.
    """
    path = folder / name
    if name in ("", ".", "..") or "\0" in name or "/" in name or "\\" in name:
        raise error(f"{folder}: {name!r} is not the name of a file in this folder")
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except FileNotFoundError:
        raise error(f"{path}: the file is missing") from None
    except (OSError, RuntimeError) as e:  # RuntimeError: a loop of links, before Python 3.13
        raise error(f"{path}: cannot be read: {e}") from None
    home = folder.resolve()
    # a snapshot, or a folder in one, as sentence-transformers has them
    cache = next((above.parent / "blobs" for above in home.parents[:2] if above.name == "snapshots"), home)
    if target.parent != home and target.parent != cache:
        raise error(f"{path}: is a link that leads out of the folder, to {target}")
    if not stat.S_ISREG(mode):
        raise error(f"{path}: is not a regular file")
    return path


def read_file(folder: Path, name: str, error: type[SubbyteError], limit: int) -> bytes:
    """The bytes of a file that may have at most `limit` of them."""
    path = regular_file(folder, name, error)
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size + 1) if size <= limit else b""  # Python allocates first what it is asked to read
    except OSError as e:
        raise error(f"{path}: cannot be read: {e}") from None
    if size > limit:
        raise error(f"{path}: is larger than {limit:,} bytes, more than such a file may have")
    if len(data) != size:
        raise error(f"{path}: was changed while it was read")
    return data


def open_regular(path: Path) -> BufferedReader:
    """The file, open for reading. An OSError if it has meanwhile become a pipe or a device, which could block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no longer a regular file")
    return open(descriptor, "rb")


def read_json(
    folder: Path, name: str, error: type[SubbyteError], limit: int = JSON_LIMIT, most_values: int = MOST_VALUES
) -> dict[str, Any]:
    """The object in a JSON file of at most `limit` bytes."""
    return parse_json(read_file(folder, name, error, limit), str(folder / name), error, most_values)


def parse_json(text: bytes, where: str, error: type[SubbyteError], most_values: int = MOST_VALUES) -> dict[str, Any]:
    """The object that `text` is, in strict JSON: UTF-8, finite numbers, no key twice, at most MOST_LEVELS of nesting.

    `most_values` bounds the commas and opening brackets, counted before anything is made of them (those inside strings
    too), so that a short text does not become large in memory.
    """

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = sorted({key for key in keys if keys.count(key) > 1}) if len(keys) < 1000 else "..."
            raise ValueError(f"keys that occur twice: {twice}")
        return found

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    def number(digits: str) -> float:
        if not math.isfinite(value := float(digits)):
            raise ValueError(f"{digits[:20]} is too large")
        return value

    if text.count(b",") + text.count(b"[") + text.count(b"{") > most_values:
        raise error(f"{where}: holds more than {most_values:,} values, more than such a document may have")
    try:
        document = json.loads(
            text.decode("utf-8"), object_pairs_hook=object_of, parse_constant=constant, parse_float=number
        )
    except UnicodeDecodeError as e:
        raise error(f"{where}: is not UTF-8: byte {e.start} is {text[e.start]:#04x}") from None
    except RecursionError:
        raise error(f"{where}: is nested too deeply") from None
    except ValueError as e:
        raise error(f"{where}: is not valid JSON: {e}") from None
    if not isinstance(document, dict):
        raise error(f"{where}: should hold a JSON object, holds {type(document).__name__}")
    if _levels(document) > MOST_LEVELS:
        raise error(f"{where}: is nested too deeply, in more than {MOST_LEVELS} levels")
    if SURROGATE.search(text):
        try:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise error(f"{where}: is not UTF-8: a string holds half of a surrogate pair") from None
    return document


def json_text(document: Mapping[str, Any], *, spaced: bool = True) -> bytes:
    """A document as we write it: for people, or in as few bytes as can be."""
    layout: dict[str, Any] = {"indent": 2} if spaced else {"separators": (",", ":")}
    return (json.dumps(document, ensure_ascii=False, **layout) + "\n").encode()


def _levels(document: dict[str, Any]) -> int:
    """How deep a document is nested, counted up to one more than MOST_LEVELS."""
    level: list[Any] = [document]
    for depth in range(MOST_LEVELS + 1):
        values = (value for item in level for value in (item.values() if isinstance(item, dict) else item))
        level = [value for value in values if isinstance(value, dict | list)]
        if not level:
            return depth + 1
    return MOST_LEVELS + 1
