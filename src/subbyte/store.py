"""Converted folders: saving a quantized model, loading it again, and verifying its sums.

`packed_file` knows what is in model.safetensors, `atomic_folder` how a folder appears at once; here the two meet.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

import numpy as np

from subbyte import activations, foreign, models
from subbyte.atomic_folder import new_folder, refuse_existing, refuse_unwritable
from subbyte.compressed_file import name_on_disk, read_plain
from subbyte.errors import FormatError, ModelError, UsageError
from subbyte.files import fault_list, named_path, open_regular, read_file, read_json, regular_file
from subbyte.manifest import NAME, entry_of, listed, manifest_of
from subbyte.model import Model, Scores, SentenceVectors
from subbyte.model_card import model_card
from subbyte.models import bert, marian, pooling
from subbyte.packed_file import FORMAT_VERSION, check_version, file_of, read_manifest
from subbyte.packed_reader import tensors_of
from subbyte.tensor_files import Header, read_header

METHOD = "subbyte"
WEIGHTS = "model.safetensors"
SUMS = NAME
RECIPE = "recipe.toml"
COPY_LIMIT = 1 << 26  # bytes of a tokenizer file
PIECE = 1 << 22  # bytes read at a time
READERS = 4  # threads
CARD_LIMIT = 1 << 20  # bytes of the source's card, which is read as text

# copied as they are, where they exist
COPIED = ("generation_config.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "NOTICE.txt", "NOTICE.md")
TOKENIZER_FILES = (
    "source.spm", "target.spm", "vocab.json", "target_vocab.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "merges.txt",
)  # fmt: skip


def producer() -> str:
    """This program and its version, for the record."""
    try:
        return f"subbyte {version('subbyte')}"
    except PackageNotFoundError:  # run from a source tree
        return "subbyte"


def is_converted(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a folder we wrote, with the mark of today or with the one before it."""
    quantization = config.get("quantization_config")
    said = [quantization.get(key) for key in ("method", "quant_method")] if isinstance(quantization, dict) else []
    return METHOD in (*said, config.get("model_type"))


def marked(config: Mapping[str, Any], quantization: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of a converted folder, at which every other library stops instead of making up weights.

    transformers knows no model_type of this name, so its Auto classes and all that is built on them refuse it, and the
    class of one architecture (BertModel), which only warns of that, refuses a quantization without quant_method.
    """
    kept = {"method": METHOD, "source_model_type": config["model_type"], **quantization}
    return {**config, "model_type": METHOD, "quantization_config": kept}


def unmarked(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same with the model_type of the source, as everything else in subbyte reads it."""
    if config.get("model_type") != METHOD:
        return dict(config)  # the mark before this one left it as it was
    quantization = config.get("quantization_config")
    family = quantization.get("source_model_type") if isinstance(quantization, dict) else None
    if not isinstance(quantization, dict) or not isinstance(family, str):
        raise FormatError(f"{where}: quantization_config should name the model's source_model_type")
    return {**config, "model_type": family}


def refuse_output(source: Path, out: Path, *, force: bool) -> None:
    """Raise UsageError if a model from the folder `source` may not be saved as `out`: ask before the work starts."""
    if source.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{out}: is the folder of the source model, or one around it; choose another name")
    refuse_existing(out, force=force)
    refuse_unwritable(out)


def weights_size(model: Model) -> int:
    """Bytes that the weights file of a quantized model has when it is saved."""
    return len(file_of(model, producer()))


def save(
    model: Model, out: str | Path, *, report: Mapping[str, Any], recipe: str | None = None, force: bool = False
) -> None:
    """Write a quantized model as the folder `out`, all at once or not at all.

    report  plain data for report.json: recipe, bits and error of the tensors, seed, versions
    recipe  the text of recipe.toml, where the recipe was made for this model
    force   an older converted folder may be replaced, if nothing is in it but what was written then

    Raises UsageError if `out` exists or is the source, ModelError if a matrix is not quantized, SubbyteError if the
    folder cannot be written (a full disk).
    """
    out = Path(out)
    refuse_output(model.folder, out, force=force)
    files = _contents(model, report, recipe)
    with new_folder(out, force=force) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)


