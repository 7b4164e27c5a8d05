"""Float32 translation models in Hugging Face folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from subbyte.errors import ModelError, fault_list
from subbyte.folders.hugging_face.checkpoint import Checkpoint, open_checkpoint
from subbyte.models.marian import ARCHITECTURE, STUDENT, check_generation, settings, specification
from subbyte.models.model import Model
from subbyte.models.specification import Specification
from subbyte.models.translation import BIAS, POSITIONS, SHARED, Settings, sinusoidal_positions


def load(folder: Path, config: Mapping[str, Any], generation: Mapping[str, Any]) -> Model:
    """The float32 model in a Hugging Face folder, checked whole. `config` and `generation` are its parsed JSON files.

    A checkpoint may name a tied matrix more than once (all must be equal) or by any of its names, may lack
    `final_logits_bias` (zero, as in transformers), and may carry the position tables (which must be the sinusoids).
    """
    spec = specification(config, str(folder / "config.json"))
    check_generation(config, generation, str(folder / "generation_config.json"))
    checkpoint = open_checkpoint(folder)
    sources = _sources(spec, checkpoint)
    bias = spec.shapes[BIAS]
    shapes = {name: checkpoint.places[source][1].shape for name, source in sources.items()}
    if shapes.get(BIAS, (1, *bias)) == (1, *bias):  # transformers stores it with a batch dimension, if at all
        shapes[BIAS] = bias
    if faults := spec.faults(shapes):
        raise ModelError(fault_list(f"{folder}: the weights are not those of this config.json", faults))
    _check_positions(checkpoint, settings(config))
    tensors = {
        name: checkpoint.read(sources[name]).reshape(shape) if name in sources else np.zeros(shape, np.float32)
        for name, shape in spec.shapes.items()
    }
    _check_ties(spec, checkpoint, sources, tensors)
    return Model(
        architecture=STUDENT if config.get("architectures") == [STUDENT] else ARCHITECTURE,
        task="translate",
        config=config,
        generation=generation,
        tensors=tensors,
        roles=spec.roles,
        aliases=spec.aliases,
        folder=folder,
    )


def _sources(spec: Specification, checkpoint: Checkpoint) -> dict[str, str]:
    """Name in the model -> name in the checkpoint: a tied matrix is taken from the first of its names that is there."""
    sources = {name: name for name in checkpoint.places if name not in spec.aliases and name not in POSITIONS}
    for alias, name in spec.aliases.items():
        if alias in checkpoint.places:
            sources.setdefault(name, alias)
    if SHARED not in spec.shapes:
        sources.pop(SHARED, None)  # transformers 5 saves it with untied embeddings too, where nothing uses it
    return sources


def _check_ties(
    spec: Specification, checkpoint: Checkpoint, sources: Mapping[str, str], tensors: Mapping[str, np.ndarray]
) -> None:
    faults = [
        f"{alias} differs from {name}, to which config.json ties it"
        for alias, name in spec.aliases.items()
        if alias in checkpoint.places
        and alias != sources[name]
        and not np.array_equal(checkpoint.read(alias), tensors[name])
    ]
    if faults:
        raise ModelError(fault_list(f"{checkpoint.folder}: tied weights differ", faults))


def _check_positions(checkpoint: Checkpoint, s: Settings) -> None:
    """A stored position table is redundant, or the model is not the one we would run."""
    for name in POSITIONS:
        if name not in checkpoint.places:
            continue
        shape = checkpoint.places[name][1].shape
        if shape != (s.max_positions, s.d_model):
            raise ModelError(
                f"{checkpoint.folder}: tensor {name} is {list(shape)}, should be {[s.max_positions, s.d_model]}"
            )
        wanted = sinusoidal_positions(s.max_positions, s.d_model)
        rounding = {"F32": 1e-5, "F16": 2.0**-11, "BF16": 2.0**-8}.get(checkpoint.places[name][1].dtype, 0.0)
        if np.abs(checkpoint.read(name) - wanted).max() > rounding:
            raise ModelError(f"{checkpoint.folder}: {name} holds learned positions; only sinusoidal ones are run")
