"""What counts as keeping the answers of the float32 model: the limits of the advice, in one place.

They are figures that a judged preset has (`document.Quality`), not scores against labels, which say little on a hundred
texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from subbyte.analysis.document import Quality
from subbyte.analysis.noise import Difference


@dataclass(frozen=True)
class Limit:
    """A figure, and where it ends to be good: a `metric` of Quality, or "distance".

    most  whether `value` is the greatest that is good, not the least
    """

    metric: str
    value: float
    most: bool

    def figure(self, of: Quality) -> float:
        """That which is limited."""
        return of["distance"] if self.metric == "distance" else of["metrics"][self.metric]

    def noise(self, of: Quality) -> float:
        """Its standard error."""
        return of["noise"][self.metric]

    def keeps(self, of: Quality) -> bool:
        """Whether the answers are kept, by the figure."""
        return self.figure(of) <= self.value if self.most else self.figure(of) >= self.value

    def room(self, of: Quality) -> Difference:
        """How far inside the limit the figure is, below 0 outside; a tie where other texts could say the contrary."""
        inside = self.value - self.figure(of)
        return Difference(inside if self.most else -inside, self.noise(of))


LIMITS: Mapping[str, Limit] = {
    "vectors": Limit("cosine", 0.97, most=False),
    "classification": Limit("agreement", 0.99, most=False),
    "regression": Limit("distance", 0.02, most=True),
    # of docs/agreement.md: where at most so many tokens were lost, BLEU was within 1
    "translation": Limit("lost", 0.015, most=True),
}
