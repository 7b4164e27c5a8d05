"""Loading a converted folder, checked whole. `weights_reader` knows what is in model.safetensors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from subbyte.errors import FormatError, ModelError, fault_list
from subbyte.folders import config_json
from subbyte.folders.converted import grids_file
from subbyte.folders.converted.mark import is_converted, unmarked
from subbyte.folders.converted.weights_file import WEIGHTS, check_version, read_manifest
from subbyte.folders.converted.weights_reader import tensors_of
from subbyte.folders.files import open_regular, read_json, regular_file
from subbyte.folders.tensor_files import Header, read_header
from subbyte.models import encoder, labels, pooling
from subbyte.models.families import ARCHITECTURES
from subbyte.models.family import Settings
from subbyte.models.model import Activations, Model, Scores, SentenceVectors, activations_of
from subbyte.numbers.grids import Grid

PIECE = 1 << 22  # bytes read at a time
READERS = 4  # threads


def load(folder: str | Path) -> Model:
    """The model in a converted folder, checked whole; its arrays are views of one buffer, the file's content.

    Raises FormatError, with every fault that was found, for a folder that is damaged, altered or of another version.
    """
    folder = Path(folder)
    config = read_json(folder, "config.json", FormatError)
    if not is_converted(config):
        raise FormatError(f"{folder}: is not a folder that subbyte converted")
    config = unmarked(config, str(folder / "config.json"))
    quantization = config["quantization_config"]
    check_version(quantization.get("format_version"), str(folder / "config.json"))
    recipe = quantization.get("recipe")
    if not isinstance(recipe, dict):
        raise FormatError(f"{folder / 'config.json'}: quantization_config has no recipe")
    try:
        name = config_json.architecture_of(config, str(folder / "config.json"))
        family = ARCHITECTURES[name]
        settings = family.settings(config, str(folder / "config.json"))
        generation = config_json.read_generation(folder, config, family)
    except ModelError as e:
        raise FormatError(str(e)) from None
    spec = settings.specification()
    sentence, scores = _answers(quantization, settings, str(folder / "config.json"))
    if sentence:
        spec = replace(spec, shapes={**spec.shapes, **pooling.shapes(sentence)})

    where = str(folder / WEIGHTS)
    header, body, start = _read_weights(folder)
    manifest = read_manifest(header, where)
    tensors, faults = tensors_of(header, body, start, manifest, spec)
    if manifest["architecture"] != name:
        faults.append(f"the manifest is that of {manifest['architecture']!r}, config.json that of {name!r}")
    if manifest["aliases"] != spec.aliases:
        faults.append(f"the manifest ties {manifest['aliases']!r}, config.json {dict(spec.aliases)!r}")
    word = manifest["activations"]
    if word not in get_args(Activations):
        faults.append(f"activations are {word!r}, should be 'int8', 'float32' or 'static'")
    if faults:
        raise FormatError(fault_list(where, faults))
    grids: Mapping[str, Grid] = {}
    permutation = None
    if word == "static":
        if not isinstance(settings, encoder.Settings):
            raise FormatError(f"{where}: static activations are those of encoders, this is a {name}")
        grids, permutation = grids_file.read(folder, settings.points())
    return Model(
        name, family.task, config, generation, tensors, spec.roles, spec.aliases, folder, activations_of(word, grids),
        recipe, permutation, sentence=sentence, scores=scores,
    )  # fmt: skip


def _answers(
    quantization: Mapping[str, Any], settings: Settings, where: str
) -> tuple[SentenceVectors | None, Scores | None]:
    """How an encoder makes vectors of texts, and scores of logits; None of what makes none."""
    if not isinstance(settings, encoder.Settings):
        return None, None
    plain = quantization.get("sentence")
    sentence = None if plain is None else pooling.from_plain(plain, where, FormatError, settings.hidden)
    if not settings.labels:
        return sentence, None
    scores = quantization.get("scores", labels.scores_of_older(settings.labels))
    if scores not in get_args(Scores):
        raise FormatError(f"{where}: scores is {scores!r}, should be one of {', '.join(get_args(Scores))}")
    return sentence, scores


def _read_weights(folder: Path) -> tuple[Header, np.ndarray, int]:
    """The header of model.safetensors, the bytes after it, and where in the file they start."""
    path = regular_file(folder, WEIGHTS, FormatError)
    try:
        with open_regular(path) as file:
            header = read_header(file, str(path), FormatError)
            start = file.tell()
            body = np.empty(max((entry.stop for entry in header.entries.values()), default=start) - start, np.uint8)
            count = _read_into(file.fileno(), body, start)
    except (OSError, MemoryError) as e:  # a file with holes can be larger than memory
        raise FormatError(f"{path}: cannot be read: {e}") from None
    if count != body.size:
        raise FormatError(f"{path}: was cut short while it was read")
    return header, body, start


def _read_into(descriptor: int, body: np.ndarray, start: int) -> int:
    """Fill `body` with the file from byte `start` on; returns how many bytes there were.

    Most of the time is spent on making the memory present, which cores do side by side.
    """

    def read(first: int) -> int:
        return os.preadv(descriptor, [body[first : first + PIECE].data], start + first)

    if body.size <= PIECE:
        return read(0)
    with ThreadPoolExecutor(READERS) as pool:
        return sum(pool.map(read, range(0, body.size, PIECE)))
