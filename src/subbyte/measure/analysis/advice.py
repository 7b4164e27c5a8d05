"""Which preset to take, by the figures of a document: the smallest that keeps the answers, and what is beside it.

What two presets differ by is told only where it is more than SURE standard errors; else they tie.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from subbyte.measure.analysis.document import Analysis, Quality, Recommended, Size
from subbyte.measure.analysis.keeping import LIMITS, Limit
from subbyte.measure.analysis.noise import Difference, difference
from subbyte.measure.analysis.told import labels

SAME = 1.02  # times the bytes: presets of about the same size
FEW = 30  # judged texts: with fewer, their noise is not known well either
UNHEARD = 100_000  # lines that nobody would take


@dataclass(frozen=True)
class Measured:
    """A preset that was judged, its name, and its place in document["sizes"], where the ones to prefer stand first."""

    at: int
    name: str
    size: Size
    quality: Quality

    @property
    def mean(self) -> float:
        """The distance, below 0 where the float32 model's answers became likelier."""
        return float(np.mean(self.quality["by_text"]))

    def over(self, other: Measured) -> Difference:
        """How much farther from float32 it is than the other."""
        return difference(self.quality["by_text"], other.quality["by_text"])


def limit(document: Analysis) -> Limit:
    """What counts as keeping the answers."""
    return LIMITS[document["task"]]


def measured(document: Analysis) -> list[Measured]:
    """All presets that were judged, the smallest first."""
    sizes = document["sizes"]
    named = enumerate(zip(labels(sizes), sizes, strict=True))
    found = [Measured(at, name, one, one["measured"]) for at, (name, one) in named if one["measured"]]
    return sorted(found, key=lambda one: one.size["bytes"])


def groups(document: Analysis) -> list[list[Measured]]:
    """Presets of about the same size, the smallest first."""
    found: list[list[Measured]] = []
    for one in measured(document):
        if found and one.size["bytes"] <= SAME * found[-1][0].size["bytes"]:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def best(of: Sequence[Measured]) -> Measured:
    """The closest; of those that tie with it one that needs no text, or else the one to prefer."""
    closest = min(of, key=lambda one: one.mean)
    tied = [one for one in of if one.over(closest).tie]
    return min(tied, key=lambda one: (one.size["calibrated"], one.at))


def chosen(document: Analysis) -> Measured | None:
    """The best of the smallest that keep the answers; if there is none, the smallest that ties with the closest."""
    every = measured(document)
    kept = [one for one in every if limit(document).keeps(one.quality)]
    if kept:
        return best([one for one in kept if one.size["bytes"] <= SAME * kept[0].size["bytes"]])
    if not every:
        return None
    closest = min(every, key=lambda one: one.mean)
    return min((one for one in every if one.over(closest).tie), key=lambda one: (one.size["bytes"], one.at))


def step_up(document: Analysis, of: Measured) -> Measured | None:
    """The smallest larger preset that keeps the answers and is closer by more than noise."""
    for group in groups(document):
        larger = [one for one in group if one.size["bytes"] > SAME * of.size["bytes"]]
        closer = [one for one in larger if of.over(one).by > 0 and not of.over(one).tie]
        if kept := [one for one in closer if limit(document).keeps(one.quality)]:
            return best(kept)
    return None


def step_down(document: Analysis, of: Measured) -> Measured | None:
    """The best of the largest that are smaller."""
    for group in reversed(groups(document)):
        if lesser := [one for one in group if SAME * one.size["bytes"] < of.size["bytes"]]:
            return best(lesser)
    return None


def undecided(document: Analysis, of: Measured) -> list[Measured]:
    """Smaller ones of which other texts could say that they keep the answers."""
    rule = limit(document)
    return [
        one
        for one in measured(document)
        if SAME * one.size["bytes"] < of.size["bytes"] and not rule.keeps(one.quality) and rule.room(one.quality).tie
    ]


def enough(document: Analysis, of: Sequence[Measured]) -> int | None:
    """How many lines would show on which side of the limit these are; None if no usual text would."""
    judged = document["judged"]
    counts = [FEW, *(limit(document).room(one.quality).enough(judged) for one in of)]
    if None in counts:
        return None
    lines = math.ceil(max(count for count in counts if count) * (document["calibrated"] + judged) / judged)
    return lines if lines <= UNHEARD else None


def recommended(document: Analysis) -> Recommended | None:
    """The preset to take and the command that makes it; None where nothing was measured."""
    one = chosen(document)
    if one is None:
        return None
    name = one.size["name"]
    command = ["subbyte", "quantize", document["source"], f"{document['model']}-{name}", "--recipe", name]
    if one.size["calibrated"]:
        command += ["--calibration", document["text"]]
    return {
        "recipe": name,
        "calibrated": one.size["calibrated"],
        "command": shlex.join(command),
        "keeps": limit(document).keeps(one.quality),
        "certain": document["judged"] >= FEW and not limit(document).room(one.quality).tie,
    }
