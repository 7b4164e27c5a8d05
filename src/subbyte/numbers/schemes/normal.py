"""Levels that suit normally distributed weights, 1 to 6 bits: those of Lloyd and Max, with a scale.

(Max 1960, "Quantizing for minimum distortion"; the idea for weights is that of NF4, Dettmers et al. 2023, "QLoRA",
whose levels are quantiles instead, and have a larger error.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from subbyte.numbers.schemes.signed_levels import SignedLevels

# The levels with the least squared error for N(0, 1), the largest as 127. tests/numbers/schemes computes them.
MAGNITUDES: Mapping[int, tuple[int, ...]] = {
    1: (127,),
    2: (127, 38),
    3: (127, 79, 45, 14),
    4: (127, 96, 75, 58, 44, 31, 18, 6),
    5: (127, 105, 90, 79, 70, 61, 54, 47, 41, 35, 29, 24, 18, 13, 8, 3),
    6: (
        127, 110, 99, 91, 84, 78, 73, 68, 64, 60, 56, 53, 49, 46, 43, 40,
        38, 35, 32, 30, 27, 24, 22, 20, 17, 15, 13, 10, 8, 6, 3, 1,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Normal(SignedLevels):
    """Magnitudes close together near zero, where most weights are, and further apart beyond."""

    MOST_BITS: ClassVar[int] = 6

    @property
    def magnitudes(self) -> tuple[int, ...]:
        return MAGNITUDES[self.bits]
