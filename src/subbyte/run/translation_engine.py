"""A Model made ready to run on this machine: token ids in, token ids and scores out. No text, no files."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Unpack

import numpy as np

import subbyte._core as _core
from subbyte.errors import ModelError
from subbyte.models import translation
from subbyte.models.families import translation_of
from subbyte.models.generation import FolderSearch, Generation
from subbyte.models.model import Model
from subbyte.models.search_options import SearchOptions
from subbyte.run.resident import Resident, laid_out, vectors
from subbyte.run.runtime import Runtime

__all__ = ["Engine", "Generation", "Hypothesis"]

OF_SHAPE = (  # settings that the core has under the same names
    "d_model", "encoder_layers", "decoder_layers", "encoder_heads", "decoder_heads", "max_positions", "norm_epsilon",
    "activation", "positions", "recurrent", "zero_start",
)  # fmt: skip
LEAST_TOP_P = 1e-30  # stands for 0: the likeliest token


class Hypothesis(NamedTuple):
    """One translation: ids without start and end of sentence, and its score.

    The score is the sum of log-probabilities divided by the number of generated tokens to the power of the length
    penalty, as in transformers; nan where the generation asks for no scores. A prefix has no part in it.
    """

    tokens: list[int]
    score: float


class Engine(Resident[_core.Translation]):
    """A translation model laid out for one instruction set. Calls from several threads wait for each other.

    max_positions  the longest source sentence, and the longest translation, in tokens
    start          the decoder's start token
    """

    def _laid_out(self, model: Model, runtime: Runtime) -> _core.Translation:
        s, matrices = translation_of(model.config), laid_out(model, runtime.cores)
        self._search = FolderSearch.of(model, s)
        self.max_positions, self.start = s.max_positions, self._search.start
        matrices.pop(translation.SHARED, None)
        return _core.Translation(
            {
                "vocabulary": s.decoder_vocab_size,
                "embedding_scale": math.sqrt(s.d_model) if s.scale_embedding else 1.0,
                **{name: getattr(s, name) for name in OF_SHAPE},
            },
            matrices,
            vectors(model),
            isa=runtime.isa,
            threads=runtime.cores,
            activations=self.activations,
        )

    def generation(
        self,
        *,
        num_hypotheses: int = 1,
        prefix: Sequence[int] = (),
        scores: bool = True,
        **options: Unpack[SearchOptions],
    ) -> Generation:
        """The model's own search settings, with those given in their place. Raises UsageError or ModelError.

        prefix  ids that every translation begins with
        """
        return self._search.generation(num_hypotheses=num_hypotheses, prefix=prefix, scores=scores, **options)

    def translate(
        self, sentences: Sequence[Sequence[int]], generation: Generation, numbers: Sequence[int] | None = None
    ) -> list[list[Hypothesis]]:
        """The best hypotheses of each sentence (ids with the end of sentence), best first; one batch.

        numbers  of the sentences, where tokens are drawn: what is drawn belongs to seed and number; default: 1, 2, ...
        """
        g = generation
        options = vars(g) | {
            "early_stopping": "never" if g.early_stopping == "never" else "always" if g.early_stopping else "heuristic",
            "forced_begin": -1 if g.forced_begin is None else g.forced_begin,
            "forced_end": -1 if g.forced_end is None else g.forced_end,
            "top_p": max(g.top_p, LEAST_TOP_P),
        }
        numbers = list(range(1, len(sentences) + 1) if numbers is None else numbers)
        found = self._core.translate([list(sentence) for sentence in sentences], numbers, options)
        if not all(found):
            raise ModelError("no translation was found: every word is banned, or the model's scores are not numbers")
        return [
            [Hypothesis(tokens, score if g.scores else math.nan) for tokens, score in hypotheses]
            for hypotheses in found
        ]

    def score(self, sentences: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log-probability of every token of each target (ids with the end of sentence), forced; one batch."""
        batch = [list(s) for s in sentences], [list(t) for t in targets], self.start
        return [list(logs) for logs in self._core.score(*batch)]

    def inputs(
        self, sentences: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], names: Sequence[str]
    ) -> list[np.ndarray]:
        """What each of these matrices multiplies, float32 [rows, columns], with the targets forced; one batch.

        Rows come in the same order for every model with the same sentences and targets. Without any targets only the
        encoder runs, and the keys and values that the decoder reads of it.
        """
        batch = [list(s) for s in sentences], [list(t) for t in targets], self.start, list(names)
        return [np.asarray(array) for array in self._core.inputs(*batch)]

    def logits(self, source: Sequence[int], target: Sequence[int]) -> np.ndarray:
        """Logits float32 [len(target), vocabulary] of the token after each of `target`, which begins with the start."""
        return np.asarray(self._core.logits(list(source), list(target)))
