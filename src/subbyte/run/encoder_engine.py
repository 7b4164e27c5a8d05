"""An encoder made ready to run on this machine: token ids in, vectors and logits out. No text, no files."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

import subbyte._core as _core
from subbyte.models.axis_order import inverse
from subbyte.models.families import encoder_of
from subbyte.models.model import Model
from subbyte.numbers.grids import Grid, fake_quantize, limit
from subbyte.run.resident import Resident, laid_out, vectors
from subbyte.run.runtime import Runtime

Ids = Sequence[Sequence[int]]
Pooling = Literal["mean", "cls", "max"]
MADE = ("scores", "probabilities")  # of attention: they never stand in memory as a whole, and are made anew
OF_SHAPE = (  # settings that the core has under the same names
    "hidden", "layers", "heads", "positions", "first_position", "types", "labels", "norm_epsilon", "activation",
    "pooler_activation",
)  # fmt: skip


class EncoderEngine(Resident[_core.Encoder]):
    """An encoder laid out for one instruction set. Calls from several threads wait for each other.

    A batch is token ids of texts of any lengths, and for each text the types of its tokens (none: all 0). Texts stand
    one behind the other, without padding, so a text's answer does not depend on what else is in the batch. Of no texts
    there are no rows.
    """

    def _laid_out(self, model: Model, runtime: Runtime) -> _core.Encoder:
        self.settings = s = encoder_of(model.config)
        self.points = s.points()
        self._grids = dict(model.activations.grids) if self.activations == "static" else {}
        self._order = None if model.permutation is None else inverse(model.permutation)
        return _core.Encoder(
            {"vocabulary": s.vocab_size, **{name: getattr(s, name) for name in OF_SHAPE}},
            laid_out(model, runtime.cores),
            vectors(model),
            grids={name: _arrays(grid) for name, grid in self._grids.items()},
            operands=[name for name, grid in self._grids.items() if grid.operand],
            rotations={name: grid.rotation for name, grid in model.activations.grids.items() if grid.rotation > 1},
            isa=runtime.isa,
            threads=runtime.cores,
            activations="float32" if self.activations == "float32" else "int8",
        )

    def states(self, texts: Ids, types: Ids = ()) -> list[np.ndarray]:
        """The last layer's values of each text, float32 [tokens, hidden]."""
        found = self._ordered(np.asarray(self._core.states(*_lists(texts, types))))
        ends = np.cumsum([len(text) for text in texts], dtype=int)
        return [found[end - len(text) : end] for end, text in zip(ends, texts, strict=True)]

    def pooled(self, texts: Ids, types: Ids = (), pooling: Pooling = "mean") -> np.ndarray:
        """One vector a text, float32 [texts, hidden]: its tokens' mean, the first one's, or each value's largest."""
        return self._ordered(np.asarray(self._core.pooled(*_lists(texts, types), pooling)))

    def logits(self, texts: Ids, types: Ids = ()) -> np.ndarray:
        """Of the classifier, float32 [texts, labels]."""
        return np.asarray(self._core.logits(*_lists(texts, types)))

    def observe(self, texts: Ids, types: Ids, points: Sequence[str]) -> list[np.ndarray]:
        """What passes these points before it is rounded there, float32 [rows, width] each.

        Points before them are rounded as the model has it. Scores and probabilities of attention come as [count, 1].
        """
        made = {name: f"layers.{point.layer}" for name, point in self.points.items() if point.kind in MADE}
        asked = [name for name in points if name not in made]
        layers = {made[name] for name in points if name in made}
        needed = [f"{layer}.{of}" for layer in sorted(layers) for of in ("query", "key")]
        names = list(dict.fromkeys([*asked, *needed]))
        arrays = self._core.observe(*_lists(texts, types), names)
        seen = {n: np.asarray(a).reshape(-1, self.points[n].width) for n, a in zip(names, arrays, strict=True)}
        for layer in layers:
            seen |= self._attention(layer, texts, seen)
        return [seen[name] for name in points]

    def inputs(self, texts: Ids, types: Ids, names: Sequence[str]) -> list[np.ndarray]:
        """What each of these matrices multiplies, float32 [rows, columns]; embeddings multiply nothing."""
        return [np.asarray(array) for array in self._core.inputs(*_lists(texts, types), list(names))]

    def _attention(self, layer: str, texts: Ids, seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores and probabilities of a layer before they are rounded, float32 [count, 1], text by text, head by head.

        seen  has its query and key, float32 [tokens of all texts, hidden]
        """
        query, key = (self._rounded(name, seen[name]) for name in (f"{layer}.query", f"{layer}.key"))
        heads, size = self.settings.heads, self.settings.hidden // self.settings.heads
        scores, probabilities = [np.zeros(0)], [np.zeros(0)]  # of no text there are none
        start = 0
        for text in texts:
            end = start + len(text)
            q, k = (array[start:end].reshape(-1, heads, size).transpose(1, 0, 2) for array in (query, key))
            score = q @ k.transpose(0, 2, 1)
            rounded = self._rounded(f"{layer}.scores", score.reshape(-1, 1)).reshape(score.shape) / np.sqrt(size)
            e = np.exp(rounded - rounded.max(-1, keepdims=True))
            scores.append(score.ravel())
            probabilities.append((e / e.sum(-1, keepdims=True)).ravel())
            start = end
        made = {f"{layer}.scores": scores, f"{layer}.probabilities": probabilities}
        return {name: np.concatenate(values).astype(np.float32)[:, None] for name, values in made.items()}

    def _ordered(self, x: np.ndarray) -> np.ndarray:
        """Vectors with their columns as the source model has them."""
        return x if self._order is None else x[:, self._order]

    def _rounded(self, point: str, x: np.ndarray) -> np.ndarray:
        return fake_quantize(x, self._grids[point]) if point in self._grids else x


def _lists(texts: Ids, types: Ids) -> tuple[list[list[int]], list[list[int]]]:
    return [list(text) for text in texts], [list(type) for type in types]


def _arrays(grid: Grid) -> tuple[int, list[float], list[float], float]:
    """A grid as the core wants it: bits, scales, zeros, limit."""
    return grid.bits, list(grid.scale), [float(zero) for zero in grid.zero], float(limit(grid.bits))
