"""The table of variants; encoder_variants.py says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders.encoder_variants import (
    FLAGS,
    HIDDEN,
    NEW,
    NORMALIZE,
    OPTIONS,
    POOLING,
    SETTINGS,
    TRANSFORMER,
    WORDS,
    Edits,
    added,
    base_folder,
    beside,
    changed,
    cut,
    prefixed,
    token,
)


def variant_folder(name: str, folder: Path) -> Path:
    """The folder of a variant."""
    base, edits = VARIANTS[name][:2]
    return changed(base_folder(base, folder), edits)


def arguments_of(name: str) -> dict[str, Any]:
    """Arguments of `encode` that a variant is asked with."""
    return VARIANTS[name][2] if len(VARIANTS[name]) > 2 else {}


# fmt: off
SPECIAL = {str(i): token(WORDS[i], special=True) for i in range(5)}


def _words(name: str, **options: Any) -> dict[str, tuple[str, Edits]]:
    """A variant of tokenizer_config.json alone, over the older files and over a cased tokenizer.json."""
    return {f"words, {name}": ("words", {OPTIONS: options}), f"cased, {name}": ("cased", {OPTIONS: options})}


def _sentences(name: str, edits: Edits, **arguments: Any) -> dict[str, Any]:
    return {f"sentences, {name}": ("words, sentences", edits, arguments)}


def _modules(*more: tuple[str, str]) -> list[dict[str, Any]]:
    """modules.json with others behind the pooling: (kind, folder)."""
    return [TRANSFORMER, POOLING] + [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(more, start=2)
    ]


DENSE = {"in_features": HIDDEN, "out_features": 5, "bias": True}
TORCH = "torch.nn.modules.activation"
PROMPTS = {"prompts": {"query": "query: ", "document": "the "}}
LEFT_OUT = {"1_Pooling/config.json": {"include_prompt": False}}
NEW_TRANSFORMER = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}

# name -> base, edits, arguments of encode
VARIANTS: dict[str, tuple[Any, ...]] = {
    "words": ("words", {}),
    "cased": ("cased", {}),
    "roberta": ("roberta", {}),
    # tokenizer_config.json
    **_words("do_lower_case", do_lower_case=True),
    **_words("not do_lower_case", do_lower_case=False),
    **_words("strip_accents", do_lower_case=False, strip_accents=True),
    **_words("not strip_accents", strip_accents=False),
    **_words("Chinese characters as they are", tokenize_chinese_chars=False),
    **_words("model_max_length", model_max_length=7),
    **_words("a float model_max_length", model_max_length=1e30),
    **_words("model_max_length beyond the model", model_max_length=10**30),
    **_words("max_len", max_len=6),
    **_words("truncation_side", model_max_length=7, truncation_side="left"),
    **_words("padding_side", padding_side="left"),
    **_words("split_special_tokens", split_special_tokens=True),
    **_words("unk_token", unk_token="dog"),
    **_words("cls_token", cls_token="[MASK]", sep_token="the"),
    **_words("mask_token is null", mask_token=None),
    **_words("bos_token", bos_token="runs"),
    **_words("extra_special_tokens", extra_special_tokens=["runs", "<ent>"]),
    **_words("additional_special_tokens", additional_special_tokens=["new"]),
    **_words("a token of the model's own", entity_token="<ent>"),
    **_words("added_tokens_decoder", added_tokens_decoder={**SPECIAL, str(len(WORDS)): token("<ent>")}),
    **_words("added token, normalized", added_tokens_decoder={**SPECIAL, "60": token("new dog", normalized=True)}),
    **_words("added token, lstrip", added_tokens_decoder={**SPECIAL, "60": token("<ent>", lstrip=True, rstrip=True)}),
    **_words("added token, single word", added_tokens_decoder={**SPECIAL, "60": token("a", single_word=True)}),
    **_words("BertTokenizerFast", tokenizer_class="BertTokenizerFast"),
    **_words("DistilBertTokenizer", tokenizer_class="DistilBertTokenizer"),
    **_words("ElectraTokenizerFast", tokenizer_class="ElectraTokenizerFast"),
    "cased, PreTrainedTokenizerFast": ("cased", {OPTIONS: {"tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]"}}),
    "cased, TokenizersBackend": (
        "cased",
        {OPTIONS: {"tokenizer_class": "TokenizersBackend", "do_lower_case": True, "pad_token": "[PAD]"}},
    ),
    "cased, PreTrainedTokenizer": ("cased", {OPTIONS: {"tokenizer_class": "PreTrainedTokenizer",
        "pad_token": "[PAD]"}}),
    "cased, class in config.json": (
        "cased",
        {"config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}, OPTIONS: {"pad_token": "[PAD]"}},
    ),
    "cased, backend and added tokens": (
        "cased",
        {
            OPTIONS: {
                "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "cls_token": "[CLS]",
                "added_tokens_decoder": {**SPECIAL, str(len(WORDS)): token("<ent>")}, "mask_token": "[MASK]",
            }
        },
    ),
    "tokenizer.json cut left": ("words", {"*tokenizer": cut, OPTIONS: {"model_max_length": 7}}),
    "tokenizer.json cut left, said otherwise": (
        "words",
        {"*tokenizer": cut, OPTIONS: {"model_max_length": 7, "truncation_side": "right"}},
    ),
    "tokenizer.json cut left, backend": (
        "words",
        {"*tokenizer": cut, OPTIONS: {"tokenizer_class": "PreTrainedTokenizerFast"}},
    ),
    "tokenizer.json with added tokens": ("words", {"*tokenizer": added}),
    "tokenizer.json with added tokens and a decoder": (
        "words",
        {"*tokenizer": added, OPTIONS: {"added_tokens_decoder": SPECIAL}},
    ),
    "tokenizer.json with added tokens, backend": (
        "words",
        {"*tokenizer": added, OPTIONS: {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}},
    ),
    "added_tokens.json": ("words", {"added_tokens.json": {"<ent>": len(WORDS)}}),
    "special_tokens_map.json": (
        "words",
        {"special_tokens_map.json": {"unk_token": "dog", "additional_special_tokens": ["runs"]}},
    ),
    "special_tokens_map.json with objects": (
        "cased",
        {
            "special_tokens_map.json": {"mask_token": token("<ent>", lstrip=True), "sep_token": "cat"},
            OPTIONS: {"mask_token": "[MASK]"},
        },
    ),
    "special_tokens_map.json beside a decoder": (
        "words",
        {"special_tokens_map.json": {"sep_token": "cat"}, OPTIONS: {"added_tokens_decoder": SPECIAL}},
    ),
    "tokens as objects with a type": (
        "words",
        {OPTIONS: {"mask_token": {"__type": "AddedToken", **token("<ent>", lstrip=True)}}},
    ),
    "roberta, add_prefix_space": ("roberta", {OPTIONS: {"add_prefix_space": True}}),
    "roberta, model_max_length": ("roberta", {OPTIONS: {"model_max_length": 9}}),
    "roberta, mask with lstrip": (
        "roberta",
        {OPTIONS: {"added_tokens_decoder": {"4": token("<mask>", lstrip=True, special=True)}}},
    ),
    "pieces, XLMRobertaTokenizer": ("pieces", {OPTIONS: {"tokenizer_class": "XLMRobertaTokenizer"}}),
    "pieces, XLMRobertaTokenizerFast without a space": (
        "pieces",
        {OPTIONS: {"tokenizer_class": "XLMRobertaTokenizerFast", "add_prefix_space": False}},
    ),
    "pieces, backend": ("pieces", {OPTIONS: {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}}),
    # sentence_bert_config.json
    **_sentences("as they are", {}),
    **_sentences("max_seq_length", {"sentence_bert_config.json": {"max_seq_length": 6}}),
    **_sentences(
        "max_seq_length above model_max_length",
        {"sentence_bert_config.json": {"max_seq_length": 9}, OPTIONS: {"model_max_length": 5}},
    ),
    **_sentences(
        "max_seq_length null",
        {"sentence_bert_config.json": {"max_seq_length": None}, OPTIONS: {"model_max_length": 5}},
    ),
    **_sentences("sentence_bert_config.json is null", {"sentence_bert_config.json": "null"}),
    **_sentences(
        "sentence_roberta_config.json",
        {"sentence_bert_config.json": {}, "sentence_roberta_config.json": {"max_seq_length": 7}},
    ),
    **_sentences("sentence_xlnet_config.json", {"sentence_xlnet_config.json": {"max_seq_length": 7}}),
    **_sentences(
        "the first of two",
        {
            "sentence_distilbert_config.json": {"max_seq_length": 5},
            "sentence_albert_config.json": {"max_seq_length": 9},
        },
    ),
    **_sentences("do_lower_case", {"sentence_bert_config.json": {"do_lower_case": True},
        OPTIONS: {"do_lower_case": False}}),
    **_sentences("keys of 6.2", {"sentence_bert_config.json": NEW_TRANSFORMER}),
    **_sentences("tokenizer_args", {"sentence_bert_config.json": {"tokenizer_args": {"model_max_length": 6}}}),
    # config_sentence_transformers.json
    **_sentences("default prompt", {SETTINGS: {**PROMPTS, "default_prompt_name": "query"}}),
    **_sentences("prompts without a default", {SETTINGS: PROMPTS}),
    **_sentences("prompt_name", {SETTINGS: PROMPTS}, prompt_name="document"),
    **_sentences("prompt", {SETTINGS: {**PROMPTS, "default_prompt_name": "query"}}, prompt="the cat "),
    **_sentences("no prompt", {SETTINGS: {**PROMPTS, "default_prompt_name": "query"}}, prompt=""),
    **_sentences("a prompt that is always there", {}, prompt_name="query"),
    **_sentences("truncate_dim", {SETTINGS: {"truncate_dim": 3}}),
    **_sentences("truncate_dim asked for", {SETTINGS: {"truncate_dim": 3}}, truncate_dim=5),
    **_sentences("truncate_dim, normalized", {"modules.json": [TRANSFORMER, POOLING, NORMALIZE]}, truncate_dim=3),
    **_sentences(
        "truncate_dim, normalized again",
        {"modules.json": [TRANSFORMER, POOLING, NORMALIZE]},
        truncate_dim=3,
        normalize_embeddings=True,
    ),
    **_sentences("settings without modules", {"modules.json": None, SETTINGS: {"truncate_dim": 3}}),
    # poolings
    **{
        f"sentences, {flag}": ("words, sentences", {"1_Pooling/config.json": {"pooling_mode_mean_tokens": False,
            flag: True}})
        for flag in FLAGS
    },
    **_sentences("two poolings", {"1_Pooling/config.json": {"pooling_mode_max_tokens": True}}),
    **_sentences("every pooling", {"1_Pooling/config.json": dict.fromkeys(FLAGS, True)}),
    **_sentences("no pooling", {"1_Pooling/config.json": {"pooling_mode_mean_tokens": False}}),
    **_sentences(
        "new poolings",
        {
            "1_Pooling/config.json": {
                "word_embedding_dimension": ..., "embedding_dimension": HIDDEN, "pooling_mode": ["lasttoken", "cls",
                    "mean"],
            }
        },
    ),
    **{
        f"sentences, prompt not pooled, {flag}": (
            "words, sentences",
            {
                "1_Pooling/config.json": {"pooling_mode_mean_tokens": False, flag: True, "include_prompt": False},
                SETTINGS: {**PROMPTS, "default_prompt_name": "query"},
            },
        )
        for flag in FLAGS
    },
    **_sentences("a prompt longer than texts may be", LEFT_OUT, prompt="the cat " * 20),
    # modules
    **_sentences("normalize", {"modules.json": [TRANSFORMER, POOLING, NORMALIZE]}),
    **_sentences(
        "classes of 6.2",
        {
            "modules.json": [
                TRANSFORMER | {"type": "sentence_transformers.base.modules.transformer.Transformer"},
                POOLING | {"type": f"{NEW}.pooling.Pooling"},
                NORMALIZE | {"type": "sentence_transformers.base.modules.normalize.Normalize"},
            ],
            "2_Normalize/config.json": {"module_input_name": "sentence_embedding",
                "module_output_name": "sentence_embedding"},
        },
    ),
    **_sentences(
        "Dense, tanh by default",
        {"modules.json": _modules(("Dense", "2_Dense")), "2_Dense/config.json": DENSE,
            "*dense 2_Dense": {"outputs": 5, "inputs": HIDDEN}},
    ),
    **{
        f"sentences, Dense {name}": (
            "words, sentences",
            {
                "modules.json": _modules(("Dense", "2_Dense"), ("Normalize", "3_Normalize")),
                "2_Dense/config.json": {**DENSE, "bias": False, "activation_function": name},
                "*dense 2_Dense": {"outputs": 5, "inputs": HIDDEN, "bias": False},
            },
        )
        for name in (
            "torch.nn.modules.linear.Identity", "torch.nn.Identity", f"{TORCH}.ReLU", f"{TORCH}.GELU",
                f"{TORCH}.Sigmoid",
            f"{TORCH}.SiLU",
        )
    },
    **_sentences(
        "normalized, then two Dense, one with a residual",
        {
            "modules.json": _modules(("Normalize", "2_Normalize"), ("Dense", "3_Dense"), ("Dropout", "4"), ("Dense",
                "5_Dense")),
            "3_Dense/config.json": {**DENSE, "use_residual": True},
            "*dense 3_Dense": {"outputs": 5, "inputs": HIDDEN, "residual": True},
            "4/config.json": {"dropout": 0.3},
            "5_Dense/config.json": {"in_features": 5, "out_features": 5, "bias": True, "use_residual": True},
            "*dense 5_Dense": {"outputs": 5, "inputs": 5},
        },
    ),
    **_sentences(
        "LayerNorm",
        {"modules.json": _modules(("LayerNorm", "2_LayerNorm")), "2_LayerNorm/config.json": {"dimension": HIDDEN},
            "*norm": "2_LayerNorm"},
    ),
    **_sentences(
        "Transformer in a folder",
        {"*move": "0_Transformer", "modules.json": [TRANSFORMER | {"path": "0_Transformer"}, POOLING],
         "config.json": {"__version__": "2.0.0"}, "0_Transformer/sentence_bert_config.json": {"max_seq_length": 6}},
    ),
    **_sentences(
        "Transformer in a folder alone",
        {"*move": "0_Transformer", "modules.json": [TRANSFORMER | {"path": "0_Transformer"}, POOLING]},
    ),
    # unused parts
    "MaskedLM": ("words", {"config.json": {"architectures": ["BertForMaskedLM"]}, "*tensors": prefixed}),
    "PreTraining": ("words", {"config.json": {"architectures": ["BertForPreTraining"]}, "*tensors": prefixed}),
    "TokenClassification": ("words", {"config.json": {"architectures": ["BertForTokenClassification"]},
        "*tensors": prefixed}),
    "QuestionAnswering": ("words", {"config.json": {"architectures": ["BertForQuestionAnswering"]},
        "*tensors": prefixed}),
    "MaskedLM that is bare": ("words, sentences", {"config.json": {"architectures": ["BertForMaskedLM"]}}),
    "a classifier in name only": ("words, sentences",
        {"config.json": {"architectures": ["BertForSequenceClassification"]}}),
    "leftover heads": ("words", {"*tensors": beside}),
    "no architectures": ("words", {"config.json": {"architectures": ...}}),
    "generation_config.json": ("words", {"generation_config.json": '{"temperature": Infinity'}),
}
# fmt: on
