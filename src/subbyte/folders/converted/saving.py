"""Saving a quantized model as a folder, all at once or not at all."""

import json
from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from subbyte.errors import ModelError, UsageError
from subbyte.folders.atomic import new_folder, refuse_existing, refuse_unwritable
from subbyte.folders.converted import grids_file, tokenizer_files
from subbyte.folders.converted.mark import marked
from subbyte.folders.converted.model_card import model_card
from subbyte.folders.converted.sums import SUMS
from subbyte.folders.converted.weights_file import WEIGHTS, file_of
from subbyte.folders.converted.weights_manifest import version_of
from subbyte.folders.files import json_text, read_file
from subbyte.folders.manifest import manifest_of
from subbyte.models import pooling
from subbyte.models.model import Model, Static

RECIPE = "recipe.toml"
COPY_LIMIT = 1 << 26  # bytes of a file
CARD_LIMIT = 1 << 20  # bytes of the source's card, which is read as text

# copied as they are, where they exist
COPIED = ("generation_config.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "NOTICE.txt", "NOTICE.md")


def producer() -> str:
    """This program and its version, for the record."""
    try:
        return f"subbyte {version('subbyte')}"
    except PackageNotFoundError:  # run from a source tree
        return "subbyte"


def refuse_output(source: Path, out: Path, *, force: bool) -> None:
    """Raise UsageError if a model from the folder `source` may not be saved as `out`: ask before the work starts."""
    if source.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{out}: is the folder of the source model, or one around it; choose another name")
    refuse_existing(out, force=force)
    refuse_unwritable(out)


def weights_size(model: Model, *, packed: bool | None = None) -> int:
    """Bytes that the weights file of a quantized model has when it is saved; `packed` as in `save`."""
    return len(file_of(model, producer(), packed=model.entropy_coded if packed is None else packed))


def save(
    model: Model,
    out: str | Path,
    *,
    report: Mapping[str, Any],
    recipe: str | None = None,
    force: bool = False,
    packed: bool | None = None,
) -> None:
    """Write a quantized model as the folder `out`, all at once or not at all.

    report  plain data for report.json: recipe, bits and error of the tensors, seed, versions
    recipe  the text of recipe.toml, where the recipe was made for this model
    force   an older converted folder may be replaced, if nothing is in it but what was written then
    packed  everything lies in as few bytes as can be, in format 2, vocabularies too; otherwise in format 1; default:
            if matrices are made for an entropy coder

    Raises UsageError if `out` exists or is the source, ModelError if a matrix is not quantized, SubbyteError if the
    folder cannot be written (a full disk).
    """
    out = Path(out)
    refuse_output(model.folder, out, force=force)
    files = _contents(model, report, recipe, packed=model.entropy_coded if packed is None else packed)
    with new_folder(out, force=force) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)


def _contents(model: Model, report: Mapping[str, Any], recipe: str | None, *, packed: bool) -> dict[str, bytes]:
    """Every file of the folder, by name."""
    quantization: dict[str, Any] = {"format_version": version_of(packed=packed), "recipe": dict(model.recipe)}
    if model.sentence:
        quantization["sentence"] = pooling.to_plain(model.sentence)
    if model.scores:
        quantization["scores"] = model.scores
    tokenizer, pieces = tokenizer_files.packed(model) if packed else (tokenizer_files.copied(model), {})
    if pieces:
        quantization["sentencepiece"] = pieces
    plain = partial(json_text, spaced=not packed)
    files = {
        "config.json": plain(marked(model.config, quantization)),
        WEIGHTS: file_of(model, producer(), packed=packed),
        "report.json": plain({"producer": producer(), **report}),
        **({} if recipe is None else {RECIPE: recipe.encode()}),
    }
    if isinstance(model.activations, Static):
        files[grids_file.FILE] = plain(grids_file.to_plain(model.activations.grids, model.permutation))
    files |= tokenizer
    for name in COPIED:
        if (model.folder / name).exists():
            files[name] = read_file(model.folder, name, ModelError, COPY_LIMIT)
    if model.generation:  # byte for byte as it came, unless packed, or settings were put in the place of some
        came = files.get("generation_config.json")
        if came is None or packed or json.loads(came) != model.generation:
            files["generation_config.json"] = plain(model.generation)
    sizes = {name: len(content) for name, content in files.items()}
    files["README.md"] = model_card(model, sizes, _source_card(model.folder), producer()).encode()
    return {**files, SUMS: manifest_of(files, spaced=not packed)}


def _source_card(folder: Path) -> str | None:
    if not (folder / "README.md").exists():
        return None
    return read_file(folder, "README.md", ModelError, CARD_LIMIT).decode("utf-8", errors="replace")
