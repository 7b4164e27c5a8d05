"""Loading a converted folder, checked whole. `weights_reader` knows what is in model.safetensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from subbyte.errors import FormatError, ModelError, fault_list
from subbyte.folders import config_json
from subbyte.folders.converted import grids_file
from subbyte.folders.converted.mark import is_converted, unmarked
from subbyte.folders.converted.weights_file import WEIGHTS
from subbyte.folders.converted.weights_manifest import check_version, read_manifest
from subbyte.folders.converted.weights_reader import tensors_of
from subbyte.folders.files import read_json, regular_file
from subbyte.folders.tensor_files import open_header, read_array
from subbyte.models import encoder, labels, pooling
from subbyte.models.families import ARCHITECTURES
from subbyte.models.family import Settings
from subbyte.models.model import Activations, Model, Scores, SentenceVectors, activations_of
from subbyte.numbers.grids import Grid


def load(folder: str | Path) -> Model:
    """The model in a converted folder, checked whole; its arrays are views of one buffer, the file's content.

    Raises FormatError, with every fault that was found, for a folder that is damaged, altered or of another version.
    """
    folder = Path(folder)
    config = read_json(folder, "config.json", FormatError)
    if not is_converted(config):
        raise FormatError(f"{folder}: is not a folder that subbyte converted")
    described = str(folder / "config.json")
    config = unmarked(config, described)
    quantization = config["quantization_config"]
    version = check_version(quantization.get("format_version"), described)
    recipe = quantization.get("recipe")
    if not isinstance(recipe, dict):
        raise FormatError(f"{described}: quantization_config has no recipe")
    try:
        name = config_json.architecture_of(config, described)
        family = ARCHITECTURES[name]
        settings = family.settings(config, described)
        generation = config_json.read_generation(folder, config, family)
    except ModelError as e:
        raise FormatError(str(e)) from None
    spec = settings.specification()
    sentence, scores = _answers(quantization, settings, described)
    if sentence:
        spec.shapes.update(pooling.shapes(sentence))

    path = regular_file(folder, WEIGHTS, FormatError)
    where = str(path)
    header = open_header(path, FormatError)
    body = read_array(path, FormatError, header.start, header.stop)
    manifest = read_manifest(header, where)
    tensors, faults = tensors_of(header, body, manifest, spec, recipe)
    if manifest["format_version"] != version:
        faults.append(f"the manifest is of format version {manifest['format_version']}, config.json of {version}")
    if manifest.get("architecture", name) != name:  # what format 2 leaves out, config.json implies
        faults.append(f"the manifest is that of {manifest['architecture']!r}, config.json that of {name!r}")
    if manifest.get("aliases", spec.aliases) != spec.aliases:
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
