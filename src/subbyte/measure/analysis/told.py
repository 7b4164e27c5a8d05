"""Figures in words: with their noise, and no more digits than it leaves."""

import math
from collections.abc import Sequence

from subbyte.measure.analysis.document import BlockEffect, Quality, Size
from subbyte.measure.analysis.keeping import Limit

METRICS = {
    "cosine": "cosine", "spearman": "Spearman", "pearson": "Pearson", "correlation": "correlation with float32",
    "accuracy": "accuracy", "agreement": "equal labels", "moved": "probability on other labels",
    "off": "difference in deviations of the prediction", "lost": "lost tokens", "chrf": "chrF to float32",
    "perplexity": "perplexity",
}  # fmt: skip
SHARES = {"accuracy", "agreement", "moved", "lost"}  # told in percent
FINEST = 6  # decimals; what is smaller is told as a power of ten


def plus_minus(value: float, noise: float) -> str:
    """A figure and its standard error, to the first digit of that; two digits where the first is a 1."""
    if not noise or not math.isfinite(noise):
        return f"{value:.3g} ± {noise:.1g}"
    exponent = math.floor(math.log10(noise))
    digits = -exponent + (noise < 1.95 * 10.0**exponent)
    if digits > FINEST:
        return f"{value:.2g} ± {noise:.1g}"
    digits = max(digits, 0)
    rounded = round(value, digits) + 0.0  # no -0
    return f"{rounded:.{digits}f} ± {noise:.{digits}f}"


def figure(name: str, value: float, noise: float) -> str:
    """A metric with its noise, shares in percent."""
    if name in SHARES:
        return f"{plus_minus(100 * value, 100 * noise)} %"
    return plus_minus(value, noise)


def distance(of: Quality) -> str:
    """From the float32 model, with its noise."""
    return plus_minus(of["distance"], of["noise"]["distance"])


def lost(block: BlockEffect, bits: str) -> str:
    """The distance with a block in so few bits, with its noise, if that is known."""
    value = block["lost"][bits]
    return plus_minus(value, block["noise"][bits]) if block["noise"] else f"{value:.3g}"


def quality(of: Quality) -> str:
    """The distance and the other figures of a model, and what its scores by labels have more than those of float32."""
    found = [f"distance {distance(of)}"]
    for name, value in of["metrics"].items():
        found.append(f"{METRICS.get(name, name)} {figure(name, value, of['noise'][name])}")
        if change := of["changes"].get(name):
            found[-1] += f" (by {figure(name, change['by'], change['noise'])} from float32's)"
    return ", ".join(found)


def limited(limit: Limit, of: Quality) -> str:
    """The figure that decides, and its limit: "cosine 0.981 ± 0.001, where 0.97 is the least"."""
    name = METRICS.get(limit.metric, limit.metric)
    value = f"{100 * limit.value:g} %" if limit.metric in SHARES else f"{limit.value:g}"
    told = figure(limit.metric, limit.figure(of), limit.noise(of))
    return f"{name} {told}, where {value} is the {'most' if limit.most else 'least'}"


def smaller(one: Size) -> str:
    """How small: "7.77 times smaller than float32 (4.12 bits a weight, 11.7 MB)"."""
    size = f"{one['bits']:.3g} bits a weight, {one['bytes'] / 1e6:.3g} MB"
    return f"{one['smaller']:.3g} times smaller than float32 ({size})"


def labels(sizes: Sequence[Size]) -> list[str]:
    """A name for each: the preset's, and how it was rounded where it was both with a text and without."""
    names = [one["name"] for one in sizes]
    return [
        f"{name} without a text" if names.count(name) > 1 and not one["calibrated"] else name
        for name, one in zip(names, sizes, strict=True)
    ]


def listed(words: Sequence[str]) -> str:
    """With commas, and "and" before the last."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def lines(count: int) -> str:
    """A number of lines that is an estimate: two digits, up."""
    step = 10 ** max(len(str(count)) - 2, 0)
    return f"{math.ceil(count / step) * step:,}"
