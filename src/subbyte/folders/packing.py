"""A compressed folder in fewer bytes, without changing one answer: the same model, in format 2."""

from pathlib import Path
from typing import TypedDict

from subbyte.errors import FormatError, UsageError
from subbyte.folders.compressed_file import plain_name
from subbyte.folders.converted import saving
from subbyte.folders.converted.weights_file import WEIGHTS, suffixes
from subbyte.folders.files import named_path, read_file, read_json
from subbyte.folders.opening import open_model
from subbyte.folders.tensor_files import open_header
from subbyte.models.model import Model
from subbyte.numbers.packed import PackedMatrix
from subbyte.progress import Progress

REPORT = "report.json"
REPORT_LIMIT, REPORT_VALUES = 1 << 22, 1 << 17
RECIPE_LIMIT = 1 << 20
PARTS = ("codes", "coded")  # what the codes of a block are called in the file
BESIDE, VECTORS, HEADER = "scales, zeros, alphas, clusters", "vectors", "header of model.safetensors"


class Saved(TypedDict):
    """The bytes of what is of one kind, and of its blocks of codes those that are entropy coded."""

    kind: str
    before: int
    after: int
    blocks: int
    coded: int


class Packing(TypedDict):
    """What packing saved. Sizes in bytes, of all files."""

    before: int
    after: int
    kinds: list[Saved]


def pack(folder: str | Path, out: str | Path, *, force: bool = False, progress: Progress | None = None) -> Packing:
    """Write the compressed model in `folder` into the folder `out` in as few bytes as can be, and say what was saved.

    Every number of the model stays as it is, and so does every answer (docs/packing.md).

    force     an older folder `out` may be replaced, if nothing is in it but what was written then
    progress  called with the name of a phase, what of it is done, and what there is in all

    Raises UsageError if `folder` is not compressed or `out` may not be written, FormatError if it is damaged.

    >>> subbyte.pack("small", "smaller")["after"]
    7930304
    """
    folder, out = named_path(folder), named_path(out)
    model = open_model(folder)
    if not model.compressed:
        raise UsageError(f"{folder}: is a float32 model; subbyte quantize makes a compressed folder of it")
    saving.refuse_output(folder, out, force=force)
    report = read_json(folder, REPORT, FormatError, REPORT_LIMIT, REPORT_VALUES) if (folder / REPORT).exists() else {}
    report.pop("producer", None)  # who writes it now is named anew
    recipe = None
    if (folder / saving.RECIPE).exists():
        recipe = read_file(folder, saving.RECIPE, FormatError, RECIPE_LIMIT).decode("utf-8", "replace")
    if progress:
        progress("packing", 0, 1)
    saving.save(model, out, report=report, recipe=recipe, force=force, packed=True)
    if progress:
        progress("packing", 1, 1)
    return _compared(folder, out, model)


def _compared(folder: Path, out: Path, model: Model) -> Packing:
    """What the files of a model take in two folders."""
    kind_of = {
        f"{name}.{part}{suffix}": f"codes of {block.bits} bits, {tensor.scheme.get('family')}"
        for name, tensor in model.tensors.items()
        if isinstance(tensor, PackedMatrix)
        for suffix, block in zip(suffixes(len(tensor.blocks)), tensor.blocks, strict=True)
        for part in PARTS
    }
    kinds: dict[str, Saved] = {}
    for key, where in (("before", folder), ("after", out)):
        header = open_header(where / WEIGHTS, FormatError)
        sizes = [(kind_of.get(array) or (VECTORS if array in model.tensors else BESIDE), entry.stop - entry.start)
                 for array, entry in header.entries.items()]  # fmt: skip
        sizes.append((HEADER, header.start))
        others = [path for path in sorted(where.iterdir()) if path.is_file() and path.name != WEIGHTS]
        sizes += [(plain_name(path.name), path.stat().st_size) for path in others]
        for kind, size in sizes:
            kinds.setdefault(kind, {"kind": kind, "before": 0, "after": 0, "blocks": 0, "coded": 0})
            kinds[kind][key] += size  # type: ignore[literal-required]
    for array in header.entries:
        if array in kind_of:
            kinds[kind_of[array]]["blocks"] += 1
            kinds[kind_of[array]]["coded"] += ".coded" in array
    found = list(kinds.values())
    return {"before": sum(k["before"] for k in found), "after": sum(k["after"] for k in found), "kinds": found}
