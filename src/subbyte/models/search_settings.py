"""What a folder says about searching for a translation: which keys are followed, what they may be, which are refused.

The keys are those of transformers' generation_config.json, or of an old config.json. Malformed values are refused when
a folder is opened; values that would change what is found and are not followed are refused by whatever searches, before
it starts. `docs/search.md` says it for people.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from subbyte.errors import ModelError, UsageError, fault_list
from subbyte.models.search_options import MOST_BEAMS, MOST_LENGTH, MOST_PENALTY, Real, Whole, ranges

if TYPE_CHECKING:
    from subbyte.models.model import Model

# Keys that are not followed, and the values for which that makes no difference.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        ("assistant_early_exit", "constraints", "dola_layers", "exponential_decay_length_penalty"), (None,)
    ),
    **dict.fromkeys(("force_words_ids", "max_time", "prompt_lookup_num_tokens", "sequence_bias"), (None,)),
    **dict.fromkeys(("stop_strings", "watermarking_config"), (None,)),
    **dict.fromkeys(("diversity_penalty", "encoder_no_repeat_ngram_size", "penalty_alpha"), (None, 0)),
    **dict.fromkeys(("encoder_repetition_penalty", "guidance_scale", "num_beam_groups"), (None, 1)),
    **dict.fromkeys(("remove_invalid_values", "token_healing", "use_mtp"), (None, False)),
}
# The same, of keys that have a say only where tokens are drawn.
NEUTRAL_IN_SAMPLING: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff", "min_p"), (None, 0)),
    "top_h": (None,),
    "typical_p": (None, 1),
}

# key -> least and most; 0 beams and a greatest length of 0 are as if the key were not there
WHOLE = {**ranges(Whole, drawing=False), "num_beams": (0, MOST_BEAMS), "max_length": (0, MOST_LENGTH)}
NUMBERS = {**ranges(Real, drawing=False), "max_length_factor": (0, MOST_PENALTY)}  # the factor is Marian's
NUMBERS_IN_SAMPLING = ranges(Real, drawing=True)
IDS = ("suppress_tokens", "begin_suppress_tokens")
ONE_ID = ("forced_bos_token_id", "decoder_start_token_id", "pad_token_id", "unk_token_id")
ONE_OR_MORE_IDS = ("eos_token_id", "forced_eos_token_id")

KNOWN = frozenset(
    {*NEUTRAL, *NEUTRAL_IN_SAMPLING, *WHOLE, *NUMBERS, *NUMBERS_IN_SAMPLING, *IDS, *ONE_ID, *ONE_OR_MORE_IDS}
    | {"bad_words_ids", "do_sample", "early_stopping", "renormalize_logits", "top_k"}
)
NOT_OF_SEARCH = ("pad_token_id", "unk_token_id")  # which config.json has for other ends


def in_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The search settings of an old config.json; beside a generation_config.json they count for nothing."""
    return {name: config[name] for name in sorted(KNOWN) if name in config and name not in NOT_OF_SEARCH}


def followed(model: Model) -> tuple[Mapping[str, Any], str]:
    """The search settings of a model, and the file that they are from."""
    if model.generation:
        return model.generation, str(model.folder / "generation_config.json")
    return in_config(model.config), str(model.folder / "config.json")


def id_faults(settings: Mapping[str, Any], words: int) -> Iterator[str]:
    """Sentences about ids that are none of the `words` words."""

    def good(value: object) -> bool:
        return type(value) is int and 0 <= value < words

    def all_good(value: object) -> bool:
        return isinstance(value, list) and all(map(good, value))

    for name in ONE_OR_MORE_IDS:
        value = settings.get(name)
        if value is not None and not good(value) and (value == [] or not all_good(value)):
            yield f"{name} is {value!r}, should be an id below {words}, or a list of such"
    for name in ONE_ID:
        value = settings.get(name)
        if value is not None and not good(value):
            yield f"{name} is {value!r}, should be an id below {words}"
    for name in IDS:
        value = settings.get(name)
        if value is not None and not all_good(value):
            yield f"{name} is {value!r}, should be a list of ids below {words}"
    bad = settings.get("bad_words_ids")
    if bad is not None and not (isinstance(bad, list) and all(ids and all_good(ids) for ids in bad)):
        yield f"bad_words_ids should be a list of lists of ids below {words}"


def faults(settings: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about values that no search could follow; null stands for the default."""
    for name, (least, most) in WHOLE.items():
        value = settings.get(name)
        if value is not None and not (type(value) is int and least <= value <= most):
            yield f"{name} is {value!r}, should be a whole number from {least} to {most:,}"
    if settings.get("max_length") == 1:
        yield "max_length is 1, should be at least 2 (it counts the start token)"
    for name in ("do_sample", "renormalize_logits"):
        value = settings.get(name)
        if value is not None and not isinstance(value, bool):
            yield f"{name} is {value!r}, should be true or false"
    stopping = settings.get("early_stopping")
    if stopping is not None and stopping != "never" and not (
        isinstance(stopping, bool | int | float) and stopping in (0, 1)
    ):  # fmt: skip
        yield f"early_stopping is {stopping!r}, should be true, false or 'never'"
    drawn = settings.get("do_sample") is True
    for name, (low, high) in {**NUMBERS, **(NUMBERS_IN_SAMPLING if drawn else {})}.items():
        value = settings.get(name)
        if value is not None and not (type(value) in (int, float) and low <= value <= high):
            yield f"{name} is {value!r}, should be a number from {low:g} to {high:,g}"
    top_k = settings.get("top_k")
    if drawn and top_k is not None and not (type(top_k) is int and 0 <= top_k <= MOST_LENGTH):
        yield f"top_k is {top_k!r}, should be a whole number from 0 (all words) to {MOST_LENGTH:,}"


def refuse_unsupported(settings: Mapping[str, Any], where: str) -> None:
    """Raise ModelError, which says how to go on, where a setting would change what is found and is not followed."""
    neutral = {**NEUTRAL, **(NEUTRAL_IN_SAMPLING if settings.get("do_sample") is True else {})}
    strange = {name: values for name, values in neutral.items() if settings.get(name) not in values}
    if not strange:
        return
    lines = [
        f"{name} is {settings[name]!r}, which is not supported; "
        f"only {' or '.join('null' if value is None else str(value) for value in dict.fromkeys(values))} is"
        for name, values in strange.items()
    ]
    options = " ".join(f"--set {name}=null" for name in strange)
    lines.append(
        f"to translate without: take the keys out of the file, or give {options} "
        f"(Python: from_pretrained(..., settings={dict.fromkeys(strange)}))"
    )
    raise ModelError(fault_list(f"{where}: search settings that cannot be followed", lines))


def refuse_unknown(settings: Mapping[str, Any]) -> None:
    """Raise UsageError for keys that a caller sets and that no search reads."""
    if unknown := sorted(settings.keys() - KNOWN):
        raise UsageError(
            f"{', '.join(map(repr, unknown))}: no such search setting; those of generation_config.json that can be set "
            f"are {', '.join(sorted(KNOWN))}"
        )


def parsed(assignments: list[str]) -> dict[str, Any]:
    """The settings of lines such as num_beams=4 or early_stopping=never; values are JSON, or else text."""
    found: dict[str, Any] = {}
    for line in assignments:
        name, equals, text = line.partition("=")
        if not equals:
            raise UsageError(f"{line}: should be KEY=VALUE, for instance num_beams=4")
        try:
            found[name.strip()] = json.loads(text)
        except (ValueError, RecursionError):
            found[name.strip()] = text.strip()
    refuse_unknown(found)
    return found
