"""The encoder that is run: its settings, the tensors it has, and the points where it may be rounded."""

from dataclasses import dataclass

from subbyte.models.model import EQUALIZER, Role
from subbyte.models.specification import Specification

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"

# what matrices read, of a layer or beside the layers
MULTIPLIED = ("context", "ffn_input", "hidden", "output", "pooler")
# points of a layer whose columns are those of the embedding axis; heads have their own
ON_AXIS = ("attention_output", "attention_sum", "ffn_input", "ffn_output", "ffn_sum", "output")


@dataclass(frozen=True)
class Point:
    """An activation that may be rounded. Scores and probabilities of attention count as one column wide."""

    layer: int | None  # the one it arises in; None outside the layers
    name: str  # by which files, recipes and the core know it, such as layers.3.hidden
    width: int  # its columns
    readers: tuple[str, ...] = ()  # the matrices that read it; none of a bare encoder reads its last output
    on_axis: bool = False  # whether its columns are those of the embedding axis; heads have their own

    @property
    def kind(self) -> str:
        """Which of its layer it is: hidden."""
        return self.name.rpartition(".")[2]

    @property
    def multiplied(self) -> bool:
        """Whether matrices read such values; of the last layer's output, the pooler's."""
        return self.kind in MULTIPLIED

    @property
    def reading_layer(self) -> int | None:
        """The layer whose matrices read it, or in which it arises; behind the last output there is none."""
        if self.kind != "output":
            return self.layer
        return 0 if self.layer is None else self.layer + 1


@dataclass(frozen=True)
class Settings:
    """The numbers of an encoder's config.json, checked. Widths in values, vocabulary and positions in tokens."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    vocab_size: int
    positions: int  # rows of the table of positions
    first_position: int  # the row of a text's first token: RoBERTa counts from behind the padding's id
    types: int  # token types; 0 for DistilBERT
    activation: str  # gelu, relu or silu
    norm_epsilon: float
    pooler_activation: str  # between the pooler and the classifier: tanh or relu
    labels: int  # 0 for a bare encoder, which has no pooler and no classifier
    regression: bool  # the one logit is a number to predict
    several: bool  # labels do not exclude one another: each has an answer of its own

    @property
    def longest(self) -> int:
        """Tokens of the longest text, special ones included."""
        return self.positions - self.first_position

    def specification(self) -> Specification:
        """The tensors of the model, in the order in which they are used."""
        found, embedding = Specification(), Role("embedding", "encoder")
        found.matrix(WORDS, self.vocab_size, self.hidden, embedding)
        found.matrix(POSITIONS, self.positions, self.hidden, embedding)
        if self.types:
            found.matrix(TYPES, self.types, self.hidden, embedding)
        found.layer_norm("embeddings.LayerNorm", self.hidden)
        for i in range(self.layers):
            layer = f"encoder.layer.{i}"
            attention, feed_forward = Role("self_attention", "encoder", i), Role("feed_forward", "encoder", i)
            for projection in ("query", "key", "value"):
                found.linear(f"{layer}.attention.self.{projection}", self.hidden, self.hidden, attention)
            found.linear(f"{layer}.attention.output.dense", self.hidden, self.hidden, attention)
            found.layer_norm(f"{layer}.attention.output.LayerNorm", self.hidden)
            found.linear(f"{layer}.intermediate.dense", self.ffn, self.hidden, feed_forward)
            found.linear(f"{layer}.output.dense", self.hidden, self.ffn, feed_forward)
            found.layer_norm(f"{layer}.output.LayerNorm", self.hidden)
        if self.labels:
            found.linear("pooler.dense", self.hidden, self.hidden, Role("pooler", "encoder"))
            found.linear("classifier", self.labels, self.hidden, Role("classifier", "encoder"))
        found.added.update((equalizer(p.name), (p.width,)) for p in self.points().values() if p.multiplied)
        return found

    def points(self) -> dict[str, Point]:
        """The activations that may be quantized, in the order in which they are computed, by their names.

        BERT-base with a classifier has 161 of them (Bondarenko et al. 2021): 3 of the embeddings, 13 a layer, pooler
        and classifier.
        """
        found = [
            Point(None, f"embeddings.{kind}", self.hidden, on_axis=True, readers=readers)
            for kind, readers in (("words", ()), ("sum", ()), ("output", self._output_readers(0)))
        ]
        widths = {
            "query": self.hidden, "key": self.hidden, "value": self.hidden, "scores": 1, "probabilities": 1,
            "context": self.hidden, "attention_output": self.hidden, "attention_sum": self.hidden,
            "ffn_input": self.hidden, "hidden": self.ffn, "ffn_output": self.hidden, "ffn_sum": self.hidden,
            "output": self.hidden,
        }  # fmt: skip
        for i in range(self.layers):
            layer = f"encoder.layer.{i}"
            readers: dict[str, tuple[str, ...]] = {
                "context": (f"{layer}.attention.output.dense.weight",),
                "ffn_input": (f"{layer}.intermediate.dense.weight",),
                "hidden": (f"{layer}.output.dense.weight",),
                "output": self._output_readers(i + 1),
            }
            found += [
                Point(i, f"layers.{i}.{kind}", width, readers.get(kind, ()), kind in ON_AXIS)
                for kind, width in widths.items()
            ]
        if self.labels:
            found += [
                Point(None, "pooler", self.hidden, ("classifier.weight",)),
                Point(None, "classifier", self.labels),
            ]
        return {point.name: point for point in found}

    def _output_readers(self, layer: int) -> tuple[str, ...]:
        """The matrices of this layer that read what the one before gives; behind the last layer, of the pooler."""
        if layer == self.layers:
            return ("pooler.dense.weight",) if self.labels else ()
        return tuple(f"encoder.layer.{layer}.attention.self.{of}.weight" for of in ("query", "key", "value"))


def equalizer(point: str) -> str:
    """The name of the vector that values of a point are multiplied by before matrices read them (operands.py)."""
    return point + EQUALIZER
