"""The encoder that is run: its settings, the tensors it has, and the points where it may be rounded."""

from __future__ import annotations

from dataclasses import dataclass

from subbyte.models.model import EQUALIZER, Role
from subbyte.models.specification import Shape, Specification


def multiplied(point: str) -> bool:
    """Whether matrices read the values of a point of models.bert.points (of the last layer's output, the pooler's)."""
    return point.rpartition(".")[2] in ("context", "ffn_input", "hidden", "output", "pooler")


WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"


@dataclass(frozen=True)
class Settings:
    """The numbers of an encoder's config.json, checked. Widths in values, vocabulary and positions in tokens."""

    family: str
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
    labels: int  # 0 for a bare encoder, which has no pooler and no classifier
    regression: bool  # the one logit is a number to predict
    several: bool  # labels do not exclude one another: each has an answer of its own

    @property
    def longest(self) -> int:
        """Tokens of the longest text, special ones included."""
        return self.positions - self.first_position

    @property
    def pooler_activation(self) -> str:
        """Between the pooler and the classifier."""
        return "relu" if self.family == "distilbert" else "tanh"


def specification(s: Settings) -> Specification:
    """The tensors of the model, in the order in which they are used."""
    shapes: dict[str, Shape] = {}
    roles: dict[str, Role] = {}

    def matrix(name: str, shape: Shape, role: Role) -> None:
        shapes[name] = shape
        roles[name] = role

    def linear(name: str, outputs: int, inputs: int, role: Role) -> None:
        matrix(f"{name}.weight", (outputs, inputs), role)
        shapes[f"{name}.bias"] = (outputs,)

    def layer_norm(name: str) -> None:
        shapes[f"{name}.weight"] = (s.hidden,)
        shapes[f"{name}.bias"] = (s.hidden,)

    embedding = Role("embedding", "encoder")
    matrix(WORDS, (s.vocab_size, s.hidden), embedding)
    matrix(POSITIONS, (s.positions, s.hidden), embedding)
    if s.types:
        matrix(TYPES, (s.types, s.hidden), embedding)
    layer_norm("embeddings.LayerNorm")
    for i in range(s.layers):
        layer = f"encoder.layer.{i}"
        attention, feed_forward = Role("self_attention", "encoder", i), Role("feed_forward", "encoder", i)
        for projection in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{projection}", s.hidden, s.hidden, attention)
        linear(f"{layer}.attention.output.dense", s.hidden, s.hidden, attention)
        layer_norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", s.ffn, s.hidden, feed_forward)
        linear(f"{layer}.output.dense", s.hidden, s.ffn, feed_forward)
        layer_norm(f"{layer}.output.LayerNorm")
    if s.labels:
        linear("pooler.dense", s.hidden, s.hidden, Role("pooler", "encoder"))
        linear("classifier", s.labels, s.hidden, Role("classifier", "encoder"))
    added = {equalizer(point): (width,) for point, width in points(s).items() if multiplied(point)}
    return Specification(shapes, roles, {}, added)


def equalizer(point: str) -> str:
    """The name of the vector that values of a point are multiplied by before matrices read them (operands.py)."""
    return point + EQUALIZER


def readers(point: str, s: Settings) -> list[str]:
    """The matrices that read the values of a point; none of a bare encoder reads its last output."""
    head, _, name = point.rpartition(".")
    if name == "pooler":
        return ["classifier.weight"]
    if name == "output":
        reader = 0 if head == "embeddings" else int(head.removeprefix("layers.")) + 1
        if reader == s.layers:
            return ["pooler.dense.weight"] if s.labels else []
        return [f"encoder.layer.{reader}.attention.self.{of}.weight" for of in ("query", "key", "value")]
    within = {"context": "attention.output.dense", "ffn_input": "intermediate.dense", "hidden": "output.dense"}
    return [f"encoder.layer.{head.removeprefix('layers.')}.{within[name]}.weight"] if name in within else []


def points(s: Settings) -> dict[str, int]:
    """The activations that may be quantized, in the order in which they are computed -> their width.

    Scores and probabilities of attention have no width of their own and count as 1. BERT-base with a classifier has 161
    of them (Bondarenko et al. 2021): 3 of the embeddings, 13 a layer, pooler and classifier.
    """
    found = {"embeddings.words": s.hidden, "embeddings.sum": s.hidden, "embeddings.output": s.hidden}
    for i in range(s.layers):
        widths = {
            "query": s.hidden, "key": s.hidden, "value": s.hidden, "scores": 1, "probabilities": 1,
            "context": s.hidden, "attention_output": s.hidden, "attention_sum": s.hidden, "ffn_input": s.hidden,
            "hidden": s.ffn, "ffn_output": s.hidden, "ffn_sum": s.hidden, "output": s.hidden,
        }  # fmt: skip
        found |= {f"layers.{i}.{name}": width for name, width in widths.items()}
    if s.labels:
        found |= {"pooler": s.hidden, "classifier": s.labels}
    return found
