"""What is said of a model that was judged: its distance and other figures, each with its noise."""

from collections.abc import Callable, Mapping

from subbyte.measure.analysis.document import Change, Quality, short
from subbyte.measure.analysis.noise import Statistic, figures, share_noise, standard_error
from subbyte.models.model import Model
from subbyte.numbers.arrays import Array

Judge = Callable[[Model], Quality]  # compares a model with the float32 one that it was made from


def quality(
    by_text: Array,
    statistics: Mapping[str, Statistic],
    shares: Mapping[str, int],
    gains: Mapping[str, Statistic],
    distance: Statistic | None = None,
) -> Quality:
    """The figures of a model.

    by_text     its distance on each text
    statistics  its metrics
    shares      those of them that are shares -> of how many things
    gains       those of them that are scores by labels -> what they have more than those of the float32 model
    distance    default: the mean of `by_text`
    """
    count = len(by_text)
    metrics, noise = figures(statistics, count)
    for name in shares.keys() & metrics.keys():
        noise[name] = max(noise[name], share_noise(metrics[name], shares[name]))
    noise["distance"] = standard_error(distance or (lambda of: float(by_text[of].mean())), count)
    by, error = figures(gains, count)
    return {
        "distance": short(max(float(by_text.mean()), 0.0)),
        "metrics": {name: short(value) for name, value in metrics.items()},
        "noise": {name: short(value) for name, value in noise.items()},
        "changes": {name: Change(by=short(by[name]), noise=short(error[name])) for name in gains},
        "by_text": [short(one) for one in by_text],
    }
