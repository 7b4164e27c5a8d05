"""A Model made ready to run on this machine: token ids in, token ids and scores out. No text, no files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import subbyte._core as _core
from subbyte.errors import KernelError, ModelError, UsageError
from subbyte.model import Model
from subbyte.models import marian
from subbyte.resident import Resident, about, checked_activations, checked_threads, laid_out, vectors

MOST_BEAMS = marian.MOST_BEAMS

# Generation settings that would change what is generated, and the only values for which we generate the same.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "assistant_early_exit": (None,),
    "begin_suppress_tokens": (None,),
    "constraints": (None,),
    "diversity_penalty": (None, 0, 0.0),
    "do_sample": (None, False),
    "encoder_no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1, 1.0),
    "exponential_decay_length_penalty": (None,),
    "force_words_ids": (None,),
    "forced_bos_token_id": (None,),
    "guidance_scale": (None, 1, 1.0),
    "max_new_tokens": (None,),
    "min_new_tokens": (None,),
    "no_repeat_ngram_size": (None, 0),
    "num_beam_groups": (None, 1),
    "penalty_alpha": (None, 0, 0.0),
    "remove_invalid_values": (None, False),
    "repetition_penalty": (None, 1, 1.0),
    "sequence_bias": (None,),
    "stop_strings": (None,),
    "suppress_tokens": (None,),
}


class Hypothesis(NamedTuple):
    """One translation: ids without start and end of sentence, and its score.

    The score is the sum of log-probabilities divided by the number of generated tokens to the power of the length
    penalty, as in transformers; nan where the generation asks for no scores.
    """

    tokens: list[int]
    score: float


@dataclass(frozen=True)
class Generation:
    """How to search for a translation; the names and meanings of transformers.

    max_length counts the decoder's start token, min_length too; banned are tokens never generated. max_length_factor is
    Marian's: at most so many tokens are generated for each token of the sentence; 0 for no such limit. scores: whether
    hypotheses carry scores; greedy search reads and computes less without, and finds the same tokens.
    """

    beam_size: int
    num_hypotheses: int
    max_length: int
    max_length_factor: float
    min_length: int
    length_penalty: float
    early_stopping: bool
    renormalize: bool
    forced_end: int | None
    start: int
    end: int
    banned: tuple[int, ...]
    scores: bool = True


class Engine(Resident[_core.Marian]):
    """A translation model laid out for one instruction set. Calls from several threads wait for each other."""

    def __init__(
        self, model: Model, *, isa: str = "best", threads: int | None = None, activations: str | None = None
    ) -> None:
        """`threads`: default all cores. `activations`: default what the model was made for."""
        self.activations, threads = checked_activations(model, activations), checked_threads(threads)
        self.about = about(model)
        self._settings = marian.settings(model.config)
        # Not the model itself: its arrays would stay in memory beside what the core makes of them.
        self._generation = {**(model.generation or _settings_in_config(model.config))}
        if self._generation.get("eos_token_id") is None:
            self._generation["eos_token_id"] = model.config.get("eos_token_id")
        matrices = {name: matrix for name, matrix in laid_out(model, threads).items() if name != marian.SHARED}
        s = self._settings
        try:
            self._core = _core.Marian(
                d_model=s.d_model,
                encoder_layers=s.encoder_layers,
                decoder_layers=s.decoder_layers,
                encoder_heads=s.encoder_heads,
                decoder_heads=s.decoder_heads,
                max_positions=s.max_positions,
                vocabulary=s.decoder_vocab_size,
                embedding_scale=math.sqrt(s.d_model) if s.scale_embedding else 1.0,
                norm_epsilon=s.norm_epsilon,
                positions=s.positions,
                recurrent=s.recurrent,
                zero_start=s.zero_start,
                activation_function=s.activation,
                matrices=matrices,
                vectors=vectors(model),
                isa=isa,
                threads=threads,
                activations=self.activations,
            )
        except ValueError as error:
            raise KernelError(str(error)) from None

    @property
    def max_positions(self) -> int:
        """The longest source sentence, and the longest translation, in tokens."""
        return self._settings.max_positions

    def generation(
        self,
        *,
        beam_size: int | None = None,
        num_hypotheses: int = 1,
        max_length: int | None = None,
        min_length: int | None = None,
        length_penalty: float | None = None,
        scores: bool = True,
    ) -> Generation:
        """The model's own generation settings, with those given in their place. Raises UsageError or ModelError."""
        config = self._generation
        strange = [f"{name} = {config[name]!r}" for name, neutral in NEUTRAL.items() if config.get(name) not in neutral]
        if strange:
            raise ModelError(f"generation_config.json asks for what is not supported: {', '.join(strange)}")
        banned = config.get("bad_words_ids") or []
        if any(len(ids) != 1 for ids in banned):
            raise ModelError("generation_config.json: bad_words_ids with more than one token are not supported")
        early_stopping = config.get("early_stopping") or False
        if not isinstance(early_stopping, bool):
            raise ModelError(f"generation_config.json: early_stopping = {early_stopping!r} is not supported")
        end, forced_end = (_single(config, name) for name in ("eos_token_id", "forced_eos_token_id"))
        start = _single(config, "decoder_start_token_id")
        if end is None:
            raise ModelError("config.json and generation_config.json name no eos_token_id")
        found = Generation(
            beam_size=beam_size or config.get("num_beams") or 1,
            num_hypotheses=num_hypotheses,
            max_length=min(max_length or config.get("max_length") or self.max_positions, self.max_positions),
            max_length_factor=_first(config.get("max_length_factor"), 0.0),
            min_length=min_length or config.get("min_length") or 0,
            length_penalty=_first(length_penalty, config.get("length_penalty"), 1.0),
            early_stopping=early_stopping,
            renormalize=bool(config.get("renormalize_logits")),
            forced_end=forced_end,
            start=self._settings.decoder_start if start is None else start,
            end=end,
            banned=tuple(ids[0] for ids in banned),
            scores=scores,
        )
        if not 1 <= found.beam_size <= MOST_BEAMS:
            raise UsageError(f"beam size is {found.beam_size}, should be 1 to {MOST_BEAMS}")
        if not 1 <= found.num_hypotheses <= found.beam_size:
            raise UsageError(
                f"{found.num_hypotheses} hypotheses were asked for, but the beam size is {found.beam_size}"
            )
        if found.max_length < 2:
            raise UsageError(f"max length is {found.max_length}, should be at least 2 (it counts the start token)")
        if not math.isfinite(found.length_penalty):
            raise UsageError(f"length penalty is {found.length_penalty}, should be a finite number")
        return found

    def translate(self, sentences: Sequence[Sequence[int]], generation: Generation) -> list[list[Hypothesis]]:
        """The best hypotheses of each sentence (ids with the end of sentence), best first; one batch."""
        g = generation
        found = self._core.translate(
            [list(sentence) for sentence in sentences],
            beam_size=g.beam_size,
            num_hypotheses=g.num_hypotheses,
            max_length=g.max_length,
            max_length_factor=g.max_length_factor,
            min_length=g.min_length,
            length_penalty=g.length_penalty,
            early_stopping=g.early_stopping,
            scores=g.scores,
            renormalize=g.renormalize,
            forced_end=-1 if g.forced_end is None else g.forced_end,
            start=g.start,
            end=g.end,
            banned=list(g.banned),
        )
        if not all(found):
            raise ModelError("no translation was found: every word is banned, or the model's scores are not numbers")
        return [
            [Hypothesis(tokens, score if g.scores else math.nan) for tokens, score in hypotheses]
            for hypotheses in found
        ]

    def score(self, sentences: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log-probability of every token of each target (ids with the end of sentence), forced; one batch."""
        start = self.generation().start
        return [list(s) for s in self._core.score([list(s) for s in sentences], [list(t) for t in targets], start)]

    def inputs(
        self, sentences: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], names: Sequence[str]
    ) -> list[np.ndarray]:
        """What each of these matrices multiplies, float32 [rows, columns], with the targets forced; one batch.

        Rows come in the same order for every model with the same sentences and targets. Without any targets only the
        encoder runs, and the keys and values that the decoder reads of it.
        """
        start = self.generation().start
        batch = [list(s) for s in sentences], [list(t) for t in targets], start, list(names)
        return [np.asarray(array) for array in self._core.inputs(*batch)]

    def logits(self, source: Sequence[int], target: Sequence[int]) -> np.ndarray:
        """Logits float32 [len(target), vocabulary] of the token after each of `target`, which begins with the start."""
        return np.asarray(self._core.logits(list(source), list(target)))


def _settings_in_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Old folders keep generation settings in config.json; beside a generation_config.json they count for nothing."""
    names = ["decoder_start_token_id", "eos_token_id", "forced_eos_token_id", "bad_words_ids", "num_beams"]
    names += [
        "max_length",
        "max_length_factor",
        "min_length",
        "length_penalty",
        "early_stopping",
        "renormalize_logits",
        *NEUTRAL,
    ]
    return {name: config[name] for name in names if name in config}


def _first(*values: float | None) -> float:
    return next(float(value) for value in values if value is not None)


def _single(config: Mapping[str, Any], name: str) -> int | None:
    value = config.get(name)
    if isinstance(value, list):
        if len(value) != 1:
            raise ModelError(f"{name} has {len(value)} ids; one is supported")
        value = value[0]
    return value
