"""Float32 models in Hugging Face folders. What a family's checkpoints call otherwise is in its tables (`Family`)."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from subbyte.errors import ModelError, fault_list
from subbyte.folders.config_json import CONFIG, architecture_of, read_generation
from subbyte.folders.files import read_json
from subbyte.folders.hugging_face.checkpoint import Checkpoint, open_checkpoint
from subbyte.folders.hugging_face.sentence_transformers import MODULES, Modules, read_modules, transformer_folder
from subbyte.folders.tensor_files import Entry, read_floats
from subbyte.models import encoder, labels
from subbyte.models.families import ARCHITECTURES, FAMILIES
from subbyte.models.family import Family, Settings
from subbyte.models.model import Model
from subbyte.models.specification import Specification, shape_faults

logger = logging.getLogger("subbyte")

SHOWN = 3  # of the names in a note
ROUNDING = {"F32": 1e-5, "F16": 2.0**-11, "BF16": 2.0**-8}  # of a number up to 1


def holds(folder: Path) -> bool:
    """Whether a folder is one to `load`."""
    return any((folder / name).exists() for name in (CONFIG, MODULES))


def load(folder: Path) -> Model:
    """The float32 model in a Hugging Face folder, checked whole. Raises ModelError for what we would not run as it is.

    A checkpoint may name a tied matrix more than once (all must be equal) or by any of its names, may lack vectors that
    are zero then, and may carry tables that are computed (which must be as we compute them).
    """
    home, folder = folder, inner_folder(folder)
    config = read_json(folder, CONFIG, ModelError)
    where = str(folder / CONFIG)
    architecture = architecture_of(config, where)
    family = ARCHITECTURES[architecture]
    s = family.settings(config, where)
    generation = read_generation(folder, config, family)
    modules = _modules(home, s)
    checkpoint = open_checkpoint(folder, family.architectures[architecture])
    bare = next(iter(family.architectures))
    classifies = modules.reranks or any("classifier." in name for name in checkpoint.places)
    if modules.sentence and architecture != bare and not classifies:
        architecture, config = bare, {**config, "architectures": [bare]}  # only named a classifier: makes vectors
        s = family.settings(config, where)
    spec = s.specification()
    sources, left_out = _sources(checkpoint, spec, family)
    named = (config.get("architectures") or [architecture])[0]
    tensors = _tensors(checkpoint, spec, sources)
    if left_out or named != architecture:
        of = f", and {len(left_out)} tensors ({', '.join(left_out[:SHOWN])}, ...) are left out" if left_out else ""
        logger.warning("%s: a %s is opened as its %s%s", folder, named, architecture, of)
    scores = None
    if isinstance(s, encoder.Settings) and s.labels:
        scores = labels.scores_of(config, s.labels, modules.activation, where, reranks=modules.reranks)
    return Model(
        architecture=architecture,
        task=family.task,
        config={**config, "architectures": [architecture]} if config.get("architectures") else config,
        generation=generation,
        tensors=tensors | {name: read_floats(path, entry, name) for name, (path, entry) in modules.places().items()},
        roles=spec.roles,
        aliases=spec.aliases,
        folder=folder,
        sentence=modules.sentence,
        scores=scores,
    )


def stored(folder: Path) -> dict[str, tuple[Path, Entry]]:
    """Our name of each tensor -> its file and its bytes there; of a converted folder, the names that it has."""
    inner = inner_folder(folder)
    places = open_checkpoint(inner).places
    config = read_json(inner, CONFIG, ModelError)
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        return dict(places)
    modules = _modules(folder, family.settings(config, str(inner / CONFIG)))
    return {family.our_name(name): place for name, place in places.items()} | modules.places()


def inner_folder(folder: Path) -> Path:
    """Where config.json, weights and tokenizer are: a folder in it, if sentence-transformers' modules.json says so."""
    if not (folder / MODULES).exists():
        return folder
    config = read_json(folder, CONFIG, ModelError) if (folder / CONFIG).exists() else {}
    encoders = [name for name, family in FAMILIES.items() if family.task == "encode"]
    return transformer_folder(folder) if config.get("model_type") in (None, *encoders) else folder


def _modules(home: Path, s: Settings) -> Modules:
    return read_modules(home, s.hidden) if isinstance(s, encoder.Settings) else Modules()


def _sources(checkpoint: Checkpoint, spec: Specification, family: Family) -> tuple[dict[str, str], list[str]]:
    """Our name -> a checkpoint's, and the tensors of other heads, which are not read.

    A tied matrix is taken from the first of its names that is there.
    """
    prefixed = any(stored.startswith(family.prefix) for stored in checkpoint.places)
    sources: dict[str, str] = {}
    left_out = []
    for stored in checkpoint.places:
        name = family.our_name(stored)
        known = name in spec.shapes
        if family.unused.search(stored) or (not known and family.spare.match(name)):
            continue
        if name in spec.aliases or name in spec.computed:
            continue
        if name in sources:
            raise ModelError(f"{checkpoint.folder}: holds {name} twice, as {sources[name]} and as {stored}")
        if not known and (family.heads.match(stored) or (prefixed and not stored.startswith(family.prefix))):
            left_out.append(stored)
        else:
            sources[name] = stored
    for alias, name in spec.aliases.items():
        if alias in checkpoint.places:
            sources.setdefault(name, alias)
    return sources, left_out


def _tensors(checkpoint: Checkpoint, spec: Specification, sources: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Every tensor of the model, and of a checkpoint nothing that is not what we run."""
    shapes = {name: checkpoint.places[source][1].shape for name, source in sources.items()}
    for name in spec.zeros:
        if shapes.get(name, batch := (1, *spec.shapes[name])) == batch:  # transformers stores it so, if at all
            shapes[name] = spec.shapes[name]
    if faults := [*shape_faults(spec.shapes, shapes)]:
        raise ModelError(fault_list(f"{checkpoint.folder}: the weights are not those of this config.json", faults))
    for name, computed in spec.computed.items():
        if name in checkpoint.places:
            _check_computed(checkpoint, name, computed())
    tensors = {
        name: checkpoint.read(sources[name]).reshape(shape) if name in sources else np.zeros(shape, np.float32)
        for name, shape in spec.shapes.items()
    }
    faults = [
        f"{alias} differs from {name}, to which config.json ties it"
        for alias, name in spec.aliases.items()
        if alias in checkpoint.places
        and alias != sources[name]
        and not np.array_equal(checkpoint.read(alias), tensors[name])
    ]
    if faults:
        raise ModelError(fault_list(f"{checkpoint.folder}: tied weights differ", faults))
    return tensors


def _check_computed(checkpoint: Checkpoint, name: str, wanted: np.ndarray) -> None:
    """A stored table of positions is redundant, or the model is not the one we would run."""
    _, entry = checkpoint.places[name]
    if entry.shape != wanted.shape:
        raise ModelError(f"{checkpoint.folder}: tensor {name} is {list(entry.shape)}, should be {list(wanted.shape)}")
    if np.abs(checkpoint.read(name) - wanted).max() > ROUNDING.get(entry.dtype, 0.0):
        raise ModelError(f"{checkpoint.folder}: {name} holds learned positions; only sinusoidal ones are run")
