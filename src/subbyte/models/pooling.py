"""How vectors of texts are made, as plain data that converted folders keep, and the tensors that it needs."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_args

from subbyte.errors import SubbyteError, fault_list
from subbyte.models.model import SENTENCE, PoolingMode, SentenceVectors, Similarity, Stage
from subbyte.models.specification import Shape

POOLINGS: tuple[str, ...] = get_args(PoolingMode)
SIMILARITIES: tuple[str, ...] = get_args(Similarity)
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU")  # of torch.nn, with their defaults
STAGES = ("dense", "layer_norm", "normalize")

MOST_POOLINGS = 16
MOST_STAGES = 16
MOST_WIDTH = 1 << 16
FEWEST_TOKENS = 3
ALWAYS = ("pooling", "normalize", "max_tokens")  # other keys stand in a folder where they are not the default


def width_of(sentence: SentenceVectors, hidden: int) -> int:
    """How many values a vector has; `hidden`: a token's."""
    outputs = [hidden * len(sentence.pooling), *(stage.outputs for stage in sentence.stages if stage.outputs)]
    return min(outputs[-1], sentence.truncate_dim or outputs[-1])


def shapes(sentence: SentenceVectors) -> dict[str, Shape]:
    """Name -> shape of the tensors that stages need."""
    found: dict[str, Shape] = {}
    for k, stage in enumerate(sentence.stages):
        if stage.kind == "dense":
            found[f"{SENTENCE}{k}.weight"] = (stage.outputs, stage.inputs)
            if stage.residual and stage.inputs != stage.outputs:
                found[f"{SENTENCE}{k}.residual"] = (stage.outputs, stage.inputs)
        elif stage.kind == "layer_norm":
            found[f"{SENTENCE}{k}.scale"] = (stage.outputs,)
        if stage.kind != "normalize" and stage.bias:
            found[f"{SENTENCE}{k}.bias"] = (stage.outputs,)
    return found


def width_faults(sentence: SentenceVectors, hidden: int) -> list[str]:
    """What does not fit of stages that are computed one behind the other."""
    faults, width = [], hidden * len(sentence.pooling)
    for k, stage in enumerate(sentence.stages):
        if stage.kind != "normalize":
            if stage.inputs != width:
                faults.append(
                    f"stage {k} ({stage.kind}) has {stage.inputs} inputs, what it is given has {width} values"
                )
            width = stage.outputs
    return faults


def prompt_of(sentence: SentenceVectors, prompt: str | None = None, name: str | None = None) -> str:
    """What is put before a text: `prompt`, or that of this name, or the default. Raises KeyError for a strange name."""
    if prompt is not None:
        return prompt
    name = sentence.default_prompt if name is None else name
    return "" if name is None else known_prompts(sentence.prompts)[name]


def known_prompts(prompts: Mapping[str, str]) -> dict[str, str]:
    """Every name that may be asked for; sentence-transformers always has two, empty unless a folder fills them."""
    return {"query": "", "document": "", **prompts}


def to_plain(sentence: SentenceVectors) -> dict[str, Any]:
    """As a converted folder's config.json keeps it: what is as by default is left out."""
    default = asdict(SentenceVectors())
    plain = {key: value for key, value in asdict(sentence).items() if key in ALWAYS or value != default[key]}
    plain["pooling"] = sentence.pooling[0] if len(sentence.pooling) == 1 else list(sentence.pooling)
    if sentence.stages:
        plain["stages"] = [asdict(stage) for stage in sentence.stages]
    return plain


def from_plain(plain: object, where: str, error: type[SubbyteError], hidden: int | None = None) -> SentenceVectors:
    """The inverse, for what a stranger may have written. `hidden`: values of a token's vector, for stages."""
    known = [field.name for field in fields(SentenceVectors)]
    if not isinstance(plain, dict) or not set(ALWAYS) <= plain.keys() <= set(known):
        raise error(f"{where}: sentence should say {', '.join(sorted(ALWAYS))}, and may say {', '.join(known[3:])}")
    faults: list[str] = []
    pooling = plain["pooling"] if isinstance(plain["pooling"], list) else [plain["pooling"]]
    if len(pooling) > MOST_POOLINGS or not all(isinstance(mode, str) and mode in POOLINGS for mode in pooling):
        faults.append(f"pooling is {plain['pooling']!r}, should be one or some of {', '.join(POOLINGS)}")
    for key in ("normalize", "include_prompt", "lowercase"):
        if not isinstance(plain.get(key, False), bool):
            faults.append(f"{key} is {plain[key]!r}, should be true or false")
    for key, least in (("max_tokens", FEWEST_TOKENS), ("truncate_dim", 1)):
        if (most := plain.get(key)) is not None and (type(most) is not int or most < least):
            faults.append(f"{key} is {most!r}, should be a whole number from {least}, or null")
    prompts = plain.get("prompts", {})
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str) for prompt in prompts.values()):
        faults.append(f"prompts is {prompts!r}, should be an object of strings")
        prompts = {}
    default = plain.get("default_prompt")
    if default is not None and (not isinstance(default, str) or default not in known_prompts(prompts)):
        faults.append(f"default_prompt is {default!r}, should be the name of one of the prompts, or null")
    if plain.get("similarity", "cosine") not in SIMILARITIES:
        faults.append(f"similarity is {plain['similarity']!r}, should be one of {', '.join(SIMILARITIES)}")
    stages = _stages(plain.get("stages", []), faults)
    if not faults:
        found = SentenceVectors(**{**plain, "pooling": tuple(pooling), "stages": stages})
        if hidden is not None:
            faults += width_faults(found, hidden)
    if faults:
        raise error(fault_list(f"{where}: sentence", faults))
    return found


def _stages(plain: object, faults: list[str]) -> tuple[Stage, ...]:
    if not isinstance(plain, list) or len(plain) > MOST_STAGES:
        faults.append(f"stages is {plain!r}, should be a list of at most {MOST_STAGES}")
        return ()
    keys = {field.name for field in fields(Stage)}
    found = []
    for k, stage in enumerate(plain):
        if not isinstance(stage, dict) or stage.keys() != keys or stage["kind"] not in STAGES:
            faults.append(f"stage {k} is {stage!r}, should have {', '.join(sorted(keys))}")
            continue
        least = 0 if stage["kind"] == "normalize" else 1
        widths = [stage["inputs"], stage["outputs"]]
        if not all(type(width) is int and least <= width <= MOST_WIDTH * least for width in widths):
            faults.append(f"stage {k}: inputs and outputs are {widths!r}, should be {least} to {MOST_WIDTH * least}")
        elif stage["kind"] == "layer_norm" and widths[0] != widths[1]:
            faults.append(f"stage {k}: a layer_norm has as many outputs as inputs, not {widths!r}")
        if not all(isinstance(stage[key], bool) for key in ("bias", "residual")):
            faults.append(f"stage {k}: bias and residual should be true or false")
        if stage["activation"] not in ACTIVATIONS:
            faults.append(
                f"stage {k}: activation is {stage['activation']!r}, should be one of {', '.join(ACTIVATIONS)}"
            )
        found.append(stage)
    return () if faults else tuple(Stage(**stage) for stage in found)


def class_of_torch(named: object) -> str:
    """The last part of the name of a class in torch; "" for anything else."""
    return named.rpartition(".")[2] if isinstance(named, str) and named.startswith("torch.") else ""
