"""Documents of analyses made by hand: what presets there are, how large, and how far from float32 on each text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from subbyte.measure.analysis.advice import recommended
from subbyte.measure.analysis.document import DISTANCES, Analysis, Quality, Size
from subbyte.measure.analysis.findings import findings
from subbyte.measure.analysis.keeping import LIMITS
from subbyte.measure.analysis.noise import share_noise

PARAMETERS = 1_000_000


def spread(mean: float, noise: float, texts: int = 100, seed: int = 0) -> list[float]:
    """Numbers of this mean, and a mean of them with this standard error."""
    x = np.random.default_rng(seed).normal(size=texts)
    x = (x - x.mean()) / x.std(ddof=1)
    return [float(value) for value in mean + noise * np.sqrt(texts) * x]


def vectors(by_text: Sequence[float]) -> Quality:
    """Of an encoder of sentences."""
    x = np.array(by_text)
    error = float(x.std(ddof=1) / np.sqrt(x.size))
    distance = max(float(x.mean()), 0.0)
    return {
        "distance": distance,
        "metrics": {"cosine": 1 - distance},
        "noise": {"distance": error, "cosine": error},
        "changes": {},
        "by_text": [*by_text],
    }


def counted(metric: str, share: float, by_text: Sequence[float]) -> Quality:
    """Of a classifier ("moved") or a translation model ("lost")."""
    error = share_noise(share, len(by_text))
    found = vectors(by_text)
    return {**found, "metrics": {metric: share}, "noise": {"distance": found["noise"]["distance"], metric: error}}


def size(name: str, bits: float, quality: Quality, task: str = "vectors", calibrated: bool = False) -> Size:
    """Of a preset that was measured."""
    return {
        "name": name,
        "bytes": int(bits * PARAMETERS / 8),
        "bits": bits,
        "smaller": 32 / bits,
        "calibrated": calibrated,
        "keeps": LIMITS[task].keeps(quality),
        "expected": None,
        "measured": quality,
    }


def document(*sizes: Size, task: str = "vectors") -> Analysis:
    """With advice and findings; half of the texts were judged."""
    quality = sizes[0]["measured"] if sizes else None
    judged = len(quality["by_text"]) if quality else 0
    found: Analysis = {
        "model": "minilm",
        "source": "models/mini lm",
        "text": "texts.txt",
        "architecture": "BertModel",
        "task": task,
        "distance": DISTANCES[task],
        "data": "texts.txt",
        "texts": 2 * judged,
        "calibrated": judged,
        "judged": judged,
        "tokens": 20 * judged,
        "isa": "avx2",
        "threads": 1,
        "points": [],
        "residual": [],
        "leave_one_out": None,
        "sizes": [*sizes],
        "left_out": [],
        "blocks": [],
        "recommended": None,
        "findings": [],
    }
    found["recommended"] = recommended(found)
    found["findings"] = findings(found)
    return found
