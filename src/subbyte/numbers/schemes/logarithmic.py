"""Powers of two with a sign, 1 to 4 bits. (Aji & Heafield 2020, "Compressing NMT models with 4-bit precision")"""

from dataclasses import dataclass
from typing import ClassVar

from subbyte.numbers.schemes.signed_levels import SignedLevels


@dataclass(frozen=True)
class Logarithmic(SignedLevels):
    """Magnitudes round(127 * 2**-k): 127 64 32 16 8 4 2 1, the first 2**(bits-1) of them.

    Of the scale the paper has 5 steps and 1 start; its "max scale" is 0 steps, 1 start.
    """

    MOST_BITS: ClassVar[int] = 4

    @property
    def magnitudes(self) -> tuple[int, ...]:
        return tuple(round(127 * 2**-k) for k in range(2 ** (self.bits - 1)))
