"""The activations of an encoder over some texts: ranges, and where their outliers are (Bondarenko et al. 2021, 3)."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from subbyte.compress.calibration.encoders import Batch
from subbyte.measure.analysis.document import RESIDUAL, Point, ResidualDimension, short
from subbyte.models import encoder
from subbyte.numbers.arrays import Array
from subbyte.progress import Steps, counting
from subbyte.run.encoder_engine import EncoderEngine

SIGMAS = 6.0
LISTED = 10  # dimensions and tokens of a point
NO_TOKENS = ("scores", "probabilities", "pooler", "classifier")  # their rows are no tokens


@dataclass
class _Moments:
    """What is known of a point after the first reading."""

    count: int
    total: float
    squares: float
    low: Array
    high: Array

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def deviation(self) -> float:
        return float(np.sqrt(max(self.squares / self.count - self.mean**2, 0.0)))


def outliers(
    engine: EncoderEngine, batches: Sequence[Batch], token: Callable[[int], str], progress: Steps | None = None
) -> tuple[list[Point], list[ResidualDimension]]:
    """Every point of the model over all texts, and the dimensions of x, h and y with outliers, most of them first.

    The texts are read twice: mean and deviation have to be known before outliers can be counted. `token` says what an
    id stands for.
    """
    read_one = counting(progress, 2 * len(batches))

    def values() -> Iterator[tuple[list[int], str, Array]]:
        for ids, types in batches:
            flat = [one for text in ids for one in text]
            for name, x in zip(engine.points, engine.observe(ids, types, [*engine.points]), strict=True):
                yield flat, name, x
            read_one()

    moments: dict[str, _Moments] = {}
    for _, name, x in values():
        seen = _Moments(
            x.size, float(x.sum(dtype=np.float64)), float(np.vdot(x, x.astype(np.float64))), x.min(0), x.max(0)
        )
        moments[name] = _joined(moments[name], seen) if name in moments else seen
    words = engine.settings.vocab_size
    dimensions = {name: np.zeros(point.width, int) for name, point in engine.points.items()}  # outliers in each
    tokens = {name: np.zeros(words, int) for name in engine.points}  # and at each token id
    read = np.bincount([one for ids, _ in batches for text in ids for one in text], minlength=words)
    for flat, name, x in values():
        far = np.abs(x - moments[name].mean) > SIGMAS * moments[name].deviation
        dimensions[name] += far.sum(0)
        if engine.points[name].kind not in NO_TOKENS:
            np.add.at(tokens[name], flat, far.sum(1))
    points = [_point(name, moments[name], dimensions[name], tokens[name], read, token) for name in engine.points]
    return points, _residual({point: dimensions[name] for name, point in engine.points.items()})


def _joined(a: _Moments, b: _Moments) -> _Moments:
    low, high = np.minimum(a.low, b.low), np.maximum(a.high, b.high)
    return _Moments(a.count + b.count, a.total + b.total, a.squares + b.squares, low, high)


def _point(
    name: str, seen: _Moments, dimensions: Array, tokens: Array, read: Array, token: Callable[[int], str]
) -> Point:
    far = max(float(seen.high.max()) - seen.mean, seen.mean - float(seen.low.min()))
    total = int(dimensions.sum())
    return {
        "name": name,
        "width": len(seen.low),
        "values": seen.count,
        "mean": short(seen.mean),
        "deviation": short(seen.deviation),
        "farthest": short(far / seen.deviation if seen.deviation else 0.0),
        "outliers": total,
        "share": short(total / seen.count),
        "low": [short(one) for one in seen.low],
        "high": [short(one) for one in seen.high],
        "dimensions": [{"dimension": i, "outliers": int(dimensions[i])} for i in _most(dimensions)]
        if len(seen.low) > 1
        else [],
        "tokens": [{"token": token(i), "outliers": int(tokens[i]), "read": int(read[i])} for i in _most(tokens)],
    }


def _most(counts: Array) -> list[int]:
    """The places of the largest counts above 0, largest first."""
    order = np.argsort(-counts, kind="stable")[:LISTED]
    return [int(i) for i in order if counts[i]]


def _residual(counts: Mapping[encoder.Point, Array]) -> list[ResidualDimension]:
    outliers: dict[int, int] = defaultdict(int)
    layers: dict[int, set[int]] = defaultdict(set)
    for point, of_point in counts.items():
        if point.layer is not None and point.kind in RESIDUAL:
            for i in np.flatnonzero(of_point):
                outliers[int(i)] += int(of_point[i])
                layers[int(i)].add(point.layer)
    order = sorted(outliers, key=lambda i: (-outliers[i], i))
    return [{"dimension": i, "outliers": outliers[i], "layers": sorted(layers[i])} for i in order]
