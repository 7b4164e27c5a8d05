"""activations.json: how the points of an encoder are rounded, in a converted folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from subbyte.errors import FormatError, SchemeError, fault_list
from subbyte.folders.files import read_json
from subbyte.models.encoder import Point
from subbyte.numbers.grids import Grid, grid_faults

FILE = "activations.json"
FORMAT = 2
KEYS = ("format", "permutation", "points")
MOST_VALUES = 1 << 16  # of the file; BERT-base with x, h and y per embedding has 56 thousand
MOST_BYTES = 1 << 22


def to_plain(grids: Mapping[str, Grid], permutation: Sequence[int] | None = None) -> dict[str, Any]:
    """What activations.json holds. `permutation` is the order of the embedding axis that the tensors are stored in.

    SchemeError if that is more than is read again.
    """
    values = sum(2 * grid.groups + 9 for grid in grids.values()) + len(permutation or ()) + len(KEYS)
    if values > MOST_VALUES:
        raise SchemeError(f"{values:,} numbers of activations are more than the {MOST_VALUES:,} that a folder may have")
    return {
        "format": FORMAT,
        "permutation": None if permutation is None else [int(i) for i in permutation],
        "points": {
            name: {**vars(grid), "scale": list(grid.scale), "zero": list(grid.zero)} for name, grid in grids.items()
        },
    }


def from_plain(
    document: Mapping[str, Any], points: Mapping[str, Point], where: str = FILE
) -> tuple[dict[str, Grid], tuple[int, ...] | None]:
    """Grids and permutation from a document that a stranger may have written; all its faults in one FormatError.

    points  those that the model has, by name
    """
    if document.get("format") != FORMAT or type(document["format"]) is not int:
        raise FormatError(f"{where}: is of format {document.get('format')!r}, should be {FORMAT}")
    faults = [f"{key!r} is not a key of it" for key in document if key not in KEYS]
    permutation = document.get("permutation")
    width = points["embeddings.output"].width
    if permutation is not None and not _is_permutation(permutation, width):
        faults.append(f"permutation should be the numbers 0..{width - 1} in some order, or null")
    listed = document.get("points")
    if not isinstance(listed, dict):
        faults.append("points should be an object")
        listed = {}
    grids = {}
    for name, plain in listed.items():
        if found := _point_faults(plain, points.get(name)):
            faults += [f"{name}: {fault}" for fault in found]
        else:
            grids[name] = Grid(**plain)
    if faults:
        raise FormatError(fault_list(where, faults))
    return grids, None if permutation is None else tuple(permutation)


def _is_permutation(numbers: object, width: int) -> bool:
    return isinstance(numbers, list) and {*map(type, numbers)} == {int} and sorted(numbers) == [*range(width)]


def _point_faults(plain: object, point: Point | None) -> list[str]:
    if point is None:
        return ["is not a point of this model"]
    if not isinstance(plain, dict) or plain.keys() != {"bits", "scale", "zero", "operand", "rotation"}:
        return ["should have bits, scale, zero, operand and rotation, and nothing else"]
    faults = grid_faults(**plain)
    if not faults and plain["operand"] and not point.multiplied:
        faults.append("is read by no matrix, so it cannot be an operand")
    if not faults and point.width % len(plain["scale"]):
        faults.append(f"{point.width} columns do not divide into {len(plain['scale'])} groups")
    if not faults and point.width % plain["rotation"]:
        faults.append(f"{point.width} columns do not divide into blocks of {plain['rotation']}")
    return faults


def read(folder: Path, points: Mapping[str, Point]) -> tuple[dict[str, Grid], tuple[int, ...] | None]:
    """Grids and permutation from the activations.json of a folder."""
    document = read_json(folder, FILE, FormatError, MOST_BYTES, MOST_VALUES)
    return from_plain(document, points, str(folder / FILE))
