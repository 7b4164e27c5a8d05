"""The manifest in a model.safetensors: what the names and shapes of its arrays do not say, in both format versions.

`docs/format.md` has the keys.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from subbyte.errors import FormatError
from subbyte.folders.files import parse_json
from subbyte.folders.tensor_files import MOST_HEADER_VALUES, Header
from subbyte.models.model import Model
from subbyte.models.specification import Specification
from subbyte.numbers.packed import Block, PackedMatrix

PLAIN, PACKED = 1, 2  # format versions: as it was from the first day on; in as few bytes as can be
METADATA_KEY = "subbyte"
LARGEST_LEVEL = 127
MOST_BLOCKS = 8
KEYS = {
    PLAIN: {"format_version", "producer", "architecture", "activations", "aliases", "formats", "tensors"},
    PACKED: {"format_version", "producer", "activations", "formats", "tensors"},
}
FORMAT_KEYS: Mapping[int, Mapping[str, type]] = {
    PLAIN: {"scheme": dict, "blocks": list},
    PACKED: {"shape": list, "group_size": int, "blocks": list},
}


class Described(TypedDict):
    """What a manifest says of a matrix; what the fields hold is still unchecked."""

    scheme: dict[str, Any]
    shape: Any
    group_size: Any
    blocks: list[Any]


def version_of(*, packed: bool) -> int:
    """The format version of a folder."""
    return PACKED if packed else PLAIN


def manifest_of(model: Model, producer: str, *, packed: bool = False) -> dict[str, Any]:
    """The manifest of a model. Matrices of one kind share an entry of `formats`."""
    formats: list[dict[str, Any]] = []
    of_format = {}
    for name, tensor in model.tensors.items():
        if not isinstance(tensor, PackedMatrix):
            continue
        blocks = [_describe(block) for block in tensor.blocks]
        if packed:
            form: dict[str, Any] = {"shape": list(tensor.shape), "group_size": tensor.group_size}
        else:
            form = {"scheme": dict(tensor.scheme)}
        form = {**form, "blocks": blocks}
        if form not in formats:
            formats.append(form)
        of_format[name] = formats.index(form)
    head = {"format_version": version_of(packed=packed), "producer": producer}
    if packed:  # config.json says the rest
        tensors: Any = [of_format[name] for name in sorted(of_format)]
        return {**head, "activations": model.activations.word, "formats": formats, "tensors": tensors}
    tensors = {
        name: {
            "shape": list(model.tensors[name].shape),
            "role": str(model.roles[name]),
            "group_size": tensor.group_size,
            "format": of_format[name],
        }
        for name, tensor in model.tensors.items()
        if isinstance(tensor, PackedMatrix)
    }
    return {
        **head,
        "architecture": model.architecture,
        "activations": model.activations.word,
        "aliases": dict(model.aliases),
        "formats": formats,
        "tensors": tensors,
    }


def _describe(block: Block) -> dict[str, Any]:
    levels = {} if block.levels is None else {"levels": compact_levels(block.levels)}
    flags = {part: True for part in ("alphas", "zero") if getattr(block, part) is not None}
    return {"bits": block.bits, **levels, **flags}


def compact_levels(levels: tuple[int, ...]) -> dict[str, int] | list[int]:
    """Evenly spaced levels as first, step and last (which later codes repeat), others as they are."""
    compact = {"first": levels[0], "step": levels[1] - levels[0], "last": levels[-1]}
    return compact if compact["step"] > 0 and _spaced(len(levels), **compact) == levels else list(levels)


def _spaced(count: int, first: int, step: int, last: int) -> tuple[int, ...]:
    return tuple(min(first + step * code, last) for code in range(count))


def expand_levels(plain: object, bits: int) -> tuple[int, ...] | None:
    """The 2**bits levels of a manifest, or None if these are not such."""
    if isinstance(plain, dict) and plain.keys() == {"first", "step", "last"}:
        first, step, last = (plain[key] for key in ("first", "step", "last"))
        if not all(map(_is_level, (first, last))) or first > last or type(step) is not int or not 1 <= step <= 254:
            return None
        return _spaced(2**bits, first, step, last)
    if isinstance(plain, list) and len(plain) == 2**bits and all(map(_is_level, plain)):
        return tuple(plain)
    return None


def _is_level(value: object) -> bool:
    return type(value) is int and -LARGEST_LEVEL <= value <= LARGEST_LEVEL


def read_manifest(header: Header, where: str) -> dict[str, Any]:
    """The manifest of a file, of a version we read and with its keys; what the keys hold is still unchecked."""
    text = header.metadata.get(METADATA_KEY)
    if text is None:
        raise FormatError(f"{where}: has no {METADATA_KEY!r} in its metadata, so it is not a file of ours")
    manifest = parse_json(text.encode("utf-8"), f"{where}: metadata {METADATA_KEY!r}", FormatError, MOST_HEADER_VALUES)
    keys = KEYS[check_version(manifest.get("format_version"), where)]
    if manifest.keys() != keys:
        wrong = ", ".join(sorted(manifest.keys() ^ keys))
        raise FormatError(f"{where}: the manifest lacks or should not have: {wrong}")
    return manifest


def check_version(version: object, where: str) -> int:
    """A format version, if it is one we read."""
    if type(version) is not int or version < PLAIN:
        raise FormatError(f"{where}: format_version is {version!r}, should be {PLAIN} or {PACKED}")
    if version > PACKED:
        raise FormatError(
            f"{where}: was written by a later subbyte, in format version {version}; this one reads up to version "
            f"{PACKED}: upgrade subbyte"
        )
    return version


def described(
    manifest: Mapping[str, Any], spec: Specification, recipe: Mapping[str, Any], faults: list[str]
) -> dict[str, Described]:
    """What is said of each matrix whose entry has the right outline; faults are added for the others."""
    version = PACKED if manifest.get("format_version") == PACKED else PLAIN
    formats, tensors, wanted = manifest.get("formats"), manifest.get("tensors"), FORMAT_KEYS[version]
    if not isinstance(formats, list):
        faults.append("the manifest should have a list of formats")
        return {}
    for i, form in enumerate(formats):
        kinds = {key: type(value) for key, value in form.items()} if isinstance(form, dict) else {}
        if kinds != wanted or not 1 <= len(form["blocks"]) <= MOST_BLOCKS:
            faults.append(f"format {i} of the manifest should have {', '.join(wanted)}, and 1 to {MOST_BLOCKS} blocks")
            return {}
    if version == PACKED:
        return _in_order(tensors, formats, spec, _schemes(recipe), faults)
    return _by_name(tensors, formats, spec, faults)


def _in_order(
    tensors: Any, formats: list[Any], spec: Specification, schemes: Mapping[str, Any], faults: list[str]
) -> dict[str, Described]:
    """Of version 2: the format of each matrix, in the order of their names."""
    names = sorted(spec.roles)
    if not isinstance(tensors, list) or len(tensors) != len(names):
        faults.append(f"the manifest should have a list of {len(names)} tensors, as many as there are matrices")
        return {}
    found = {}
    for name, index in zip(names, tensors, strict=True):
        if _is_index(index, formats):
            found[name] = _described({"scheme": schemes.get(name, {}), **formats[index]})
        else:
            faults.append(f"{name}: format {index!r} is none of the {len(formats)} of the manifest")
    return found


def _by_name(tensors: Any, formats: list[Any], spec: Specification, faults: list[str]) -> dict[str, Described]:
    """Of version 1."""
    if not isinstance(tensors, dict):
        faults.append("the manifest should have an object of tensors")
        return {}
    found = {}
    for name, fields in tensors.items():
        role = spec.roles.get(name)
        if not isinstance(fields, dict) or fields.keys() != {"shape", "role", "group_size", "format"}:
            faults.append(f"{name}: should have exactly shape, role, group_size and format in the manifest")
        elif not _is_index(fields["format"], formats):
            faults.append(f"{name}: format {fields['format']!r} is none of the {len(formats)} of the manifest")
        elif role and fields["role"] != str(role):
            faults.append(f"{name}: role is {fields['role']!r}, should be {str(role)!r}")
        else:
            found[name] = _described({**formats[fields["format"]], **fields})
    return found


def _schemes(recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The scheme of each matrix as a resolved recipe has it; for people, so whatever else is there is passed over."""
    rules = recipe.get("tensors")
    return {
        name: {key: value for key, value in rule.items() if key != "match"}
        for rule in (rules if isinstance(rules, list) else [])
        if isinstance(rule, dict) and isinstance(rule.get("match"), list)
        for name in rule["match"]
        if isinstance(name, str)
    }


def _is_index(index: object, formats: list[Any]) -> bool:
    return type(index) is int and 0 <= index < len(formats)


def _described(fields: Mapping[str, Any]) -> Described:
    return {
        "scheme": fields["scheme"],
        "shape": fields["shape"],
        "group_size": fields["group_size"],
        "blocks": fields["blocks"],
    }
