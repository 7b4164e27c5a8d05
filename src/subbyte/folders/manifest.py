"""manifest.json: the size and sha256 of every file that we wrote into a folder, and what in it is not ours."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subbyte.errors import FormatError
from subbyte.folders.files import json_text, open_regular, read_json

NAME = "manifest.json"
NEEDED = ("config.json", "model.safetensors")  # of every model, so in every manifest


def manifest_of(files: Mapping[str, bytes], *, spaced: bool = True) -> bytes:
    """The manifest of a folder with these files."""
    entries = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    return json_text({"files": entries}, spaced=spaced)


def listed(folder: Path) -> dict[str, Any]:
    """Name -> {"size", "sha256"} of the files that the folder's manifest lists. Raises FormatError without one."""
    found = read_json(folder, NAME, FormatError).get("files")
    if not isinstance(found, dict) or not {*NEEDED} <= found.keys():
        raise FormatError(f"{folder / NAME}: should list the files of the folder, {' and '.join(NEEDED)} among them")
    return found


def entry_of(path: Path) -> dict[str, Any]:
    """What a manifest says of a file, as it is now. Raises OSError."""
    with open_regular(path) as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def strangers(folder: Path) -> list[str]:
    """The names in a folder of what is not as we wrote it, and would be lost with it; "(changed)" is behind some.

    Of a folder without a manifest of our form that is everything. What is listed and missing is no loss. Raises
    OSError.
    """
    names = sorted(path.name for path in folder.iterdir())
    try:
        ours = listed(folder)
    except FormatError:
        return names
    lost = []
    for name in names:
        path = folder / name
        if path.is_symlink() or not path.is_file() or name not in {NAME, *ours}:
            lost.append(name)
        elif name != NAME and entry_of(path) != ours[name]:
            lost.append(f"{name} (changed)")
    return lost
