"""How a folder of sentence-transformers makes one vector of a text, and as converted folders keep it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from subbyte.errors import ModelError, SubbyteError
from subbyte.files import JSON_LIMIT, fault_list, parse_json, read_file, read_json
from subbyte.model import SentenceVectors

MODULES = "modules.json"
LENGTH = "sentence_bert_config.json"
KINDS = ("Transformer", "Pooling", "Normalize")
POOLINGS = ("mean", "cls", "max")
FLAGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max"}


def sentence_vectors(folder: Path, longest: int) -> SentenceVectors | None:
    """What modules.json and its folders say; None where there is none. Raises ModelError for what is not run."""
    if not (folder / MODULES).exists():
        return None
    where = str(folder / MODULES)
    text = b'{"modules":' + read_file(folder, MODULES, ModelError, JSON_LIMIT) + b"}"  # the document is a list
    modules = parse_json(text, where, ModelError)["modules"]
    if not isinstance(modules, list) or not all(
        isinstance(m, dict) and all(isinstance(m.get(key), str) for key in ("type", "path")) for m in modules
    ):
        raise ModelError(f"{where}: should list modules, each with its type and its path")
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if kinds not in ([*KINDS[:2]], [*KINDS]) or modules[0]["path"] != "":
        raise ModelError(f"{where}: has modules {', '.join(kinds)}; {' and '.join(KINDS[:2])} are run, and Normalize")
    path = modules[1]["path"]
    if path in ("", ".", "..") or any(c in path for c in "/\\\0") or (folder / path).is_symlink():
        raise ModelError(f"{where}: {path!r} is not the name of a folder in this folder")
    pooling = _pooling(read_json(folder / path, "config.json", ModelError), str(folder / path / "config.json"))
    most = read_json(folder, LENGTH, ModelError).get("max_seq_length") if (folder / LENGTH).exists() else None
    if most is not None and (type(most) is not int or most < 3):
        raise ModelError(f"{folder / LENGTH}: max_seq_length is {most!r}, should be a whole number from 3")
    return SentenceVectors(pooling, kinds[-1] == "Normalize", None if most is None else min(most, longest))


def _pooling(config: Mapping[str, Any], where: str) -> Any:
    asked = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    found: list[Any] = [FLAGS.get(key, key) for key in asked] or [config.get("pooling_mode")]
    if len(found) != 1 or found[0] not in POOLINGS:
        raise ModelError(f"{where}: pools by {found}; one of {', '.join(POOLINGS)} is run")
    return found[0]


def to_plain(sentence: SentenceVectors) -> dict[str, Any]:
    """As a converted folder's config.json keeps it."""
    return asdict(sentence)


def from_plain(plain: object, where: str, error: type[SubbyteError]) -> SentenceVectors:
    """The inverse, for what a stranger may have written."""
    keys = {"pooling", "normalize", "max_tokens"}
    if not isinstance(plain, dict) or plain.keys() != keys:
        raise error(f"{where}: sentence should say {', '.join(sorted(keys))}")
    most = plain["max_tokens"]
    faults = []
    if plain["pooling"] not in POOLINGS:
        faults.append(f"pooling is {plain['pooling']!r}, should be one of {', '.join(POOLINGS)}")
    if not isinstance(plain["normalize"], bool):
        faults.append(f"normalize is {plain['normalize']!r}, should be true or false")
    if most is not None and (type(most) is not int or most < 3):
        faults.append(f"max_tokens is {most!r}, should be a whole number from 3, or null")
    if faults:
        raise error(fault_list(f"{where}: sentence", faults))
    return SentenceVectors(plain["pooling"], plain["normalize"], most)
