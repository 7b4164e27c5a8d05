"""How to search for a translation: what the caller says put over what the folder says, and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from subbyte.errors import ModelError, UsageError, fault_list
from subbyte.models.search_settings import (
    LEAST_FACTOR,
    MOST_BEAMS,
    MOST_FACTOR,
    MOST_LENGTH,
    MOST_NGRAM,
    MOST_PENALTY,
    TOP_K,
    faults,
    refuse_unsupported,
)

MOST_DRAWS = 256
SAMPLING = ("temperature", "top_k", "top_p", "seed")


class SearchOptions(TypedDict, total=False):
    """What a caller may say about a search; what is missing or None is as the folder says. See docs/search.md.

    beam_size             beams; 1 is greedy search
    max_length            the longest translation, in tokens, its start token included
    max_new_tokens        the same without the start token and the prefix
    min_length            no end before so many tokens, start token included; min_new_tokens: the same without
    length_penalty        scores of beam search are divided by the number of tokens to this power
    early_stopping        True: stop at beam_size translations; False: when better ones are unlikely; "never": when
                          they are impossible
    no_repeat_ngram_size  no run of so many tokens twice; 0: any
    repetition_penalty    above 1: tokens that are there already become less likely
    do_sample             draw tokens by their probabilities, with temperature, top_k (0: all), top_p and seed
    """

    beam_size: int | None
    max_length: int | None
    max_new_tokens: int | None
    min_length: int | None
    min_new_tokens: int | None
    length_penalty: float | None
    early_stopping: bool | Literal["never"] | None
    no_repeat_ngram_size: int | None
    repetition_penalty: float | None
    do_sample: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    seed: int | None


@dataclass(frozen=True)
class Generation:
    """How to search for a translation; the names and meanings of transformers.

    max_length counts the decoder's start token and the prefix, min_length too; banned are tokens never generated.
    max_length_factor is Marian's: a translation has at most so many tokens for each token of the sentence; 0 for no
    limit by it. scores: whether hypotheses carry scores; greedy search reads and computes less without, and finds the
    same tokens. other_ends end a sentence as `end` does, and stay in it. What is drawn depends on the seed and on the
    number of a sentence, not on its batch.
    """

    beam_size: int
    num_hypotheses: int
    max_length: int
    max_length_factor: float
    min_length: int
    length_penalty: float
    early_stopping: bool | Literal["never"]
    renormalize: bool
    forced_end: int | None
    start: int
    end: int
    banned: tuple[int, ...]
    scores: bool = True
    other_ends: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()
    forced_begin: int | None = None
    banned_at_begin: tuple[int, ...] = ()
    banned_sequences: tuple[tuple[int, ...], ...] = ()
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = TOP_K
    top_p: float = 1.0
    seed: int = 0


def generation_of(
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    where: str,
    most: int,
    start: int,
    end: int | None,
    num_hypotheses: int = 1,
    prefix: Sequence[int] = (),
    scores: bool = True,
) -> Generation:
    """The search that a folder's settings and a caller's options ask for. Raises UsageError or ModelError.

    settings  those of generation_config.json, checked
    options   SearchOptions
    where     the file that the settings are from
    most      tokens the model can write
    start     the decoder's start token, where the settings do not say
    end       the end of sentence, where they do not say or name several
    """
    given = {name: value for name, value in options.items() if value is not None}
    _check_options(given)

    def of(name: str, default: Any, key: str | None = None) -> Any:
        """The caller's value, or the folder's, or the default."""
        found = given.get(name, settings.get(key or name))
        return default if found is None else found

    drawn = of("do_sample", False)
    left = {name: value for name, value in settings.items() if name not in given} | {"do_sample": drawn}
    if problems := [*faults(left)]:  # of settings that had no say when the folder was opened
        raise ModelError(fault_list(where, problems))
    refuse_unsupported(left, where)
    if idle := [name for name in SAMPLING if name in given and not drawn]:
        raise UsageError(f"{idle[0]} is about drawing tokens; it needs do_sample (--sample)")
    ends = settings.get("eos_token_id")
    ends = list(dict.fromkeys(ends if isinstance(ends, list) else [end if ends is None else ends]))
    last = end if end in ends else ends[0]
    if last is None:
        raise ModelError("config.json and generation_config.json name no eos_token_id")
    prompt = 1 + len(prefix)
    first = settings.get("decoder_start_token_id")
    forced = settings.get("forced_eos_token_id")
    words = [ids for ids in settings.get("bad_words_ids") or [] if not (len(ids) == 1 and ids[0] in ends)]
    stopping = of("early_stopping", False)
    found = Generation(
        beam_size=of("beam_size", 0, "num_beams") or 1,
        num_hypotheses=num_hypotheses,
        max_length=min(_length(given, settings, "max", prompt) or most, most),
        max_length_factor=float(of("max_length_factor", 0.0)),
        min_length=_length(given, settings, "min", prompt),
        length_penalty=float(of("length_penalty", 1.0)),
        early_stopping="never" if stopping == "never" else stopping is True,  # to transformers, 1 is not True here
        renormalize=settings.get("renormalize_logits") is True,
        forced_end=min(forced) if isinstance(forced, list) else forced,
        start=start if first is None else first,
        end=last,
        banned=tuple([ids[0] for ids in words if len(ids) == 1] + (settings.get("suppress_tokens") or [])),
        scores=scores,
        other_ends=tuple(id for id in ends if id != last),
        prefix=tuple(prefix),
        forced_begin=settings.get("forced_bos_token_id"),
        banned_at_begin=tuple(settings.get("begin_suppress_tokens") or []),
        banned_sequences=tuple(tuple(ids) for ids in words if len(ids) > 1),
        repetition_penalty=float(of("repetition_penalty", 1.0)),
        no_repeat_ngram_size=of("no_repeat_ngram_size", 0),
        do_sample=drawn,
        temperature=float(of("temperature", 1.0)) if drawn else 1.0,
        top_k=of("top_k", TOP_K) if drawn else TOP_K,
        top_p=float(of("top_p", 1.0)) if drawn else 1.0,
        seed=of("seed", 0),
    )
    _check(found, given)
    return found


def _length(given: Mapping[str, Any], settings: Mapping[str, Any], which: str, prompt: int) -> int:
    """max_length or min_length, start and prefix included; 0 where nobody says. New tokens come first, as there."""
    length, new = f"{which}_length", f"{which}_new_tokens"
    for source in (given, settings):
        if source.get(new) is not None:
            return int(source[new]) + prompt
        if source.get(length) is not None and (source is given or source[length]):
            return int(source[length])
    return 0


def _check_options(given: Mapping[str, Any]) -> None:
    """Raise UsageError for options that are none, or are not what they should be."""
    if unknown := given.keys() - SearchOptions.__annotations__.keys():
        raise UsageError(
            f"{', '.join(sorted(unknown))}: no such search option; there are "
            f"{', '.join(SearchOptions.__annotations__)}, num_hypotheses and prefix"
        )
    whole = {
        "beam_size": (1, MOST_BEAMS), "max_length": (2, MOST_LENGTH), "max_new_tokens": (1, MOST_LENGTH),
        "min_length": (0, MOST_LENGTH), "min_new_tokens": (0, MOST_LENGTH), "no_repeat_ngram_size": (0, MOST_NGRAM),
        "top_k": (0, MOST_LENGTH), "seed": (0, (1 << 64) - 1),
    }  # fmt: skip
    notes = {"max_length": " (it counts the start token)", "top_k": " (0 for all words)"}
    for name, (least, most) in whole.items():
        value = given.get(name, least)
        if isinstance(value, bool) or not hasattr(value, "__index__") or not least <= value <= most:
            said = name.replace("_", " ")
            raise UsageError(f"{said} is {value!r}, should be {least} to {most:,}{notes.get(name, '')}")
    for name, low, high in (
        ("length_penalty", -MOST_PENALTY, MOST_PENALTY),
        ("repetition_penalty", LEAST_FACTOR, MOST_FACTOR),
        ("temperature", LEAST_FACTOR, MOST_FACTOR),
    ):
        value = given.get(name, 1.0)
        if not _is_number(value) or not low <= value <= high:
            hint = "; for no chance at all leave do_sample out" if name == "temperature" and value == 0 else ""
            raise UsageError(
                f"{name.replace('_', ' ')} is {value!r}, should be a finite number from {low:g} to {high:,g}{hint}"
            )
    top_p = given.get("top_p", 1.0)
    if not _is_number(top_p) or not 0 < top_p <= 1:
        raise UsageError(f"top p is {top_p!r}, should be above 0 and at most 1")
    if not isinstance(given.get("do_sample", False), bool):
        raise UsageError(f"do_sample is {given['do_sample']!r}, should be True or False")
    if given.get("early_stopping", False) not in (True, False, "never"):
        raise UsageError(f"early stopping is {given['early_stopping']!r}, should be True, False or 'never'")
    for which in ("max", "min"):
        if f"{which}_length" in given and f"{which}_new_tokens" in given:
            raise UsageError(f"{which} length and {which} new tokens say the same thing; give one of them")


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__float__") and math.isfinite(value)


def _check(found: Generation, given: Mapping[str, Any]) -> None:
    """Raise UsageError where options that are fine by themselves do not go together."""
    wanted = found.num_hypotheses
    if isinstance(wanted, bool) or not hasattr(wanted, "__index__"):
        raise UsageError(f"num hypotheses is {wanted!r}, should be a whole number from 1")
    if not isinstance(found.scores, bool):
        raise UsageError(f"whether there are scores is {found.scores!r}, should be True or False")
    draws = found.do_sample and found.beam_size == 1
    if not 1 <= found.num_hypotheses <= (MOST_DRAWS if draws else found.beam_size):
        raise UsageError(
            f"{found.num_hypotheses} hypotheses were asked for, but "
            + (f"at most {MOST_DRAWS} can be drawn" if draws else f"the beam size is {found.beam_size}")
        )
    if len(found.prefix) + 2 > found.max_length:
        raise UsageError(
            f"the prefix has {len(found.prefix)} tokens; with max length {found.max_length}, which counts the start "
            f"token, it may have {max(found.max_length - 2, 0)}: shorten it, or raise the max length"
        )
    if ("min_length" in given or "min_new_tokens" in given) and found.min_length > found.max_length:
        raise UsageError(
            f"translations of at least {found.min_length} tokens do not fit max length {found.max_length} "
            "(both count the start token)"
        )
