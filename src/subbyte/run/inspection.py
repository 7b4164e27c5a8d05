"""What is in a model folder, and how this machine would run it, as one plain document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from subbyte.errors import FormatError
from subbyte.folders import opening
from subbyte.folders.files import read_json
from subbyte.folders.opening import open_to_run
from subbyte.folders.tensor_files import Entry
from subbyte.models.families import encoder_of
from subbyte.models.model import Model, SentenceVectors
from subbyte.models.pooling import width_of
from subbyte.numbers.packed import PackedMatrix
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.opening import engine_of
from subbyte.run.resident import instruction_sets
from subbyte.run.translation_engine import Engine

REPORT = "report.json"
REPORT_VALUES = 1 << 16
CARD = "README.md"
SOURCE_TYPES = {"F32": ("float32", 32), "F16": ("float16", 16), "BF16": ("bfloat16", 16), "I8": ("int8", 8)}

# How codes meet inputs (sentences times beams, or source tokens), few and many of them.
IN_REGISTERS = "codes unpacked in registers"
EXPANDED = "blocks of 16 rows expanded to int8 in the cache"
DENSE = "float32 weights as they are"


class TensorReport(TypedDict):
    """A tensor as it is stored.

    role         None for vectors, which stay in float32
    bits         of a weight's code; the mean over the rows where row clusters have different widths
    granularity  which weights share a scale: tensor, row, group N, with the number of row clusters; None for float
    bytes        in the safetensors file: codes, scales and all
    sqnr_db      signal to quantization noise when it was quantized; None for float, or if nothing was lost
    rule         what chose the scheme: a recipe and its rule, or a budget; None for float, or if the folder is older
    """

    name: str
    role: str | None
    shape: list[int]
    scheme: str
    bits: float
    granularity: str | None
    bytes: int
    sqnr_db: float | None
    rule: str | None


class KernelPath(TypedDict):
    """How matrices of one width are multiplied: with at most `few` inputs at once, and with more."""

    bits: int
    resident_bits: int
    few: int
    few_inputs: str
    many_inputs: str


class Kernels(TypedDict):
    """The instruction set that would run, all that this build and machine have or lack, and the path of each width."""

    isa: str
    available: list[str]
    unavailable: list[str]
    activations: str
    paths: list[KernelPath]


class Inspection(TypedDict):
    """A model folder in numbers. Sizes in bytes.

    answers        what an encoder makes of a text, and how, for people; None for translation
    parameters     elements of the weight tensors, tied ones once, constant position tables left out
    bytes_on_disk  of the whole folder except README.md
    bytes_float32  4 x parameters
    compression    bytes_float32 / size of the weights file
    average_bits   8 x size of the weights file / parameters: scales, header and vectors included
    weights_bytes  of the weights file, or files
    folder_bytes   of every file in the folder, vocabularies, report and card too
    folder_bits    8 x folder_bytes / parameters
    """

    architecture: str
    parameters: int
    bytes_on_disk: int
    bytes_float32: int
    compression: float
    average_bits: float
    resident_weight_bytes: int
    tensors: list[TensorReport]
    kernels: Kernels
    answers: str | None
    weights_bytes: int
    folder_bytes: int
    folder_bits: float


def inspect(folder: str | Path) -> Inspection:
    """The document of a converted or a float folder, from its files and from laying its weights out in memory."""
    model = open_to_run(folder)
    stored = opening.stored(Path(folder))
    weight_bytes = sum(path.stat().st_size for path in {path for path, _ in stored.values()})
    parameters = model.parameters
    engine = engine_of(model, threads=1)
    whole = sum(file.stat().st_size for file in files_in(Path(folder)))
    return {
        "architecture": model.architecture,
        "parameters": parameters,
        "bytes_on_disk": folder_bytes(Path(folder)),
        "bytes_float32": 4 * parameters,
        "compression": 4 * parameters / weight_bytes,
        "average_bits": 8 * weight_bytes / parameters,
        "resident_weight_bytes": engine.weight_bytes,
        "tensors": _tensors(model, {name: entry for name, (_, entry) in stored.items()}),
        "kernels": _kernels(model, engine),
        "answers": answers(model),
        "weights_bytes": weight_bytes,
        "folder_bytes": whole,
        "folder_bits": 8 * whole / parameters,
    }


def answers(model: Model) -> str | None:
    """What an encoder makes of a text, and how, in one line; None for what translates."""
    if model.task != "encode":
        return None
    settings = encoder_of(model.config)
    if settings.labels:
        many = f"scores of {settings.labels} labels" if settings.labels > 1 else "one score"
        return f"{many}, by {model.scores}"
    sentence = model.sentence or SentenceVectors()
    steps = [" and ".join(sentence.pooling), *(stage.kind for stage in sentence.stages)]
    said = [f"vectors of {width_of(sentence, settings.hidden)} values", ", then ".join(steps)]
    said += ["of length 1"] if sentence.normalize else []
    prompts = ", ".join(f"{name!r}{' (default)' * (name == sentence.default_prompt)}" for name in sentence.prompts)
    said += [f"prompts {prompts}"] if prompts else []
    said += [f"at most {sentence.max_tokens} tokens"] if sentence.max_tokens else []
    return "; ".join(said)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder except its card."""
    return sum(path.stat().st_size for path in files_in(folder) if path != folder / CARD)


