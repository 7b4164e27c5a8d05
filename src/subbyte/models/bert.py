"""BERT-family encoders: their configurations, the tensors they have, and loading them from a Hugging Face folder.

Run by us are BertModel, DistilBertModel and RobertaModel of transformers 5 with absolute positions, bare or with the
head of ...ForSequenceClassification; of a checkpoint with another head, the encoder in it. All of them are one shape
under the names of BERT: what DistilBERT and RoBERTa call otherwise is renamed when it is read. Post-norm; exact GELU
(erf) unless the configuration says otherwise.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subbyte.activations import multiplied
from subbyte.errors import ModelError
from subbyte.files import fault_list
from subbyte.model import EQUALIZER, Model, Role, Scores
from subbyte.models.checkpoint import open_checkpoint
from subbyte.models.sentence_folders import Modules, class_of_torch, read_modules
from subbyte.models.specification import Shape, Specification
from subbyte.tensor_files import read_floats

logger = logging.getLogger("subbyte")

CLASSIFIER = "ForSequenceClassification"
NAMES: Mapping[str, str] = {"bert": "Bert", "distilbert": "DistilBert", "roberta": "Roberta"}
# model_type -> the architectures of it that are run
ARCHITECTURES: Mapping[str, tuple[str, str]] = {
    family: (f"{name}Model", name + CLASSIFIER) for family, name in NAMES.items()
}
PROBLEMS = (None, "regression", "single_label_classification", "multi_label_classification")
# class of torch that a cross-encoder names -> what makes its scores
SCORES: Mapping[str, Scores] = {"Identity": "none", "Sigmoid": "sigmoid", "Softmax": "softmax"}
ACTIVATIONS = ("gelu", "relu", "silu", "swish")

MOST_LAYERS = 256
MOST_WIDTH = 1 << 16
MOST_WORDS = 1 << 24
MOST_POSITIONS = 1 << 16
MOST_LABELS = 1 << 16
DEFAULT_LABELS = 2  # of transformers, where a configuration names none

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"

# in a checkpoint's names -> in ours, in this order
RENAMED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "bert": ((r"^bert\.", ""), (r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")),
    "roberta": (
        (r"^roberta\.", ""),
        (r"^classifier\.dense\.", "pooler.dense."),
        (r"^classifier\.out_proj\.", "classifier."),
    ),
    "distilbert": (
        (r"^distilbert\.", ""),
        (r"^transformer\.layer\.", "encoder.layer."),
        (r"\.attention\.q_lin\.", ".attention.self.query."),
        (r"\.attention\.k_lin\.", ".attention.self.key."),
        (r"\.attention\.v_lin\.", ".attention.self.value."),
        (r"\.attention\.out_lin\.", ".attention.output.dense."),
        (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
        (r"\.ffn\.lin1\.", ".intermediate.dense."),
        (r"\.ffn\.lin2\.", ".output.dense."),
        (r"\.output_layer_norm\.", ".output.LayerNorm."),
        (r"^pre_classifier\.", "pooler.dense."),
    ),
}
# what a checkpoint may hold that is not run: a table of 0, 1, 2, ..., the pooler that RoBERTa had once, which its
# classifier does not read, and the pooler of a bare model
UNUSED = re.compile(r"embeddings\.position_ids$|^roberta\.pooler\.dense\.(weight|bias)$")
POOLER = re.compile(r"pooler\.dense\.(weight|bias)$")
# what may stand beside an encoder whose own names have no prefix: the heads of other tasks
HEADS = re.compile(
    r"^(cls|lm_head|classifier|pre_classifier|qa_outputs|vocab_transform|vocab_layer_norm|vocab_projector)\."
)
SHOWN = 3  # of the names in a note


def architecture_of(config: Mapping[str, Any]) -> str | None:
    """The architecture that is run of a configuration: the classifier, or for every other head the encoder alone.

    None of another family, and where architectures are not of the family that model_type names.
    """
    family, named = config.get("model_type"), config.get("architectures")
    if not isinstance(family, str) or family not in NAMES:
        return None
    if named is None:
        return ARCHITECTURES[family][0]
    if not isinstance(named, list) or not all(isinstance(n, str) and n.startswith(NAMES[family]) for n in named):
        return None
    return ARCHITECTURES[family][named[:1] == [ARCHITECTURES[family][1]]]


def is_encoder(architecture: str) -> bool:
    """Whether this is one of the architectures here."""
    return any(architecture in names for names in ARCHITECTURES.values())


@dataclass(frozen=True)
class Settings:
    """The numbers of an encoder's config.json, checked. Widths in values, vocabulary and positions in tokens."""

    family: str
    hidden: int
    layers: int
    heads: int
    ffn: int
    vocab_size: int
    positions: int  # rows of the table of positions
    first_position: int  # the row of a text's first token: RoBERTa counts from behind the padding's id
    types: int  # token types; 0 for DistilBERT
    activation: str  # gelu, relu or silu
    norm_epsilon: float
    labels: int  # 0 for a bare encoder, which has no pooler and no classifier
    regression: bool  # the one logit is a number to predict
    several: bool  # labels do not exclude one another: each has an answer of its own

    @property
    def longest(self) -> int:
        """Tokens of the longest text, special ones included."""
        return self.positions - self.first_position

    @property
    def pooler_activation(self) -> str:
        """Between the pooler and the classifier."""
        return "relu" if self.family == "distilbert" else "tanh"


