"""What `subbyte analyze` finds, as plain data: the JSON document, which the page is a function of.

A *distance* says how far a model's answers are from those of the float32 model; 0 is no difference.
"""

import os
from pathlib import Path
from typing import TypedDict

from subbyte.measure.analysis.texts import Texts
from subbyte.models.model import Model

RESIDUAL = ("ffn_input", "ffn_output", "ffn_sum")  # x, h and y of Bondarenko et al. 2021


DISTANCES: dict[str, str] = {  # by task
    "vectors": "1 - cosine with the float32 model's vector, the mean over texts",
    "classification": "Kullback-Leibler divergence from the float32 model's probabilities in nats, the mean over texts",
    "regression": "mean squared difference from the float32 model's numbers, as a share of their variance",
    "translation": "nats a token that the float32 model's own translations become less likely by",
}


class Change(TypedDict):
    """What a score by labels has more than that of the float32 model on the same texts, and its standard error."""

    by: float
    noise: float


class Quality(TypedDict):
    """Distance, and what else is known: cosine, spearman, pearson, accuracy, agreement (share of equal labels), ...

    noise    the standard error over texts of `distance` and of each metric: what other texts would change
    changes  of the metrics that are scores by labels
    by_text  the distance on each text, below 0 where the float32 model's answer has become likelier
    """

    distance: float
    metrics: dict[str, float]
    noise: dict[str, float]
    changes: dict[str, Change]
    by_text: list[float]


class OutlierDimension(TypedDict):
    dimension: int
    outliers: int


class OutlierToken(TypedDict):
    """`read`: how often the token stood in the texts."""

    token: str
    outliers: int
    read: int


class Point(TypedDict):
    """An activation over all texts. Outliers are more than 6 standard deviations from the mean of all its values.

    low, high    of each dimension; scores and probabilities have one
    farthest     the most standard deviations that any value is from the mean
    dimensions   that most outliers are in, 10 at the most
    tokens       that most are at, likewise; rows of scores, probabilities, pooler and classifier are no tokens
    """

    name: str
    width: int
    values: int
    mean: float
    deviation: float
    farthest: float
    outliers: int
    share: float
    low: list[float]
    high: list[float]
    dimensions: list[OutlierDimension]
    tokens: list[OutlierToken]


class ResidualDimension(TypedDict):
    """A dimension of the embedding axis that has outliers in x, h or y, and the layers where it has."""

    dimension: int
    outliers: int
    layers: list[int]


class FamilyEffect(TypedDict):
    """Points that were left out together.

    but        every point has 8 bits except these
    alone      only these have
    recovered  the share of the distance of all that `but` does not have; below 0 where it has more
    """

    family: str
    letter: str
    points: int
    but: Quality
    alone: Quality
    recovered: float


class Remedy(TypedDict):
    """The activations of a preset, with float32 weights."""

    recipe: str
    quality: Quality


class LeaveOneOut(TypedDict):
    """texts: that the ranges are from, and other ones that were measured; unions are families of families."""

    calibrated: int
    measured: int
    float32: Quality
    all: Quality
    families: list[FamilyEffect]
    unions: list[FamilyEffect]
    remedies: list[Remedy]


class Size(TypedDict):
    """A preset, or what a search would choose.

    bytes       of model.safetensors; `bits` a weight, and how many times `smaller` than float32, are from them
    calibrated  whether a part of the texts was used: for weights that are rounded by their outputs, and for ranges
    expected    distance of a search: what its matrices lose one by one, added up
    measured    of a preset
    keeps       whether it keeps the answers, by its figure (keeping.py); None if it was not measured
    """

    name: str
    bytes: int
    bits: float
    smaller: float
    calibrated: bool
    keeps: bool | None
    expected: float | None
    measured: Quality | None


class BlockEffect(TypedDict):
    """The matrices of one role in one layer.

    lost   bits -> distance if this block alone has them
    noise  likewise its standard error over texts; {} for translation models
    given  bits of a weight in the whole model -> those that a search gives to this block's; {} for encoders
    """

    block: str
    weights: int
    lost: dict[str, float]
    noise: dict[str, float]
    given: dict[str, float]


class LeftOut(TypedDict):
    """A preset that does not fit the model, and why."""

    recipe: str
    why: str


class Recommended(TypedDict):
    """The preset to take.

    command  that makes it
    keeps    whether it keeps the answers, by its figure; False if none that was measured does: then it is the closest
    certain  whether the texts were enough to say so
    """

    recipe: str
    calibrated: bool
    command: str
    keeps: bool
    certain: bool


class Analysis(TypedDict):
    """points, residual and leave_one_out are those of encoders; [] and None for translation models.

    source, text  the model's folder and the file of texts, as they were given
    calibrated    texts that ranges and sums are from; `judged` are the others, which distances are from
    """

    model: str
    source: str
    text: str
    architecture: str
    task: str
    distance: str
    data: str
    texts: int
    calibrated: int
    judged: int
    tokens: int
    isa: str
    threads: int
    points: list[Point]
    residual: list[ResidualDimension]
    leave_one_out: LeaveOneOut | None
    sizes: list[Size]
    left_out: list[LeftOut]
    blocks: list[BlockEffect]
    recommended: Recommended | None
    findings: list[str]


def blank(model: Model, task: str, texts: Texts, isa: str, threads: int) -> Analysis:
    """A document that says what is analyzed, and nothing of what is found."""
    return {
        "model": Path(os.path.abspath(model.folder)).name,
        "source": str(model.folder),
        "text": texts.path,
        "architecture": model.architecture,
        "task": task,
        "distance": DISTANCES[task],
        "data": Path(texts.path).name,
        "texts": len(texts.texts),
        "calibrated": 0,
        "judged": 0,
        "tokens": 0,
        "isa": isa,
        "threads": threads,
        "points": [],
        "residual": [],
        "leave_one_out": None,
        "sizes": [],
        "left_out": [],
        "blocks": [],
        "recommended": None,
        "findings": [],
    }


def short(x: float) -> float:
    """With five digits: enough to look at, and to compare."""
    return float(f"{x:.5g}")
