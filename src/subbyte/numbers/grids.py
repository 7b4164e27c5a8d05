"""How the activations of an encoder are rounded: grids of integers.

    code  = clip(round_half_even(x * inverse) + zero, -limit, limit),  inverse = 1 / scale
    value = scale * (code - zero)

all in float32. The formula is that of Bondarenko et al. 2021 with codes around zero: their levels 0..2**bits - 1 become
-limit..limit, one less, so that 8 bits fit the kernels of the engine, and 16 bits are two passes of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from subbyte.errors import SchemeError
from subbyte.numbers.arrays import Array

BITS = (2, 3, 4, 5, 6, 7, 8, 16)
LEAST_SCALE = float(np.float32(1e-8))  # the paper's floor
MOST_SCALE = float(np.float32(1e30))  # so that no value overflows
ROTATIONS = (1, 16, 32, 64, 128, 256)
DIGIT = 255  # at 16 bits the core works in two passes: code = DIGIT * high + low, both in -127..127


def limit(bits: int) -> int:
    """The largest code; the least is its negative."""
    return DIGIT * 127 + 127 if bits == 16 else (1 << bits - 1) - 1


@dataclass(frozen=True)
class Grid:
    """The integers that an activation is rounded to. Each of K groups of consecutive columns has a scale and a zero.

    Raises SchemeError, with all that is wrong.
    """

    bits: int  # 2..8 or 16
    # K numbers of float32 (others are rounded to it), 1e-8..1e30, in units of the activation for one code
    scale: tuple[float, ...]
    zero: tuple[int, ...]  # K codes, those of the value 0.0; all are 0 in a symmetric grid
    operand: bool = False  # only matrices read the codes; a residual sum takes the value as it was
    rotation: int = 1  # blocks of so many columns of an operand are turned first (operands.py); 1: none

    def __post_init__(self) -> None:
        if faults := grid_faults(self.bits, self.scale, self.zero, self.operand, self.rotation):
            raise SchemeError(f"grid: {'; '.join(faults)}")
        object.__setattr__(self, "scale", tuple(float(np.float32(scale)) for scale in self.scale))
        object.__setattr__(self, "zero", tuple(self.zero))

    @property
    def groups(self) -> int:
        """K."""
        return len(self.scale)

    def columns(self, width: int) -> tuple[Array, Array]:
        """Scale and zero of each of `width` columns, both float32 [width]."""
        if width % self.groups:
            raise SchemeError(f"{width} columns do not divide into {self.groups} groups")
        size = width // self.groups
        return np.repeat(np.array(self.scale, np.float32), size), np.repeat(np.array(self.zero, np.float32), size)


def grid_faults(bits: object, scale: object, zero: object, operand: object = False, rotation: object = 1) -> list[str]:
    """What keeps these from being a grid."""
    if type(bits) is not int or bits not in BITS:
        return [f"bits are {bits!r}, should be 2 to 8, or 16"]
    faults = [] if type(operand) is bool else [f"operand is {operand!r}, should be true or false"]
    if type(rotation) is not int or rotation not in ROTATIONS:
        faults.append(f"rotation is {rotation!r}, should be one of {', '.join(map(str, ROTATIONS))}")
    elif rotation > 1 and not (operand is True and isinstance(scale, Sequence) and len(scale) == 1):
        faults.append("rotation is for operands with one scale")
    top = limit(bits)
    if not isinstance(scale, Sequence) or not all(
        type(one) in (int, float) and LEAST_SCALE <= one <= MOST_SCALE for one in scale
    ):
        faults.append(f"scale should be numbers from {LEAST_SCALE} to {MOST_SCALE}")
    if not isinstance(zero, Sequence) or not all(type(one) is int and -top <= one <= top for one in zero):
        faults.append(f"zero should be whole numbers from {-top} to {top}")
    elif isinstance(scale, Sequence) and not len(scale) == len(zero) > 0:
        faults.append(f"{len(scale)} scales with {len(zero)} zeros; each group has one of both")
    return faults


def scale_and_zero(low: Array, high: Array, bits: int, symmetric: bool) -> tuple[Array, Array]:
    """The scales (values of float32) and zeros, both float64, of the grids over ranges, arrays of one shape.

    A range is widened to have 0.0 in it, which is then exactly a level; data on one side of it use all codes. A
    symmetric grid reaches to the farther end on both sides.
    """
    low, high = np.minimum(low, 0).astype(np.float64), np.maximum(high, 0).astype(np.float64)
    top = limit(bits)
    width = np.maximum(-low, high) / top if symmetric else (high - low) / (2 * top)
    scale = np.clip(width, LEAST_SCALE, MOST_SCALE).astype(np.float32).astype(np.float64)
    zero = np.zeros_like(scale) if symmetric else np.clip(np.rint(-top - low / scale), -top, top)
    return scale, zero


def from_range(low: Array, high: Array, bits: int, symmetric: bool = False) -> Grid:
    """The grid over ranges low..high, [K] each. SchemeError if they are no ranges."""
    low, high = np.atleast_1d(low), np.atleast_1d(high)
    if low.shape != high.shape or low.ndim != 1 or not (np.isfinite(low) & np.isfinite(high) & (low <= high)).all():
        raise SchemeError("a range needs finite numbers, and its low end below its high end")
    if bits not in BITS:
        raise SchemeError(f"grid: {grid_faults(bits, (), ())[0]}")
    scale, zero = scale_and_zero(low, high, bits, symmetric)
    return Grid(bits, tuple(scale.tolist()), tuple(int(one) for one in zero))


def quantize(x: Array, grid: Grid) -> Array:
    """The codes of float32 [..., width], all of it finite: int8, or int16 at 16 bits."""
    x = np.asarray(x, np.float32)
    scale, zero = grid.columns(x.shape[-1])
    top = limit(grid.bits)
    with np.errstate(over="ignore"):  # what is infinitely many steps away is clipped all the same
        codes = np.clip(np.rint(x * (np.float32(1) / scale)) + zero, -top, top)
    integers: Array = codes.astype(np.int16 if grid.bits == 16 else np.int8)
    return integers


def dequantize(codes: Array, grid: Grid) -> Array:
    """The values of codes [..., width], float32."""
    scale, zero = grid.columns(codes.shape[-1])
    values: Array = scale * (codes.astype(np.float32) - zero)
    return values


def fake_quantize(x: Array, grid: Grid) -> Array:
    """float32 [..., width] rounded to the grid, as float32."""
    return dequantize(quantize(x, grid), grid)