def settings(config: Mapping[str, Any], where: str = "config.json") -> Settings:
    """The checked settings of a configuration; all its faults in one ModelError."""
    faults: list[str] = []
    family = config.get("model_type")
    distilled = family == "distilbert"

    def number(name: str, most: int, default: int | None = None, least: int = 1) -> int:
        value = config.get(name, default)
        if type(value) is not int or not least <= value <= most:
            faults.append(f"{name} is {value!r}, should be a whole number from {least} to {most}")
            return least
        return value

    def refused(name: str, wanted: object) -> None:
        if config.get(name, wanted) not in (wanted, None):
            faults.append(f"{name} is {config[name]!r}; only models where it is {wanted!r} are run")

    refused("position_embedding_type", "absolute")
    refused("is_decoder", False)
    refused("add_cross_attention", False)
    name = "activation" if distilled else "hidden_act"
    activation = config.get(name, "gelu")
    if activation not in ACTIVATIONS:
        faults.append(f"{name} is {activation!r}, should be one of {', '.join(ACTIVATIONS)}")
    epsilon = 1e-12 if distilled else config.get("layer_norm_eps", 1e-12)
    if type(epsilon) not in (int, float) or not 0 < epsilon <= 1:
        faults.append(f"layer_norm_eps is {epsilon!r}, should be a number above 0, and 1 at most")
    classifies = (architecture_of(config) or "").endswith(CLASSIFIER)
    labels = _labels(config, faults) if classifies else 0
    pad = number("pad_token_id", MOST_WORDS, 1, least=0) if family == "roberta" else 0
    found = Settings(
        family=str(family),
        hidden=number("dim" if distilled else "hidden_size", MOST_WIDTH),
        layers=number("n_layers" if distilled else "num_hidden_layers", MOST_LAYERS),
        heads=number("n_heads" if distilled else "num_attention_heads", MOST_WIDTH),
        ffn=number("hidden_dim" if distilled else "intermediate_size", MOST_WIDTH),
        vocab_size=number("vocab_size", MOST_WORDS),
        positions=number("max_position_embeddings", MOST_POSITIONS, least=pad + 3),
        first_position=pad + 1 if family == "roberta" else 0,
        types=0 if distilled else number("type_vocab_size", MOST_WORDS, 2),
        activation="silu" if activation == "swish" else str(activation),
        norm_epsilon=float(epsilon) if type(epsilon) in (int, float) else 1e-12,
        labels=labels,
        regression=labels == 1,
        several=labels > 1 and config.get("problem_type") in ("regression", "multi_label_classification"),
    )
    if found.hidden % found.heads:
        faults.append(f"{found.heads} attention heads do not divide the width {found.hidden}")
    if faults:
        raise ModelError(fault_list(where, faults))
    return found


