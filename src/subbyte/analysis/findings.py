"""What an analysis shows and what to do about it, in plain words. A function of the document."""

from __future__ import annotations

from collections.abc import Sequence

from subbyte.analysis.document import Analysis, LeaveOneOut, Quality, Size

LITTLE = 0.02  # of a distance: our rule of thumb, of vectors 0.98 of cosine
CULPRIT = 0.3  # share of the distance that a family must bring back to be named as the cause
NEAR = 1.25  # a remedy whose distance is so many times the best one's, or LITTLE, at the most is as good
NAMED = 5  # dimensions and tokens in a sentence

METRICS = {
    "cosine": "cosine", "spearman": "Spearman", "pearson": "Pearson", "correlation": "correlation with float32",
    "accuracy": "accuracy", "agreement": "equal labels", "perplexity": "perplexity",
}  # fmt: skip
REMEDIES = {
    "w8a8": "every activation in 8 bits, one range a tensor",
    "w8a8-mixed": "16 bits for the input, the output and the sum of the feed-forward layers",
    "w8a8-peg": "8 bits, with six ranges of sorted dimensions at those places",
}


def findings(document: Analysis) -> list[str]:
    """Sentences, the most important first."""
    found = []
    if document["leave_one_out"]:
        found += [_what_to_do(document["leave_one_out"]), _cause(document["leave_one_out"]), *_outliers(document)]
    return [*found, *_weights(document)]


def told(quality: Quality) -> str:
    """The distance and the other numbers of a model."""
    metrics = [f"{METRICS.get(name, name)} {value:.4g}" for name, value in quality["metrics"].items()]
    return ", ".join([f"distance {quality['distance']:.3g}", *metrics])


def _what_to_do(of: LeaveOneOut) -> str:
    if of["all"]["distance"] <= LITTLE:
        return (
            f"Nothing breaks: with every activation in 8 bits, one range a tensor, the model stays close to float32 "
            f"({told(of['all'])}). The recipe w8a8 will do."
        )
    best = min(remedy["quality"]["distance"] for remedy in of["remedies"])
    # of what is about as good, 8 bits run faster than 16
    order = ("w8a8", "w8a8-peg", "w8a8-mixed")
    good = [remedy for remedy in of["remedies"] if remedy["quality"]["distance"] <= max(NEAR * best, LITTLE)]
    chosen = min(good, key=lambda remedy: order.index(remedy["recipe"]))
    start = f"Every activation in 8 bits, one range a tensor, moves the answers: {told(of['all'])}. "
    if chosen["recipe"] == "w8a8":
        return start + "Neither 16 bits nor groups of dimensions in the feed-forward layers help; train (finetune)."
    after = f"{chosen['recipe']} ({REMEDIES[chosen['recipe']]}): {told(chosen['quality'])}."
    helped = 1 - chosen["quality"]["distance"] / of["all"]["distance"]
    others = [remedy for remedy in of["remedies"] if remedy["recipe"] not in ("w8a8", chosen["recipe"])]
    beside = "".join(f" With {other['recipe']}: {told(other['quality'])}." for other in others)
    if helped < CULPRIT:
        return f"{start}Presets help little: {after}{beside} Round activations per token (int8), or train (finetune)."
    return f"{start}Take the recipe {after}{beside}"


def _cause(of: LeaveOneOut) -> str:
    if of["all"]["distance"] <= LITTLE:
        return "So there is no family of activations to blame; the table below still says which of them moves the most."
    best = max(of["families"], key=lambda family: family["recovered"])
    letter = f" ({best['letter']} in the paper)" if best["letter"] else ""
    if best["recovered"] < CULPRIT:
        return (
            f"No family of activations is the cause by itself: without rounding {best['family']}{letter}, the best of "
            f"them to leave out, {max(best['recovered'], 0):.0%} of the distance go away."
        )
    next_ones = [one for one in of["families"] if one is not best and one["recovered"] >= CULPRIT]
    others = "".join(f"; {one['family']}: {max(one['recovered'], 0):.0%}" for one in [*next_ones, *of["unions"]])
    return (
        f"The cause is {best['family']}{letter}: leave these {best['points']} of {_points(of)} activations as "
        f"they are, round all others, and {best['recovered']:.0%} of the distance go away{others}."
    )


