"""BERT, DistilBERT and RoBERTa: their configurations, and the names in their checkpoints.

Run by us are BertModel, DistilBertModel and RobertaModel of transformers 5 with absolute positions, bare or with the
head of ...ForSequenceClassification; of a checkpoint with another head, the encoder in it. All of them are one shape
under the names of BERT; a `Dialect` says what a family calls otherwise, or does otherwise. Post-norm; exact GELU (erf)
unless the configuration says otherwise.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from subbyte.models import labels
from subbyte.models.config_fields import MOST_LAYERS, MOST_POSITIONS, MOST_WIDTH, MOST_WORDS, Fields
from subbyte.models.encoder import Settings
from subbyte.models.family import Family

CLASSIFIER = "ForSequenceClassification"
# what a checkpoint may hold that is not run: a table of 0, 1, 2, ..., the pooler that RoBERTa had once, which its
# classifier does not read, and the pooler of a bare model
UNUSED = re.compile(r"embeddings\.position_ids$|^roberta\.pooler\.dense\.(weight|bias)$")
POOLER = re.compile(r"pooler\.dense\.(weight|bias)$")
# what may stand beside an encoder whose own names have no prefix: the heads of other tasks
HEADS = re.compile(
    r"^(cls|lm_head|classifier|pre_classifier|qa_outputs|vocab_transform|vocab_layer_norm|vocab_projector)\."
)


@dataclass(frozen=True)
class Dialect:
    """In what a family differs from BERT."""

    name: str  # what the names of its classes begin with
    renamed: tuple[tuple[str, str], ...]  # as in `Family`
    keys: Mapping[str, str] = field(default_factory=dict)  # BERT's key in config.json -> its own
    fixed: Mapping[str, Any] = field(default_factory=dict)  # BERT's key -> the value that all of its models have
    padded: bool = False  # positions are counted from behind the padding's id
    pooler: str = "tanh"  # the activation between pooler and classifier


DIALECTS: Mapping[str, Dialect] = {
    "bert": Dialect(
        "Bert", ((r"^bert\.", ""), (r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))
    ),
    "distilbert": Dialect(
        "DistilBert",
        (
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
        keys={
            "hidden_act": "activation",
            "hidden_size": "dim",
            "intermediate_size": "hidden_dim",
            "num_attention_heads": "n_heads",
            "num_hidden_layers": "n_layers",
        },
        fixed={"layer_norm_eps": 1e-12, "type_vocab_size": 0},
        pooler="relu",
    ),
    "roberta": Dialect(
        "Roberta",
        ((r"^roberta\.", ""), (r"^classifier\.dense\.", "pooler.dense."), (r"^classifier\.out_proj\.", "classifier.")),
        padded=True,
    ),
}


def family(model_type: str, dialect: Dialect) -> Family:
    """The family of this model_type that speaks this dialect."""
    return Family(
        model_type,
        "encode",
        architectures={
            f"{dialect.name}Model": "AutoModel",
            dialect.name + CLASSIFIER: "AutoModelForSequenceClassification",
        },
        architecture_of=partial(_architecture_of, model_type, dialect),
        settings=partial(_settings, model_type, dialect),
        renamed=dialect.renamed,
        prefix=f"{model_type}.",
        unused=UNUSED,
        spare=POOLER,
        heads=HEADS,
    )


def _architecture_of(model_type: str, dialect: Dialect, config: Mapping[str, Any]) -> str | None:
    """The classifier, or for every other head the encoder alone; None where `architectures` are of another family."""
    named = config.get("architectures")
    if config.get("model_type") != model_type:
        return None
    bare, classifier = f"{dialect.name}Model", dialect.name + CLASSIFIER
    if named is None:
        return bare
    if not isinstance(named, list) or not all(isinstance(n, str) and n.startswith(dialect.name) for n in named):
        return None
    return classifier if named[:1] == [classifier] else bare


def _settings(model_type: str, dialect: Dialect, config: Mapping[str, Any], where: str = "config.json") -> Settings:
    given = Fields(config, dialect.keys, dialect.fixed)
    number, faults = given.number, given.faults
    for key, wanted in (("position_embedding_type", "absolute"), ("is_decoder", False), ("add_cross_attention", False)):
        if config.get(key, wanted) not in (wanted, None):
            faults.append(f"{key} is {config[key]!r}; only models where it is {wanted!r} are run")
    activation = given.activation("hidden_act")
    epsilon = dialect.fixed.get("layer_norm_eps", config.get("layer_norm_eps", 1e-12))
    if type(epsilon) not in (int, float) or not 0 < epsilon <= 1:
        faults.append(f"layer_norm_eps is {epsilon!r}, should be a number above 0, and 1 at most")
    classifies = (_architecture_of(model_type, dialect, config) or "").endswith(CLASSIFIER)
    count = labels.count(config, faults) if classifies else 0
    first = number("pad_token_id", MOST_WORDS, 1, least=0) + 1 if dialect.padded else 0
    found = Settings(
        hidden=number("hidden_size", MOST_WIDTH),
        layers=number("num_hidden_layers", MOST_LAYERS),
        heads=number("num_attention_heads", MOST_WIDTH),
        ffn=number("intermediate_size", MOST_WIDTH),
        vocab_size=number("vocab_size", MOST_WORDS),
        positions=number("max_position_embeddings", MOST_POSITIONS, least=max(first, 1) + 2),
        first_position=first,
        types=number("type_vocab_size", MOST_WORDS, 2),
        activation=activation,
        norm_epsilon=float(epsilon) if type(epsilon) in (int, float) else 1e-12,
        pooler_activation=dialect.pooler,
        labels=count,
        regression=count == 1,
        several=count > 1 and config.get("problem_type") in ("regression", "multi_label_classification"),
    )
    if found.hidden % found.heads:
        faults.append(f"{found.heads} attention heads do not divide the width {found.hidden}")
    given.check(where)
    return found


FAMILIES = tuple(family(model_type, dialect) for model_type, dialect in DIALECTS.items())