def _labels(config: Mapping[str, Any], faults: list[str]) -> int:
    """How many labels there are."""
    named, count = config.get("id2label"), config.get("num_labels")
    if named is not None and not (
        isinstance(named, dict)
        and 0 < len(named) <= MOST_LABELS
        and {str(i) for i in range(len(named))} == named.keys()
        and all(isinstance(name, str | int | float) for name in named.values())
    ):
        faults.append("id2label should name each label by its number, from 0")
        return 1
    labels = len(named) if named else DEFAULT_LABELS if count is None else count
    if type(labels) is not int or not 1 <= labels <= MOST_LABELS:
        faults.append(f"num_labels is {labels!r}, should be a whole number from 1 to {MOST_LABELS}")
        return 1
    problem = config.get("problem_type")
    if problem not in PROBLEMS:
        faults.append(f"problem_type is {problem!r}, should be one of {', '.join(map(str, PROBLEMS[1:]))}")
    if problem == "single_label_classification" and labels == 1:
        faults.append(
            "problem_type is single_label_classification with one label, whose probability would always be 1; say "
            "regression, or leave it out for a sigmoid"
        )
    return labels


def label_names(config: Mapping[str, Any]) -> list[str]:
    """The name of each label, in their order; LABEL_0 and so on where the configuration names none, as transformers."""
    named = config.get("id2label")
    return [str(named[str(i)]) if named else f"LABEL_{i}" for i in range(settings(config).labels)]


def scores_of(
    config: Mapping[str, Any], activation: object = None, where: str = "config.json", *, reranks: bool = False
) -> Scores:
    """What makes a classifier's scores of its logits.

    A cross-encoder names a class of torch: `activation` is what config_sentence_transformers.json has, else config.json
    is asked, its older key where the newer is not there. One that names none, for `reranks` or the newer key says what
    it is, has a sigmoid for one label and nothing for several. Otherwise the rule of transformers' pipeline: nothing
    for a regression, a sigmoid for one label and for several at once, else softmax.
    """
    own = config.get("sentence_transformers")
    own = own if isinstance(own, dict) else {}
    says = "activation_fn" in own
    named = activation or (own["activation_fn"] if says else config.get("sbert_ce_default_activation_function"))
    if named is not None:
        if class_of_torch(named) not in SCORES:
            raise ModelError(
                f"{where}: the activation function of scores is {named!r}; of torch.nn {', '.join(SCORES)} are run"
            )
        return SCORES[class_of_torch(named)]
    if says or reranks:
        return "sigmoid" if settings(config).labels == 1 else "none"
    problem = config.get("problem_type")
    if problem == "regression":
        return "none"
    return "sigmoid" if problem == "multi_label_classification" or settings(config).labels == 1 else "softmax"


def scores_of_older(config: Mapping[str, Any]) -> Scores:
    """The same for a folder that was converted before this was recorded: one label was a number then, whatever else."""
    return "none" if settings(config).labels == 1 else "softmax"