def _points(of: LeaveOneOut) -> int:
    return sum(family["points"] for family in of["families"])


def _outliers(document: Analysis) -> list[str]:
    points = [point for point in document["points"] if point["outliers"]]
    if not points:
        return ["No activation has a value more than 6 standard deviations from its mean."]
    farthest = max(points, key=lambda point: point["farthest"])
    found = [
        f"{len(points)} of {len(document['points'])} activations have outliers, values more than 6 standard deviations "
        f"from the mean. The farthest are in {farthest['name']}: {farthest['farthest']:.0f} standard deviations, "
        f"{min(farthest['low']):.4g} to {max(farthest['high']):.4g}, {farthest['share']:.2%} of its values."
    ]
    if residual := document["residual"]:
        total = sum(one["outliers"] for one in residual)
        first = residual[:NAMED]
        layers = {one["dimension"]: len(one["layers"]) for one in first}
        count = len(
            {point["name"].split(".")[1] for point in document["points"] if point["name"].startswith("layers.")}
        )
        found.append(
            f"Around the feed-forward layers (x, h, y) {len(residual)} of {_width(document)} dimensions have any; "
            f"{_listed([str(one['dimension']) for one in first])} have "
            f"{sum(one['outliers'] for one in first) / total:.0%} of them, in "
            f"{_listed([str(layers[one['dimension']]) for one in first])} of {count} layers."
        )
    if sentence := _tokens(document):
        found.append(sentence)
    return found


def _width(document: Analysis) -> int:
    """Of the embedding axis."""
    return next(point["width"] for point in document["points"] if point["name"] == "embeddings.output")


def _tokens(document: Analysis) -> str | None:
    """Where the farthest of the sums has its outliers."""
    sums = [point for point in document["points"] if point["name"].endswith(".ffn_sum") and point["outliers"]]
    if not sums:
        return None
    point = max(sums, key=lambda point: point["farthest"])
    dimension, token = point["dimensions"][0], point["tokens"][0]
    return (
        f"In {point['name']}, the farthest of the sums ({point['farthest']:.0f} standard deviations), dimension "
        f"{dimension['dimension']} has {dimension['outliers'] / point['outliers']:.0%} of the outliers, and "
        f"{token['outliers'] / point['outliers']:.0%} are at the token {token['token']}, which is "
        f"{token['read'] / document['tokens']:.0%} of what was read."
    )


def _weights(document: Analysis) -> list[str]:
    found = []
    measured = [(one, one["measured"]) for one in document["sizes"] if one["measured"]]
    good = [(one, quality) for one, quality in measured if quality["distance"] <= LITTLE]
    if good:
        one, quality = min(good, key=lambda pair: pair[0]["bytes"])
        found.append(f"Of the presets for weights, {_size(one)} is the smallest that changes little: {told(quality)}.")
    elif measured:
        one, quality = min(measured, key=lambda pair: pair[1]["distance"])
        found.append(f"Every preset for weights changes the answers; {_size(one)} does so least: {told(quality)}.")
    if blocks := document["blocks"]:
        bits = min(blocks[0]["lost"], key=int)
        worst = sorted(blocks, key=lambda block: -block["lost"][bits])[:3]
        names = _listed([f"{block['block']} ({block['lost'][bits]:.3g})" for block in worst])
        found.append(f"Weights of {bits} bits hurt most in {names}: give these more bits, or train them.")
    return found


def _size(one: Size) -> str:
    return f"{one['name']} ({one['bits']:.3g} bits a weight)"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
