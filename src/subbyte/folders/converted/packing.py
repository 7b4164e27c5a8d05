"""A compressed folder in fewer bytes, without changing one answer: the same model, in format 2."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from subbyte.errors import FormatError, UsageError
from subbyte.folders.config_json import CONFIG
from subbyte.folders.converted import loading, saving
from subbyte.folders.converted.mark import is_converted
from subbyte.folders.converted.weights_file import WEIGHTS, suffixes
from subbyte.folders.files import named_path, read_file, read_json
from subbyte.folders.tensor_files import open_header
from subbyte.models.model import Model
from subbyte.numbers.packed import PackedMatrix
from subbyte.progress import Progress

REPORT = "report.json"
REPORT_LIMIT, REPORT_VALUES = 1 << 22, 1 << 17
RECIPE_LIMIT = 1 << 20
VECTORS, HEADER, FILES = "vectors", "header of the weights", "other files"


class Saved(TypedDict):
    """The bytes of what is of one kind. coded: the blocks whose codes are entropy coded, of all; None of other kinds."""

    kind: str
    before: int
    after: int
    coded: int | None
    blocks: int | None


class Packing(TypedDict):
    """What packing saved. Sizes in bytes, of all files."""

    before: int
    after: int
    kinds: list[Saved]


def pack(
    folder: str | Path, out: str | Path, *, force: bool = False, progress: Progress | None = None
) -> Packing:
    """Write the compressed model in `folder` into the folder `out` in as few bytes as can be, and say what was saved.

    Every number of the model stays as it is, and so does every answer. Nothing takes more bytes than before.

    progress  called with the name of a phase, what of it is done, and what there is in all

    Raises UsageError if `folder` is not compressed or `out` may not be written, FormatError if it is damaged.

    >>> subbyte.pack("small", "smaller")["after"]
    7930304
    """
    folder, out = named_path(folder), named_path(out)
    if not folder.is_dir() or not (folder / CONFIG).exists() or not is_converted(read_json(folder, CONFIG, FormatError)):
        raise UsageError(f"{folder}: is not a compressed folder; subbyte quantize makes one of a float32 model")
    saving.refuse_output(folder, out, force=force)
    model = loading.load(folder)
    if progress:
        progress("packing", 0, 1)
    report = read_json(folder, REPORT, FormatError, REPORT_LIMIT, REPORT_VALUES) if (folder / REPORT).exists() else {}
    recipe = None
    if (folder / saving.RECIPE).exists():
        recipe = read_file(folder, saving.RECIPE, FormatError, RECIPE_LIMIT).decode("utf-8", "replace")
    saving.save(model, out, report=_without_producer(report), recipe=recipe, force=force, packed=True)
    if progress:
        progress("packing", 1, 1)
    before, after = (_sizes(one, model) for one in (folder, out))
    coded, blocks = _coded(out, model)
    kinds: list[Saved] = [
        {
            "kind": kind,
            "before": before.get(kind, 0),
            "after": after.get(kind, 0),
            "coded": coded.get(kind, 0) if kind in blocks else None,
            "blocks": blocks.get(kind),
        }
        for kind in dict.fromkeys([*before, *after])
    ]
    return {"before": sum(before.values()), "after": sum(after.values()), "kinds": kinds}


def _without_producer(report: Mapping[str, Any]) -> dict[str, Any]:
    """What was reported when the model was made; who writes it now is added again."""
    return {key: value for key, value in report.items() if key != "producer"}


def _sizes(folder: Path, model: Model) -> dict[str, int]:
    """Kind -> bytes: codes by scheme and width, what stands beside them, vectors, the header, every other file."""
    header = open_header(folder / WEIGHTS, FormatError)
    left = {name: entry.stop - entry.start for name, entry in header.entries.items()}
    sizes: dict[str, int] = {}
    for name, (kind, key) in _codes(model).items():
        for part in ("codes", "coded"):
            sizes[kind] = sizes.get(kind, 0) + left.pop(f"{name}.{part}{key}", 0)
    beside = "scales, zeros, alphas and clusters"
    for array, size in left.items():
        kind = VECTORS if array in model.tensors else beside
        sizes[kind] = sizes.get(kind, 0) + size
    sizes[HEADER] = header.start
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != WEIGHTS:
            name = path.name.removesuffix(".gz").removesuffix(".xz")
            sizes[name] = path.stat().st_size
    return sizes


def _codes(model: Model) -> dict[str, tuple[str, str]]:
    return {}


def _coded(out: Path, model: Model) -> tuple[dict[str, int], dict[str, int]]:
    return {}, {}