def files_in(folder: Path) -> list[Path]:
    """Every file of a folder, and of those in it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def _tensors(model: Model, stored: Mapping[str, Entry]) -> list[TensorReport]:
    said = _reported(model.folder)
    aliases: dict[str, list[str]] = {name: [] for name in model.tensors}
    for alias, name in model.aliases.items():
        aliases[name].append(alias)
    reports: list[TensorReport] = []
    for name, tensor in model.tensors.items():
        role = str(model.roles[name]) if name in model.roles else None
        if isinstance(tensor, PackedMatrix) and name not in stored:
            scheme = str(tensor.scheme.get("family"))
            granularity: str | None = _granularity(tensor)
            bits: float = tensor.bits
            entries = [entry for key, entry in stored.items() if key.startswith(f"{name}.")]
        else:
            entries = [stored[key] for key in (name, *aliases[name]) if key in stored][:1]
            scheme, bits = SOURCE_TYPES[entries[0].dtype if entries else "F32"]
            granularity = "tensor" if scheme == "int8" else None  # int8: Marian's
        measured = said.get(name, {})
        reports.append({
            "name": name, "role": role, "shape": list(tensor.shape), "scheme": scheme,
            "bits": int(bits) if bits == int(bits) else bits, "granularity": granularity,
            "bytes": sum(entry.stop - entry.start for entry in entries),
            "sqnr_db": measured.get("sqnr_db"), "rule": measured.get("rule"),
        })  # fmt: skip
    return reports


def _kernels(model: Model, engine: Engine | EncoderEngine) -> Kernels:
    """What runs the products of a model that this engine holds."""
    few = engine.few_inputs if engine.activations != "float32" else 0
    paths: list[KernelPath] = []
    matrices = [model.tensors[name] for name in model.roles]
    blocks = [block for tensor in matrices if isinstance(tensor, PackedMatrix) for block in tensor.blocks]
    for bits in sorted({block.bits for block in blocks}):
        path = f"{EXPANDED}, {engine.activations} products"
        few_path = f"{IN_REGISTERS}, {engine.activations} products" if few else path
        resident = bits if bits <= 4 else 8
        paths.append({"bits": bits, "resident_bits": resident, "few": few, "few_inputs": few_path, "many_inputs": path})
    if any(isinstance(tensor, np.ndarray) for tensor in matrices):
        paths.append({"bits": 32, "resident_bits": 32, "few": 0, "few_inputs": DENSE, "many_inputs": DENSE})
    sets = instruction_sets()
    return {
        "isa": engine.isa,
        "available": [name for name, runs in sets if runs],
        "unavailable": [name for name, runs in sets if not runs],
        "activations": engine.activations,
        "paths": paths,
    }


def _granularity(tensor: PackedMatrix) -> str:
    if tensor.blocks[0].scale.shape == (1, 1) and tensor.shape[0] > 1:
        shared = "tensor"
    else:
        shared = "row" if tensor.groups == 1 else f"group {tensor.group_size}"
    return shared if len(tensor.blocks) == 1 else f"{shared}, {len(tensor.blocks)} clusters"


def _reported(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """Tensor name -> what report.json has of it: sqnr_db, rule; nothing where there is no such file."""
    where = folder / REPORT
    if not where.exists():
        return {}
    tensors = read_json(folder, REPORT, FormatError, 1 << 20, REPORT_VALUES).get("tensors", {})
    if not isinstance(tensors, dict) or not all(isinstance(tensor, dict) for tensor in tensors.values()):
        raise FormatError(f"{where}: tensors should say what was measured of each tensor")
    for name, tensor in tensors.items():
        for key, kind, said in (("sqnr_db", int | float, "a number"), ("rule", str, "text")):
            if not isinstance(tensor.get(key), kind | None):
                raise FormatError(f"{where}: {key} of {name} is {tensor[key]!r}, should be {said}")
    return tensors
