"""The C++ engine: matrices, kernels, models. Use subbyte.engine."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def isas() -> list[tuple[str, bool, str]]:
    """
    Instruction sets compiled in, best first: name, whether this machine runs it, its flag in /proc/cpuinfo.
    """

def few_inputs(isa: str) -> int:
    """
    Up to so many inputs, int8 products unpack codes in registers; above, once a block into the cache.
    """

def encode_codes(bits: int, rows: int, cols: int, codes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], *, threads: int = 1) -> NDArray[numpy.uint8] | None:
    """The bytes of a block's codes, coded; None where that takes no fewer."""

def coded_fault(bits: int, rows: int, cols: int, coded: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> str:
    """
    What is wrong with a block's coded bytes, as far as can be seen before they are decoded; empty: nothing.
    """

def decode_codes(blocks: Sequence[tuple[int, int, int, Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu')]]], *, threads: int = 1) -> list[str]:
    """
    Blocks are (bits, rows, cols, coded bytes, bytes of the codes, which are written), each without a fault that can be seen before. The fault of each in decoding; empty: none.
    """

class Matrix:
    """A weight matrix laid out for the kernels."""

    @staticmethod
    def dense(weights: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> Matrix:
        """Float32 weights [rows, cols]."""

    @staticmethod
    def packed(rows: int, cols: int, group_size: int, blocks: Sequence[object], cluster: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None) -> Matrix:
        """
        Low-bit weights; blocks are (bits, codes, scale, levels, alphas, zero) of model.Block.
        """

    @property
    def bytes(self) -> int:
        """Resident bytes."""

    def rows(self, rows: Sequence[int]) -> NDArray[numpy.float32]:
        """Rows as float32 [n, cols]: the embedding look-up."""

def linear(weights: Matrix, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None, *, isa: str = 'best', activations: str = 'int8', threads: int = 1) -> NDArray[numpy.float32]:
    """x [m, cols] times the transposed weights, plus bias: [m, rows]."""

def greatest(weights: Matrix, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], banned: Sequence[int], *, isa: str = 'best', threads: int = 1) -> tuple[list[int], int] | None:
    """
    By a screen, for each x: the row with the greatest product, not banned (2^32 - 1 for none); and the rows read for the last x. None if there is no screen, or it does not know.
    """

def layer_norm(x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], residual: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, gamma: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], beta: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], eps: float = 9.999999747378752e-06, *, isa: str = 'best') -> NDArray[numpy.float32]: ...

def attention(q: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], key_values: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], heads: int, *, isa: str = 'best') -> NDArray[numpy.float32]:
    """
    Softmax attention of one query [width] over keys and values [length, 2 * width].
    """

def self_attention(q: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], key: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], value: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], heads: int, scores: tuple[int, Sequence[float], Sequence[float], float] | None = None, probabilities: tuple[int, Sequence[float], Sequence[float], float] | None = None, *, isa: str = 'best') -> NDArray[numpy.float32]:
    """
    Softmax attention of all positions [length, width] over each other; scores and probabilities on grids.
    """

def round_to_grid(x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], grid: tuple[int, Sequence[float], Sequence[float], float], *, isa: str = 'best') -> NDArray[numpy.float32]:
    """What the codes of x [m, n] stand for."""

def grid_codes(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], grid: tuple[int, Sequence[float], Sequence[float], float], *, isa: str = 'best') -> tuple[NDArray[numpy.float32], NDArray[numpy.float32], int, int]:
    """
    The codes of x [n], padded to a multiple of 16: high and low (code = 255 * high + low at 16 bits, else high), and the sums of both.
    """

def operand(x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], factors: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, rotation: int, *, isa: str = 'best') -> NDArray[numpy.float32]:
    """
    x [m, n] times factors [n], turned in blocks of `rotation` columns by a Hadamard matrix that keeps lengths.
    """

def ssru(forget: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], input: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], previous: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, *, isa: str = 'best') -> tuple[NDArray[numpy.float32], NDArray[numpy.float32]]:
    """One step of an SSRU: the new state, and its positive part."""