def specification(config: Mapping[str, Any], where: str = "config.json") -> Specification:
    """The tensors of the model that a configuration describes, in the order in which they are used."""
    s = settings(config, where)
    shapes: dict[str, Shape] = {}
    roles: dict[str, Role] = {}

    def matrix(name: str, shape: Shape, role: Role) -> None:
        shapes[name] = shape
        roles[name] = role

    def linear(name: str, outputs: int, inputs: int, role: Role) -> None:
        matrix(f"{name}.weight", (outputs, inputs), role)
        shapes[f"{name}.bias"] = (outputs,)

    def layer_norm(name: str) -> None:
        shapes[f"{name}.weight"] = (s.hidden,)
        shapes[f"{name}.bias"] = (s.hidden,)

    embedding = Role("embedding", "encoder")
    matrix(WORDS, (s.vocab_size, s.hidden), embedding)
    matrix(POSITIONS, (s.positions, s.hidden), embedding)
    if s.types:
        matrix(TYPES, (s.types, s.hidden), embedding)
    layer_norm("embeddings.LayerNorm")
    for i in range(s.layers):
        layer = f"encoder.layer.{i}"
        attention, feed_forward = Role("self_attention", "encoder", i), Role("feed_forward", "encoder", i)
        for projection in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{projection}", s.hidden, s.hidden, attention)
        linear(f"{layer}.attention.output.dense", s.hidden, s.hidden, attention)
        layer_norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", s.ffn, s.hidden, feed_forward)
        linear(f"{layer}.output.dense", s.hidden, s.ffn, feed_forward)
        layer_norm(f"{layer}.output.LayerNorm")
    if s.labels:
        linear("pooler.dense", s.hidden, s.hidden, Role("pooler", "encoder"))
        linear("classifier", s.labels, s.hidden, Role("classifier", "encoder"))
    added = {equalizer(point): (width,) for point, width in points(s).items() if multiplied(point)}
    return Specification(shapes, roles, {}, added)


def equalizer(point: str) -> str:
    """The name of the vector that values of a point are multiplied by before matrices read them (operands.py)."""
    return point + EQUALIZER


def readers(point: str, s: Settings) -> list[str]:
    """The matrices that read the values of a point; none of a bare encoder reads its last output."""
    head, _, name = point.rpartition(".")
    if name == "pooler":
        return ["classifier.weight"]
    if name == "output":
        reader = 0 if head == "embeddings" else int(head.removeprefix("layers.")) + 1
        if reader == s.layers:
            return ["pooler.dense.weight"] if s.labels else []
        return [f"encoder.layer.{reader}.attention.self.{of}.weight" for of in ("query", "key", "value")]
    within = {"context": "attention.output.dense", "ffn_input": "intermediate.dense", "hidden": "output.dense"}
    return [f"encoder.layer.{head.removeprefix('layers.')}.{within[name]}.weight"] if name in within else []


def points(s: Settings) -> dict[str, int]:
    """The activations that may be quantized, in the order in which they are computed -> their width.

    Scores and probabilities of attention have no width of their own and count as 1. BERT-base with a classifier has 161
    of them (Bondarenko et al. 2021): 3 of the embeddings, 13 a layer, pooler and classifier.
    """
    found = {"embeddings.words": s.hidden, "embeddings.sum": s.hidden, "embeddings.output": s.hidden}
    for i in range(s.layers):
        widths = {
            "query": s.hidden, "key": s.hidden, "value": s.hidden, "scores": 1, "probabilities": 1,
            "context": s.hidden, "attention_output": s.hidden, "attention_sum": s.hidden, "ffn_input": s.hidden,
            "hidden": s.ffn, "ffn_output": s.hidden, "ffn_sum": s.hidden, "output": s.hidden,
        }  # fmt: skip
        found |= {f"layers.{i}.{name}": width for name, width in widths.items()}
    if s.labels:
        found |= {"pooler": s.hidden, "classifier": s.labels}
    return found


def our_name(name: str, family: str) -> str:
    """What we call a tensor of a checkpoint."""
    for pattern, replacement in RENAMED[family]:
        name = re.sub(pattern, replacement, name)
    return name


def check_generation(config: Mapping[str, Any], generation: Mapping[str, Any], where: str) -> None:
    """Nothing: encoders generate nothing, and what such a file says is not read."""


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