def _contents(model: Model, report: Mapping[str, Any], recipe: str | None) -> dict[str, bytes]:
    """Every file of the folder, by name."""
    quantization: dict[str, Any] = {"format_version": FORMAT_VERSION, "recipe": dict(model.recipe)}
    if model.sentence:
        quantization["sentence"] = pooling.to_plain(model.sentence)
    if model.scores:
        quantization["scores"] = model.scores
    files = {
        "config.json": _json(marked(model.config, quantization)),
        WEIGHTS: file_of(model, producer()),
        "report.json": _json({"producer": producer(), **report}),
        **({} if recipe is None else {RECIPE: recipe.encode()}),
    }
    if model.activations == "static":
        files[activations.FILE] = _json(activations.to_plain(model.grids, model.permutation))
    pieces = marian.sentencepiece_files(model.config)  # perhaps packed in the source
    for name in pieces or ():
        if (model.folder / name_on_disk(model.folder, name)).exists():
            files[name] = read_plain(model.folder, name, ModelError, COPY_LIMIT)
    for name in (*(() if pieces else TOKENIZER_FILES), *COPIED):
        if (model.folder / name).exists():
            files[name] = read_file(model.folder, name, ModelError, COPY_LIMIT)
    if model.generation:  # byte for byte as it came, unless settings were put in the place of some
        came = files.get("generation_config.json")
        if came is None or json.loads(came) != model.generation:
            files["generation_config.json"] = _json(model.generation)
    sizes = {name: len(content) for name, content in files.items()}
    files["README.md"] = model_card(model, sizes, _source_card(model.folder), producer()).encode()
    return {**files, SUMS: manifest_of(files)}


def _source_card(folder: Path) -> str | None:
    if not (folder / "README.md").exists():
        return None
    return read_file(folder, "README.md", ModelError, CARD_LIMIT).decode("utf-8", errors="replace")


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


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
        name = models.architecture_of(config, str(folder / "config.json"))
        architecture = models.ARCHITECTURES[name]
        spec = architecture.specification(config, str(folder / "config.json"))
        generation = {} if bert.is_encoder(name) else models.read_generation(folder)
        architecture.check_generation(config, generation, str(folder / "generation_config.json"))
    except ModelError as e:
        raise FormatError(str(e)) from None
    sentence, scores = _answers(quantization, config, name, str(folder / "config.json"))
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
    rounding = manifest["activations"]
    if rounding not in ("int8", "float32", "static"):
        faults.append(f"activations are {rounding!r}, should be 'int8', 'float32' or 'static'")
    if faults:
        raise FormatError(fault_list(where, faults))
    grids: dict[str, activations.Grid] = {}
    permutation = None
    if rounding == "static":
        if not bert.is_encoder(name):
            raise FormatError(f"{where}: static activations are those of encoders, this is a {name}")
        grids, permutation = activations.read(folder, bert.points(bert.settings(config)))
    return Model(
        name, config, generation, tensors, spec.roles, spec.aliases, folder, rounding, recipe, grids, permutation,
        sentence=sentence, scores=scores,
    )  # fmt: skip


def _answers(
    quantization: Mapping[str, Any], config: Mapping[str, Any], name: str, where: str
) -> tuple[SentenceVectors | None, Scores | None]:
    """How an encoder makes vectors of texts, and scores of logits; None of what makes none."""
    if not bert.is_encoder(name):
        return None, None
    settings = bert.settings(config)
    plain = quantization.get("sentence")
    sentence = None if plain is None else pooling.from_plain(plain, where, FormatError, settings.hidden)
    if not settings.labels:
        return sentence, None
    scores = quantization.get("scores", bert.scores_of_older(config))
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
