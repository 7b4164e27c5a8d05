"""Files that strangers wrote: which file a name may mean, how large it may be, and JSON without surprises.

Every function takes the exception to raise, because the same fault is a `ModelError` in a source folder and a
`FormatError` in a converted one.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from subbyte.errors import SubbyteError

JSON_LIMIT = 1 << 20  # bytes; a parsed document takes up to about twenty times its text
FAULTS_SHOWN = 40
FAULT_LENGTH = 400  # characters; what a fault quotes may be long


def fault_list(where: str, faults: list[str]) -> str:
    """One message that names every fault, or the first FAULTS_SHOWN of them and how many more there are."""
    shown = [fault if len(fault) <= FAULT_LENGTH else f"{fault[:FAULT_LENGTH]} ..." for fault in faults[:FAULTS_SHOWN]]
    more = [f"... and {len(faults) - FAULTS_SHOWN} more"] if len(faults) > FAULTS_SHOWN else []
    return "\n  ".join([f"{where}:", *shown, *more])


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
    cache = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
    if target.parent != home and target.parent != cache:
        raise error(f"{path}: is a link that leads out of the folder, to {target}")
    if not stat.S_ISREG(mode):
        raise error(f"{path}: is not a regular file")
    return path


def read_file(folder: Path, name: str, error: type[SubbyteError], limit: int) -> bytes:
    """The bytes of a file that may have at most `limit` of them."""
    path = regular_file(folder, name, error)
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as e:
        raise error(f"{path}: cannot be read: {e}") from None
    if len(data) > limit:
        raise error(f"{path}: is larger than {limit:,} bytes, more than such a file may have")
    return data


def read_json(folder: Path, name: str, error: type[SubbyteError], limit: int = JSON_LIMIT) -> dict[str, Any]:
    """The object in a JSON file."""
    return parse_json(read_file(folder, name, error, limit), str(folder / name), error)


def parse_json(text: bytes, where: str, error: type[SubbyteError]) -> dict[str, Any]:
    """The object that `text` is, in strict JSON: UTF-8, no key twice, no NaN, no nesting beyond Python's."""

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = sorted({key for key in keys if keys.count(key) > 1}) if len(keys) < 1000 else "..."
            raise ValueError(f"keys that occur twice: {twice}")
        return found

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=object_of, parse_constant=constant)
    except UnicodeDecodeError as e:
        raise error(f"{where}: is not UTF-8: byte {e.start} is {text[e.start]:#04x}") from None
    except RecursionError:
        raise error(f"{where}: is nested too deeply") from None
    except ValueError as e:
        raise error(f"{where}: is not valid JSON: {e}") from None
    if not isinstance(document, dict):
        raise error(f"{where}: should hold a JSON object, holds {type(document).__name__}")
    return document
