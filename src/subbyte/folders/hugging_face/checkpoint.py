"""Float tensors of a Hugging Face folder, in one safetensors file or several, found by name and read one at a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from subbyte.errors import ModelError, fault_list
from subbyte.folders import foreign
from subbyte.folders.files import read_json, regular_file
from subbyte.folders.tensor_files import MOST_TENSORS, Entry, open_header, read_floats

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = "pytorch_model.bin"
PICKLES = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")


@dataclass(frozen=True)
class Checkpoint:
    """Where the tensors of a folder lie; nothing but headers has been read."""

    folder: Path
    places: Mapping[str, tuple[Path, Entry]]

    def read(self, name: str) -> np.ndarray:
        """One tensor as float32, in its stored shape."""
        path, entry = self.places[name]
        return read_floats(path, entry, name)


def open_checkpoint(folder: Path, auto: str = "AutoModelForSeq2SeqLM") -> Checkpoint:
    """The tensors of `model.safetensors`, or of the files that `model.safetensors.index.json` names.

    auto  the class of transformers that would read a pickle, for the sentence that refuses one
    """
    if (folder / SINGLE).exists():
        return Checkpoint(folder, _places(folder, SINGLE))
    if (folder / INDEX).exists():
        return Checkpoint(folder, _sharded_places(folder))
    if pickles := sorted(path.name for path in folder.iterdir() if PICKLES.fullmatch(path.name)):
        raise ModelError(
            f"{folder}: holds its weights in {pickles[0]}, a pickle, which can run code when it is read; convert it "
            f'once with `python -c "from transformers import {auto} as M; '
            f"M.from_pretrained('{folder}').save_pretrained('{folder}')\"` where torch and transformers are installed"
        )
    other = foreign.other_format(folder)
    raise ModelError(f"{folder}: has no weights: neither {SINGLE} nor {INDEX} is there{f'; {other}' if other else ''}")


def _places(folder: Path, name: str) -> dict[str, tuple[Path, Entry]]:
    path = regular_file(folder, name, ModelError)
    return {tensor: (path, entry) for tensor, entry in open_header(path, ModelError).entries.items()}


def _sharded_places(folder: Path) -> dict[str, tuple[Path, Entry]]:
    where = f"{folder / INDEX}"
    weight_map = read_json(folder, INDEX, ModelError).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise ModelError(f"{where}: weight_map should say in which file each tensor is")
    found: dict[str, dict[str, tuple[Path, Entry]]] = {}
    for file in sorted(set(weight_map.values())):
        found[file] = _places(folder, file)
        if sum(map(len, found.values())) > MOST_TENSORS:
            raise ModelError(f"{where}: its files hold more than {MOST_TENSORS:,} tensors, more than we read")
    faults = [f"{name} is not in {file}" for name, file in weight_map.items() if name not in found[file]]
    for file, places in found.items():
        faults += [f"{name} is in {file}, not where the index says" for name in places if weight_map.get(name) != file]
    if faults:
        raise ModelError(fault_list(where, faults))
    return {name: found[file][name] for name, file in weight_map.items()}
