"""What a model is between files and engine: its tensors by name, float or packed, with their roles."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from subbyte.numbers.grids import Grid
from subbyte.numbers.packed import PackedMatrix

RoleKind = Literal[
    "embedding", "self_attention", "recurrence", "cross_attention", "feed_forward", "output", "pooler", "classifier"
]
Task = Literal["translate", "encode"]
Activations = Literal["int8", "float32", "static"]  # in files, recipes and options
EQUALIZER = ".equalizer"  # behind the name of a point: a vector that compression added (operands.py)


@dataclass(frozen=True)
class Role:
    """What a weight matrix is for. Recipes select tensors by these words.

    Only matrices have a role; biases, layer-norm parameters and other vectors are kept in float32 and have none.
    """

    kind: RoleKind
    stack: Literal["encoder", "decoder", "shared"]
    layer: int | None = None  # 0-based; None outside the layer stacks

    def __str__(self) -> str:
        where = "" if self.layer is None else f".{self.layer}"
        return f"{self.stack}{where}.{self.kind}"


Tensor = np.ndarray | PackedMatrix


PoolingMode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]
Scores = Literal["none", "sigmoid", "softmax"]  # what makes a classifier's scores of its logits
SENTENCE = "sentence."  # before the names of the tensors behind the pooling


@dataclass(frozen=True)
class Stage:
    """A module of sentence-transformers behind the pooling; its weights are the model's tensors sentence.K....

    dense       outputs = activation(weight x + bias), with residual the input (or residual weight x) added
    layer_norm  scale (x - mean) / deviation + bias
    normalize   to length 1
    """

    kind: Literal["dense", "layer_norm", "normalize"]
    inputs: int = 0
    outputs: int = 0
    bias: bool = True
    activation: str = "Identity"
    residual: bool = False


@dataclass(frozen=True)
class SentenceVectors:
    """How an encoder makes one vector of a text, as sentence-transformers has it."""

    # one way or several, whose vectors are put side by side; () in a cross-encoder, of which only what concerns
    # its texts counts
    pooling: tuple[PoolingMode, ...] = ("mean",)
    normalize: bool = False  # to length 1, behind all stages
    # longer texts are cut, special tokens included; None: as the tokenizer says, or what the model reads
    max_tokens: int | None = None
    stages: tuple[Stage, ...] = ()  # what happens between pooling and that
    include_prompt: bool = True  # whether the prompt's tokens are pooled too
    prompts: Mapping[str, str] = field(default_factory=dict)  # name -> what is put before a text
    default_prompt: str | None = None  # the name of the one that is, where nothing else is asked for
    truncate_dim: int | None = None  # vectors are cut to so many values, behind everything else
    similarity: Similarity = "cosine"  # of two vectors
    lowercase: bool = False  # texts are lowercased before the tokenizer's own rules


@dataclass(frozen=True)
class Float:
    """Inputs of matrix products stay as they are."""

    word: ClassVar[Activations] = "float32"
    grids: ClassVar[Mapping[str, Grid]] = {}


@dataclass(frozen=True)
class Dynamic:
    """Inputs of matrix products are rounded to int8, those of a token by the largest of them."""

    word: ClassVar[Activations] = "int8"
    grids: ClassVar[Mapping[str, Grid]] = {}


@dataclass(frozen=True)
class Static:
    """Points of an encoder are rounded by grids, for which matrices are turned; others, as in `Dynamic`."""

    grids: Mapping[str, Grid]  # the name of an encoder.Point -> how it is rounded
    word: ClassVar[Activations] = "static"


def activations_of(word: Activations, grids: Mapping[str, Grid] | None = None) -> Float | Dynamic | Static:
    """What a file or a recipe calls so."""
    return Static(grids or {}) if word == "static" else Dynamic() if word == "int8" else Float()


@dataclass(frozen=True)
class Model:
    """A checked model: every tensor its architecture names is here, in the right shape, and nothing else."""

    architecture: str
    task: Task  # what it does
    # the Hugging Face config.json as it came (with quantization_config in a converted folder)
    config: Mapping[str, Any]
    generation: Mapping[str, Any]  # the Hugging Face generation_config.json as it came; {} where there is none
    # Hugging Face name -> float32 array (matrices [out, in], vectors [n]) or PackedMatrix
    tensors: Mapping[str, Tensor]
    roles: Mapping[str, Role]  # name -> role, for every weight matrix
    aliases: Mapping[str, str]  # tied name -> the name that holds the weights
    folder: Path  # where tokenizer and configuration files are copied from
    activations: Float | Dynamic | Static = Float()  # how the inputs of matrix products are rounded
    recipe: Mapping[str, Any] = field(default_factory=dict)  # the resolved recipe; {} for a float model
    # the order of the embedding axis that the tensors are stored in, if not the source's (axis_order.py)
    permutation: tuple[int, ...] | None = None
    sentence: SentenceVectors | None = None  # how an encoder makes one vector of a text, where its folder says so
    scores: Scores | None = None  # what makes scores of a classifier's logits; None of what has no classifier

    @property
    def parameters(self) -> int:
        """Elements of the weights, tied ones once; without what compression added to them."""
        counted = (tensor.shape for name, tensor in self.tensors.items() if not name.endswith(EQUALIZER))
        return sum(math.prod(shape) for shape in counted)

    @property
    def compressed(self) -> bool:
        """Whether any of its matrices is packed."""
        return any(isinstance(tensor, PackedMatrix) for tensor in self.tensors.values())

    @property
    def entropy_coded(self) -> bool:
        """Whether any of its matrices was made for an entropy coder, so that its folder is packed."""
        packed = (tensor for tensor in self.tensors.values() if isinstance(tensor, PackedMatrix))
        return any(matrix.entropy_coded for matrix in packed)
