"""BERT-family encoders: their configurations, the tensors they have, and loading them from a Hugging Face folder.

Run by us are BertModel, DistilBertModel and RobertaModel of transformers 5 with absolute positions, bare or with the
head of ...ForSequenceClassification; of a checkpoint with another head, the encoder in it. All of them are one shape
under the names of BERT: what DistilBERT and RoBERTa call otherwise is renamed when it is read. Post-norm; exact GELU
(erf) unless the configuration says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from subbyte.errors import ModelError, fault_list
from subbyte.models import encoder
from subbyte.models.encoder import Settings
from subbyte.models.model import Scores
from subbyte.models.pooling import class_of_torch
from subbyte.models.specification import Specification

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


def our_name(name: str, family: str) -> str:
    """What we call a tensor of a checkpoint."""
    for pattern, replacement in RENAMED[family]:
        name = re.sub(pattern, replacement, name)
    return name


def check_generation(config: Mapping[str, Any], generation: Mapping[str, Any], where: str) -> None:
    """Nothing: encoders generate nothing, and what such a file says is not read."""


def specification(config: Mapping[str, Any], where: str = "config.json") -> Specification:
    """The tensors of the model that a configuration describes, in the order in which they are used."""
    return encoder.specification(settings(config, where))
