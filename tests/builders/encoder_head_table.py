"""The table of variants of classifiers and cross-encoders; encoder_variants.py says what variants are."""

from __future__ import annotations

from builders.encoder_variant_table import PROMPTS
from builders.encoder_variants import OPTIONS, SETTINGS, Edits, loss

# fmt: off
RERANKER = {
    "modules.json": [{"idx": 0, "name": "0", "path": "",
        "type": "sentence_transformers.base.modules.transformer.Transformer"}],
    "sentence_bert_config.json": {
        "transformer_task": "sequence-classification",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
        "module_output_name": "scores",
    },
}

# name -> base, edits; what transformers' pipeline makes of pairs ("pipeline"), or a CrossEncoder ("cross")
HEADS: dict[str, tuple[str, Edits, str]] = {
    "three labels": ("words, classifier", {}, "pipeline"),
    "several labels at once": ("words, classifier", {"config.json": {"problem_type": "multi_label_classification"}},
        "pipeline"),
    "several numbers": ("words, classifier", {"config.json": {"problem_type": "regression"}}, "pipeline"),
    "classes": ("words, classifier", {"config.json": {"problem_type": "single_label_classification"}}, "pipeline"),
    "one label": ("words, classifier, one label", {}, "pipeline"),
    "one label of several": (
        "words, classifier, one label",
        {"config.json": {"problem_type": "multi_label_classification"}},
        "pipeline",
    ),
    "a number": ("words, classifier, one label", {"config.json": {"problem_type": "regression"}}, "pipeline"),
    "no names": ("words, classifier", {"config.json": {"id2label": ..., "num_labels": 3}}, "pipeline"),
    "names that are numbers": ("words, classifier", {"config.json": {"id2label": {"0": 0, "1": 1.5, "2": "x"}}},
        "pipeline"),
    "leftover tensors": ("words, classifier", {"*tensors": loss}, "pipeline"),
    "no types": ("words, classifier", {OPTIONS: {"model_input_names": ["input_ids", "attention_mask"]}}, "pipeline"),
    "types": ("cased, classifier", {OPTIONS: {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
              "tokenizer_class": "PreTrainedTokenizerFast"}}, "pipeline"),
    "PreTrainedTokenizerFast": ("cased, classifier", {OPTIONS: {"tokenizer_class": "PreTrainedTokenizerFast"}},
        "pipeline"),
    "cut left": ("words, classifier", {OPTIONS: {"truncation_side": "left", "model_max_length": 11}}, "pipeline"),
    "roberta": ("roberta, classifier", {}, "pipeline"),
    "pieces": ("pieces, classifier", {OPTIONS: {"tokenizer_class": "XLMRobertaTokenizer"}}, "pipeline"),
    "cross": ("words, classifier, one label", {}, "cross"),
    "cross, identity": (
        "words, classifier, one label",
        {"config.json": {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity",
            "version": "5.0.0"}}},
        "cross",
    ),
    "cross, sigmoid of three": (
        "words, classifier",
        {"config.json": {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}},
        "cross",
    ),
    "cross, older identity": (
        "words, classifier, one label",
        {"config.json": {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}},
        "cross",
    ),
    "cross, null": ("words, classifier, one label",
        {"config.json": {"sentence_transformers": {"activation_fn": None}}}, "cross"),
    "cross, null of three": ("words, classifier",
        {"config.json": {"sentence_transformers": {"activation_fn": None}}}, "cross"),
    "cross, null before an older identity": ("words, classifier, one label",
        {"config.json": {"sentence_transformers": {"activation_fn": None},
            "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}}, "cross"),
    "cross, null before a regression": ("words, classifier, one label",
        {"config.json": {"sentence_transformers": {"activation_fn": None}, "problem_type": "regression"}}, "cross"),
    "cross of 6.2 of three, no key": (
        "words, classifier",
        {**RERANKER, SETTINGS: {"model_type": "CrossEncoder"}},
        "cross",
    ),
    "cross of 6.2 of a regression, no key": (
        "words, classifier, one label",
        {**RERANKER, SETTINGS: {"model_type": "CrossEncoder"}, "config.json": {"problem_type": "regression"}},
        "cross",
    ),
    "cross of 6.2": (
        "words, classifier, one label",
        {**RERANKER, SETTINGS: {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"}},
        "cross",
    ),
    "cross of 6.2, key of config.json behind": (
        "words, classifier, one label",
        {
            **RERANKER,
            SETTINGS: {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.activation.Sigmoid"},
            "config.json": {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"},
        },
        "cross",
    ),
    "cross of 6.2, prompt and length": (
        "words, classifier, one label",
        {**RERANKER, SETTINGS: {"model_type": "CrossEncoder", **PROMPTS, "default_prompt_name": "query"},
         OPTIONS: {"model_max_length": 9, "do_lower_case": False}},
        "cross",
    ),
}
# fmt: on