def activate(kind: str, x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, isa: str = 'best') -> NDArray[numpy.float32]: ...

def log_sum_exp_parts(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, isa: str = 'best') -> tuple[NDArray[numpy.float32], float]:
    """Maxima of runs of 128, and the sum of exp(x - max)."""

def compensate(w: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], order: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)], spread: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], gram: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], borders: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], values: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], sweeps: int, *, shift: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None = None, isa: str = 'best', threads: int = 1) -> NDArray[numpy.uint8]:
    """
    The number of the level that each weight [rows, cols] goes to, so that outputs stay; spread and gram are in the order of rounding, borders and values [rows or 1, groups, levels]; shift, as borders: what the bits of levels move these by, for an output that weighs 1.
    """

class Translation:
    """A translation model ready to run."""

    def __init__(self, settings: Mapping[str, object], matrices: Mapping[str, Matrix], vectors: Mapping[str, Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]], *, isa: str, threads: int, activations: str) -> None:
        """settings: those of TranslationConfig in C++, by name."""

    def translate(self, sentences: Sequence[Sequence[int]], numbers: Sequence[int], options: Mapping[str, object]) -> list[list[tuple[list[int], float]]]:
        """
        Hypotheses (tokens, score) of every sentence, best first. numbers: of the sentences, for what is drawn; options: those of SearchOptions in C++, by name.
        """

    def score(self, sentences: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], start: int) -> list[list[float]]:
        """Log-probability of every token of each target, forced."""

    def inputs(self, sentences: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], start: int, names: Sequence[str]) -> list[NDArray[numpy.float32]]:
        """
        What each of these matrices multiplied, [rows, columns], with the targets forced; without any, encoding.
        """

    def logits(self, source: Sequence[int], target: Sequence[int]) -> NDArray[numpy.float32]:
        """
        Logits [len(target), vocabulary] with the target forced; it begins with the start token.
        """

    @property
    def isa(self) -> str: ...

    @property
    def threads(self) -> int: ...

    @property
    def weight_bytes(self) -> int:
        """Resident bytes of the matrices, tied ones once, and of the screen."""

class Encoder:
    """An encoder of texts ready to run."""

    def __init__(self, settings: Mapping[str, object], matrices: Mapping[str, Matrix], vectors: Mapping[str, Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]], grids: Mapping[str, tuple[int, Sequence[float], Sequence[float], float]], operands: Sequence[str], rotations: Mapping[str, int], *, isa: str, threads: int, activations: str) -> None:
        """settings: those of EncoderConfig in C++, by name."""

    def states(self, tokens: Sequence[Sequence[int]], types: Sequence[Sequence[int]]) -> NDArray[numpy.float32]:
        """
        The last layer's values of all tokens, [tokens, hidden], one text behind the other.
        """

    def pooled(self, tokens: Sequence[Sequence[int]], types: Sequence[Sequence[int]], pooling: str) -> NDArray[numpy.float32]:
        """One vector a text, [texts, hidden]."""

    def logits(self, tokens: Sequence[Sequence[int]], types: Sequence[Sequence[int]]) -> NDArray[numpy.float32]:
        """Logits [texts, labels]."""

    def observe(self, tokens: Sequence[Sequence[int]], types: Sequence[Sequence[int]], names: Sequence[str]) -> list[NDArray[numpy.float32]]:
        """
        The values of points before they are rounded, each as one run of values, [values, 1].
        """

    def inputs(self, tokens: Sequence[Sequence[int]], types: Sequence[Sequence[int]], names: Sequence[str]) -> list[NDArray[numpy.float32]]:
        """What each of these matrices multiplied, [rows, columns]."""

    @property
    def isa(self) -> str: ...

    @property
    def threads(self) -> int: ...

    @property
    def weight_bytes(self) -> int:
        """
        Resident bytes of the matrices, and of what was folded for inputs on grids.
        """
