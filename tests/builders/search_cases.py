"""Search settings to record in transformers (parity/record_search.py) and to follow (run/test_search_recordings.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

END = 0
BEAMS = 4
MODELS = ("opus", "separate", "untied")  # of record_marian.py; words 1 to 78 are in every target vocabulary


@dataclass(frozen=True)
class Case:
    """Keys of generation_config.json, in the place of the model's, and what every translation begins with."""

    settings: dict[str, Any] = field(default_factory=dict)
    prefix: tuple[int, ...] = ()


CASES: Mapping[str, Case] = {
    "as it is": Case(),
    "repetition penalty": Case({"repetition_penalty": 1.5, "max_length": 12}),
    "repetition reward": Case({"repetition_penalty": 0.6, "max_length": 12}),
    "no word twice": Case({"no_repeat_ngram_size": 1, "min_length": 10, "max_length": 14}),
    "no pair twice": Case({"no_repeat_ngram_size": 2, "min_length": 10, "max_length": 14}),
    "no triple twice": Case({"no_repeat_ngram_size": 3, "min_length": 16, "max_length": 20}),
    "both penalties": Case({"no_repeat_ngram_size": 2, "repetition_penalty": 1.2, "min_length": 8, "max_length": 14}),
    "min length": Case({"min_length": 7, "max_length": 11}),
    "min new tokens": Case({"min_new_tokens": 6, "max_length": 11}),
    "min new tokens before min length": Case({"min_new_tokens": 3, "min_length": 9, "max_length": 11}),
    "max new tokens": Case({"max_new_tokens": 4, "max_length": None}),
    "max new tokens before max length": Case({"max_new_tokens": 9, "max_length": 5}),
    "no forced end": Case({"forced_eos_token_id": None, "max_length": 5}),
    "forced begin": Case({"forced_bos_token_id": 9, "max_length": 9}),
    "forced begin and end": Case({"forced_bos_token_id": 9, "forced_eos_token_id": END, "max_length": 5}),
    "suppressed": Case({"suppress_tokens": [8, 15, 22, 29, 43, 50, 64, 71]}),
    "suppressed at the beginning": Case({"begin_suppress_tokens": [0, 8, 15, 22, 29, 36, 43, 50, 57, 64, 71]}),
    "suppressed after a forced begin": Case(
        {"begin_suppress_tokens": [0, 8, 15, 22, 29, 36, 43, 50, 57], "forced_bos_token_id": 4}
    ),
    "sequences banned": Case({"bad_words_ids": [[15, 8], [22, 36, 8], [29], [57, 50], [0]], "max_length": 12}),
    "two ends": Case({"eos_token_id": [END, 22]}),
    "three ends": Case({"eos_token_id": [15, 36, END], "min_length": 4}),
    "many ends": Case({"eos_token_id": [END, *range(1, 78, 4)], "min_length": 3, "max_length": 12}),
    "never early": Case({"early_stopping": "never", "length_penalty": 2.0, "max_length": 14}),
    "never early, no penalty": Case({"early_stopping": "never", "length_penalty": 0.0, "max_length": 14}),
    "never early, shorter": Case({"early_stopping": "never", "length_penalty": -0.5, "max_length": 14}),
    "early": Case({"early_stopping": True, "length_penalty": 2.0, "max_length": 14}),
    "early by one": Case({"early_stopping": 1, "length_penalty": 2.0, "max_length": 14}),
    "not early by nought": Case({"early_stopping": 0, "length_penalty": 2.0, "max_length": 14}),
    "renormalized penalty": Case({"renormalize_logits": True, "repetition_penalty": 1.6, "max_length": 12}),
    "renormalized bans": Case(
        {"renormalize_logits": True, "no_repeat_ngram_size": 1, "bad_words_ids": [[15], [8, 22]], "max_length": 12}
    ),
    "prefix": Case({}, (15, 36)),
    "prefix and length penalty": Case({"length_penalty": 1.7, "max_length": 12}, (15, 36, 8)),
    "prefix and new tokens": Case({"min_new_tokens": 3, "max_new_tokens": 5}, (8, 57)),
    "prefix and penalties": Case(
        {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "min_length": 9, "max_length": 14}, (15, 36, 8, 15)
    ),
    "prefix, forced begin not": Case({"forced_bos_token_id": 9, "begin_suppress_tokens": [8, 15, 22, 57]}, (71,)),
    "prefix, never early": Case({"early_stopping": "never", "length_penalty": 1.5, "max_length": 14}, (22, 8)),
    "long prefix, never early": Case(
        {"early_stopping": "never", "length_penalty": 2.0, "max_length": 12}, (22, 8, 15, 36, 43, 71, 64)
    ),
    "all together": Case(
        {
            "repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "bad_words_ids": [[15, 8], [29]], "min_length": 6,
            "suppress_tokens": [64], "begin_suppress_tokens": [36], "eos_token_id": [END, 71], "max_new_tokens": 10,
            "renormalize_logits": True, "length_penalty": 0.8, "early_stopping": "never",
        },
        (43,),
    ),
    "one likeliest word drawn": Case({"do_sample": True, "top_k": 1, "temperature": 0.7, "repetition_penalty": 1.5}),
}  # fmt: skip
