"""Float32 encoders in Hugging Face folders."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from subbyte.errors import ModelError, fault_list
from subbyte.folders.hugging_face.checkpoint import open_checkpoint
from subbyte.folders.hugging_face.sentence_transformers import Modules, read_modules
from subbyte.folders.tensor_files import read_floats
from subbyte.models.bert import ARCHITECTURES, our_name, scores_of, settings, specification
from subbyte.models.encoder import Settings
from subbyte.models.model import Model, Scores
from subbyte.models.specification import Specification

logger = logging.getLogger("subbyte")

# what a checkpoint may hold that is not run: a table of 0, 1, 2, ..., the pooler that RoBERTa had once, which its
# classifier does not read, and the pooler of a bare model
UNUSED = re.compile(r"embeddings\.position_ids$|^roberta\.pooler\.dense\.(weight|bias)$")
POOLER = re.compile(r"pooler\.dense\.(weight|bias)$")

# what may stand beside an encoder whose own names have no prefix: the heads of other tasks
HEADS = re.compile(
    r"^(cls|lm_head|classifier|pre_classifier|qa_outputs|vocab_transform|vocab_layer_norm|vocab_projector)\."
)

SHOWN = 3  # of the names in a note


def load(folder: Path, config: Mapping[str, Any], generation: Mapping[str, Any], home: Path | None = None) -> Model:
    """The float32 model in a Hugging Face folder, checked whole. `config` is its parsed config.json.

    home  the folder with modules.json, of which `folder` is the first module's; default: `folder`
    """
    where = str(folder / "config.json")
    s = settings(config, where)
    modules = read_modules(home or folder, s.hidden)
    checkpoint = open_checkpoint(folder, "AutoModelForSequenceClassification" if s.labels else "AutoModel")
    if s.labels and modules and not modules.reranks and not any("classifier." in name for name in checkpoint.places):
        config = {**config, "architectures": [ARCHITECTURES[s.family][0]]}  # only named so: makes vectors of sentences
        s = settings(config, where)
    spec = specification(config, where)
    sources, left_out = _sources(checkpoint.places, spec, s, folder)
    if faults := spec.faults({name: checkpoint.places[stored][1].shape for name, stored in sources.items()}):
        raise ModelError(fault_list(f"{folder}: the weights are not those of this config.json", faults))
    architecture, named = ARCHITECTURES[s.family][s.labels > 0], config.get("architectures") or [None]
    if left_out or named[0] not in (None, architecture):
        of = f", and {len(left_out)} tensors ({', '.join(left_out[:SHOWN])}, ...) are left out" if left_out else ""
        logger.warning("%s: a %s is opened as its %s%s", folder, named[0] or architecture, architecture, of)
    places = modules.places() if modules else {}
    return Model(
        architecture=architecture,
        task="encode",
        config={**config, "architectures": [architecture]} if config.get("architectures") else config,
        generation={},
        tensors={name: checkpoint.read(sources[name]) for name in spec.shapes}
        | {name: read_floats(path, entry, name) for name, (path, entry) in places.items()},
        roles=spec.roles,
        aliases=spec.aliases,
        folder=folder,
        sentence=modules.sentence if modules else None,
        scores=_scores(config, modules, where) if s.labels else None,
    )


def _scores(config: Mapping[str, Any], modules: Modules | None, where: str) -> Scores:
    if modules is None:
        return scores_of(config, where=where)
    return scores_of(config, modules.activation, where, reranks=modules.reranks)


def _sources(places: Iterable[str], spec: Specification, s: Settings, folder: Path) -> tuple[dict[str, str], list[str]]:
    """Our name -> a checkpoint's, and the tensors of other heads, which are not read."""
    prefix = f"{s.family}."
    prefixed = any(stored.startswith(prefix) for stored in places)
    sources: dict[str, str] = {}
    left_out = []
    for stored in places:
        name = our_name(stored, s.family)
        if UNUSED.search(stored) or (not s.labels and POOLER.match(name)):
            continue
        if name in sources:
            raise ModelError(f"{folder}: holds {name} twice, as {sources[name]} and as {stored}")
        if name not in spec.shapes and (HEADS.match(stored) or (prefixed and not stored.startswith(prefix))):
            left_out.append(stored)
        else:
            sources[name] = stored
    return sources, left_out
