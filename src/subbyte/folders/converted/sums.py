"""Whether a converted folder is as it was written."""

from __future__ import annotations

from pathlib import Path

from subbyte.errors import FormatError, fault_list
from subbyte.folders import foreign
from subbyte.folders.converted.mark import is_converted
from subbyte.folders.files import named_path, regular_file
from subbyte.folders.manifest import NAME, entry_of, listed

SUMS = NAME


def verify(folder: str | Path) -> tuple[str, ...]:
    """The names of the files whose size and sha256 were found to be those of manifest.json; extra files are tolerated.

    Raises FormatError with every file that is missing or differs.
    """
    folder = named_path(folder)
    if not folder.exists():
        raise FormatError(f"{folder}: there is no such folder{foreign.of_nothing(folder)}")
    if not folder.is_dir():
        raise FormatError(f"{folder}: is a file; a model is a folder{foreign.of_file(folder)}")
    if not (folder / SUMS).exists() and not is_converted(foreign.json_of(folder / "config.json")):
        raise FormatError(f"{folder}: has no {SUMS}: it was not written by subbyte, and there are no sums to compare")
    faults = []
    files = listed(folder)
    for name, expected in files.items():
        try:
            found = entry_of(regular_file(folder, name, FormatError))
        except FormatError as e:
            faults.append(str(e))
        except OSError as e:
            faults.append(f"{name}: cannot be read: {e}")
        else:
            if found != expected:
                faults.append(f"{name}: is {found}, should be {expected}")
    if faults:
        raise FormatError(fault_list(f"{folder / SUMS}: files that differ", faults))
    return tuple(files)
