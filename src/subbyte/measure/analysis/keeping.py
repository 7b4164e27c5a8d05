"""What counts as keeping the answers of the float32 model: as `quantize` without a recipe has it (choice.py).

Limits are of figures that a judged preset has (`document.Quality`), not of scores against labels, which say little on a
hundred texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from subbyte.compress import encoder_agreement, translation_agreement
from subbyte.measure.analysis.document import Quality
from subbyte.measure.analysis.noise import Difference


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
    "vectors": Limit("cosine", round(1 - encoder_agreement.KEPT["vectors"], 4), most=False),
    "classification": Limit("moved", round(encoder_agreement.KEPT["labels"], 4), most=True),
    "regression": Limit("off", round(encoder_agreement.KEPT["number"], 4), most=True),
    "translation": Limit("lost", translation_agreement.KEPT, most=True),
}
