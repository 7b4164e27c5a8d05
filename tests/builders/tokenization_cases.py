# ruff: noqa: RUF001  (odd characters are the point)
"""The sentences, ids and tokenizer options that are recorded from transformers and compared with our tokenizer."""

from __future__ import annotations

from typing import Any

SENTENCES = [
    "",
    " ",
    "\t\n",
    "a dog runs across the snow .",
    "A dog runs across the snow.",
    "  two   men  ",
    "zwei männer putzen ein fenster",
    "ein Mädchen, größer als 1,75 m!",
    ">>de<< a dog",
    ">>de<<a dog",
    ">>nl<<",
    ">>xx<< a dog",
    " >>de<< a dog",
    "a >>de<< dog",
    ">>de a dog",
    ">>de>> a << dog",
    ">><< a",
    ">>de<< >>nl<< a dog",
    "</s>",
    "a </s> dog",
    "a</s>dog",
    "</s>>>de<< a dog",
    "<unk> dog <pad>",
    "<pad><pad>",
    "<unk",
    "< /s>",
    "</s </s>",
    "<special>",
    "a <special> dog",
    "a  <special>  dog",
    "a\t<special>\tdog",
    "a <special> >>de<< dog",
    "in >>de<< dog",
    "日本語のテキスト",
    "Привет, мир",
    "a 😀 dog 👩\u200d👩\u200d👧",
    "\u200b\ufeff",
    "caf\u0065\u0301 caf\u00e9",
    "ﬁne Ⅷ ½ ＡＢＣ",
    "a\u00a0dog\u3000runs\u2028now",
    "▁a▁dog",
    "\x00\x01\x1f",
    "a\r\ndog",
    "“quoted” ‘single’ — dash … dots",
    "x" * 60,
    "the the the the the the the the",
    "it is n't there , he 's here . \u0027 a \u0027 b",
]

# ids a beam search could hand over, also those that no text gives
IDS = [
    [],
    [0],
    [1],
    [1, 1, 5, 1],
    [2, 2, 2],
    [5, 0, 6, 0, 0],
    [60, 61, 62, 63, 64, 65],
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    [50, 40, 30, 20, 10, 0],
]

# name -> (keys of config.json, keys of tokenizer_config.json)
SPECIAL: dict[str, Any] = {"content": "<special>", "lstrip": True, "rstrip": True, "single_word": False}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "shared": ({}, {}),
    "separate": ({"share_encoder_decoder_embeddings": False}, {}),
    "clean_up": ({}, {"clean_up_tokenization_spaces": True}),
    "extra": ({}, {"extra_special_tokens": ["a", ">>de<<"]}),
    "renamed": ({}, {"unk_token": "a", "eos_token": {"__type": "AddedToken", "content": "in", "rstrip": True}}),
    "declared": ({}, {"added_tokens_decoder": {"70": {**SPECIAL, "normalized": True, "special": True}}}),
    "declared_special": (
        {},
        {
            "added_tokens_decoder": {"70": {**SPECIAL, "normalized": False, "special": True}},
            "extra_special_tokens": ["<special>"],
        },
    ),
}
