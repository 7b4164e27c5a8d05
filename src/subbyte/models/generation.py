"""How to search for a translation: what the caller says put over what the folder says, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

from subbyte.errors import ModelError, UsageError, fault_list
from subbyte.models.search_options import OPTIONS, TOP_K, SearchOptions, check
from subbyte.models.search_settings import faults, followed, refuse_unsupported

if TYPE_CHECKING:
    from subbyte.models.model import Model
    from subbyte.models.translation import Settings

MOST_DRAWS = 256


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


@dataclass(frozen=True)
class FolderSearch:
    """How a model's folder has translations searched."""

    settings: Mapping[str, Any]  # those of generation_config.json, checked
    where: str  # the file that they are from
    most: int  # tokens the model can write
    start: int  # the decoder's start token
    end: int | None  # the end of sentence, where the settings do not say or name several

    @staticmethod
    def of(model: Model, shape: Settings) -> FolderSearch:
        """That of a model, of which nothing else is kept."""
        settings, where = followed(model)
        start, end = settings.get("decoder_start_token_id"), model.config.get("eos_token_id")
        return FolderSearch(
            settings=dict(settings),
            where=where,
            most=shape.max_positions,
            start=shape.decoder_start if start is None else int(start),
            end=end[0] if isinstance(end, list) else end,
        )

    def generation(
        self, *, num_hypotheses: int = 1, prefix: Sequence[int] = (), scores: bool = True,
        **options: Unpack[SearchOptions],
    ) -> Generation:  # fmt: skip
        """The search that these settings and a caller's options ask for. Raises UsageError or ModelError."""
        given = {name: value for name, value in options.items() if value is not None}
        check(given)
        found = _merged(self, given, num_hypotheses, prefix, scores)
        _check(found, given)
        return found


def _merged(
    folder: FolderSearch, given: Mapping[str, Any], num_hypotheses: int, prefix: Sequence[int], scores: bool
) -> Generation:
    """The caller's options put over the folder's settings."""
    settings = folder.settings

    def of(name: str, default: Any, key: str | None = None) -> Any:
        """The caller's value, or the folder's, or the default."""
        found = given.get(name, settings.get(key or name))
        return default if found is None else found

    drawn = of("do_sample", False)
    left = {name: value for name, value in settings.items() if name not in given} | {"do_sample": drawn}
    if problems := [*faults(left)]:  # of settings that had no say when the folder was opened
        raise ModelError(fault_list(folder.where, problems))
    refuse_unsupported(left, folder.where)
    if idle := [name for name in OPTIONS if name in given and OPTIONS[name].drawing and not drawn]:
        raise UsageError(f"{idle[0]} is about drawing tokens; it needs do_sample (--sample)")
    ends = settings.get("eos_token_id")
    ends = list(dict.fromkeys(ends if isinstance(ends, list) else [folder.end if ends is None else ends]))
    last = folder.end if folder.end in ends else ends[0]
    if last is None:
        raise ModelError("config.json and generation_config.json name no eos_token_id")
    prompt = 1 + len(prefix)
    forced = settings.get("forced_eos_token_id")
    words = [ids for ids in settings.get("bad_words_ids") or [] if not (len(ids) == 1 and ids[0] in ends)]
    stopping = of("early_stopping", False)
    return Generation(
        beam_size=of("beam_size", 0, "num_beams") or 1,
        num_hypotheses=num_hypotheses,
        max_length=min(_length(given, settings, "max", prompt) or folder.most, folder.most),
        max_length_factor=float(of("max_length_factor", 0.0)),
        min_length=_length(given, settings, "min", prompt),
        length_penalty=float(of("length_penalty", 1.0)),
        early_stopping="never" if stopping == "never" else stopping is True,  # to transformers, 1 is not True here
        renormalize=settings.get("renormalize_logits") is True,
        forced_end=min(forced) if isinstance(forced, list) else forced,
        start=folder.start,
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


def _length(given: Mapping[str, Any], settings: Mapping[str, Any], which: str, prompt: int) -> int:
    """max_length or min_length, start and prefix included; 0 where nobody says. New tokens come first, as there."""
    length, new = f"{which}_length", f"{which}_new_tokens"
    for source in (given, settings):
        if source.get(new) is not None:
            return int(source[new]) + prompt
        if source.get(length) is not None and (source is given or source[length]):
            return int(source[length])
    return 0


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
