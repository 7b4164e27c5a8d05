#!/usr/bin/env python3
"""Coverage-guided fuzzing of the readers that are Python: pip install atheris, then

    python fuzz/atheris_readers.py READER [-max_total_time=60] [CORPUS ...]

READER is one of READERS below. Inputs that raise anything but the reader's own error are faults; libFuzzer writes them
to `crash-*` beside, and `python fuzz/atheris_readers.py READER crash-...` runs one again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent))

with atheris.instrument_imports(include=["subbyte"]):
    import numpy as np

    from subbyte.compress.recipes.recipe import parse_recipe
    from subbyte.errors import FormatError, ModelError, RecipeError
    from subbyte.folders.bergamot.flat_yaml import parse_flat_yaml
    from subbyte.folders.bergamot.model_file import BYTES, floats, parse_items
    from subbyte.folders.converted import weights_manifest, weights_reader
    from subbyte.folders.files import parse_json
    from subbyte.folders.tensor_files import read_header
    from subbyte.models.model import Role
    from subbyte.models.specification import Specification

# of tests/golden/format1.safetensors, which is a good first input
SPECIFICATION = Specification({"w": (2, 3), "b": (2,)}, {"w": Role("output", "decoder")}, {"v": "w"})
SCRATCH = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)) / "input"


def marian(data: bytes) -> None:
    """A *.bin of Marian, and the values in it."""
    for item in parse_items(np.frombuffer(data, np.uint8), "input").values():
        if item.type != BYTES:
            floats(item, "input")


def packed(data: bytes) -> None:
    """A model.safetensors of ours."""
    SCRATCH.write_bytes(data)
    with SCRATCH.open("rb") as file:
        header = read_header(file, "input", FormatError)
        body = np.frombuffer(file.read(), np.uint8)
    manifest = weights_manifest.read_manifest(header, "input")
    weights_reader.tensors_of(header, body, manifest, SPECIFICATION)


def manifest(data: bytes) -> None:
    """Only the manifest of such a file; the arrays are those of the golden one."""
    weights_reader.tensors_of(HEADER, BODY, parse_json(data, "input", FormatError), SPECIFICATION)


def json(data: bytes) -> None:
    """A JSON file."""
    parse_json(data, "input", FormatError)


def yaml(data: bytes) -> None:
    """A *.yml of Marian."""
    parse_flat_yaml(data, "input")


def recipe(data: bytes) -> None:
    """A recipe in TOML."""
    parse_recipe(data.decode("utf-8", "replace"), "input", "input")


READERS: Mapping[str, tuple[Callable[[bytes], None], type[Exception]]] = {
    "marian": (marian, ModelError),
    "packed": (packed, FormatError),
    "manifest": (manifest, FormatError),
    "json": (json, FormatError),
    "yaml": (yaml, ModelError),
    "recipe": (recipe, RecipeError),
}
with (Path(__file__).resolve().parents[1] / "tests" / "golden" / "format1.safetensors").open("rb") as golden:
    HEADER = read_header(golden, "golden", FormatError)
    BODY = np.frombuffer(golden.read(), np.uint8)


def main() -> None:
    """The command line; never returns."""
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"{__doc__}\nreaders: {' '.join(READERS)}")
    read, refusal = READERS[sys.argv.pop(1)]

    def once(data: bytes) -> None:
        try:
            read(data)
        except refusal as error:
            str(error).encode("utf-8", "backslashreplace")

    atheris.Setup([*sys.argv, "-timeout=10"], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
