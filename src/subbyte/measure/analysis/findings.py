"""What an analysis shows and what to do about it, in plain words. A function of the document."""

from subbyte.measure.analysis import advice, told
from subbyte.measure.analysis.advice import Measured, limit
from subbyte.measure.analysis.document import Analysis, LeaveOneOut, Quality
from subbyte.measure.analysis.keeping import LIMITS
from subbyte.measure.analysis.noise import Difference, difference
from subbyte.measure.analysis.told import listed, plus_minus

CULPRIT = 0.3  # share of the distance that a family must bring back to be named as the cause
NAMED = 5  # dimensions and tokens in a sentence

REMEDIES = {
    "w8a8": "every activation in 8 bits, one range a tensor",
    "w8a8-mixed": "16 bits for the input, the output and the sum of the feed-forward layers",
    "w8a8-peg": "8 bits, with six ranges of sorted dimensions at those places",
}


def findings(document: Analysis) -> list[str]:
    """The recommended command, and then sentences, the most important first."""
    found = []
    if document["recommended"]:
        found += [document["recommended"]["command"], headline(document), *_beside(document)]
    if document["leave_one_out"]:
        task, of = document["task"], document["leave_one_out"]
        found += [_activations(task, of), _cause(task, of), *_outliers(document)]
    return [*found, *_blocks(document)]


def headline(document: Analysis) -> str:
    """What is recommended, how much smaller it is, and how far from the float32 model."""
    one = advice.chosen(document)
    if one is None or document["recommended"] is None:
        return "No preset was measured."
    rule, name = limit(document), one.name
    figure = told.limited(rule, one.quality)
    where = f"on {document['judged']:,} texts that were not calibrated on"
    if not document["recommended"]["keeps"]:
        return (
            f"No preset that was measured keeps the answers of the float32 model; {name} is the smallest of the "
            f"closest ones, {told.smaller(one.size)}: {figure} ({where}). Train it (subbyte finetune)."
        )
    keeps = "keeps" if document["recommended"]["certain"] else "seems to keep"
    return f"{name} is {told.smaller(one.size)} and {keeps} the answers: {figure} ({where})."


def _beside(document: Analysis) -> list[str]:
    """What else is known of the recommended one, of those next to it, and of whether the text was enough."""
    one = advice.chosen(document)
    assert one
    found = [*_too_short(document, one), f"{one.name}: {told.quality(one.quality)}."]
    if document["recommended"] and document["recommended"]["keeps"]:
        found += [_step_up(document, one), *_step_down(document, one)]
    return [*found, *_ties(document)]


def _step_up(document: Analysis, one: Measured) -> str:
    larger = advice.step_up(document, one)
    if larger is None:
        return f"Nothing larger that was measured is closer to float32 than {one.name} by more than noise."
    return f"The next larger step is {larger.name}, {told.smaller(larger.size)}: {told.quality(larger.quality)}."


def _step_down(document: Analysis, one: Measured) -> list[str]:
    smaller = advice.step_down(document, one)
    if smaller is None:
        return []
    rule = limit(document)
    keeps = "may keep the answers or not" if rule.room(smaller.quality).tie else "does not keep the answers"
    return [
        f"The next smaller step, {smaller.name}, {told.smaller(smaller.size)}, {keeps}: "
        f"{told.limited(rule, smaller.quality)}."
    ]


def _too_short(document: Analysis, one: Measured) -> list[str]:
    """Where the noise is larger than what is to be known."""
    rule, found = limit(document), []
    open_ones = advice.undecided(document, one)
    if rule.room(one.quality).tie:
        open_ones = [one, *open_ones]
    count = advice.enough(document, open_ones)
    more = f"about {told.lines(count)} lines would" if count else "no text of a usual length would"
    if document["judged"] < advice.FEW:
        found.append(
            f"The text is too short to tell: {document['judged']} of its {document['texts']} lines were judged; {more}."
        )
    if open_ones:
        names = listed([other.name for other in open_ones])
        found.append(
            f"The noise of these texts reaches over the limit: whether {names} "
            f"{'keep' if len(open_ones) > 1 else 'keeps'} the answers they cannot tell; {more}."
        )
    return found


def _ties(document: Analysis) -> list[str]:
    """Presets of about the same size, compared."""
    found = []
    for group in advice.groups(document):
        if len(group) == 1:
            continue
        first, *others = sorted(group, key=lambda one: one.mean)
        tied = [other for other in others if other.over(first).tie]
        sentence = f"Of about {first.size['bits']:.2g} bits a weight, "
        if tied:
            differences = [_shown(other.over(first)) for other in tied]
            sentence += f"{listed([one.name for one in (first, *tied)])} tie: {listed(differences)} between them"
        else:
            sentence += f"{first.name} is the closest (distance {told.distance(first.quality)})"
        farther = [f"{other.name} by {_shown(other.over(first))}" for other in others if other not in tied]
        found.append(f"{sentence}{f'; farther are {listed(farther)}' if farther else ''}.")
    return found


def _shown(found: Difference) -> str:
    return plus_minus(found.by, found.noise)


def _activations(task: str, of: LeaveOneOut) -> str:
    """What happens to the activations in 8 bits, with float32 weights, and what helps."""
    plain = f"with float32 weights and every activation in 8 bits, one range a tensor: {told.quality(of['all'])}"
    if LIMITS[task].keeps(of["all"]):
        return f"No activation breaks the model, {plain}."
    helped = []
    for remedy in of["remedies"]:
        gain = _gain(of["all"], remedy["quality"])
        if remedy["recipe"] != "w8a8":
            does = "ties with that" if gain.tie else "is closer" if gain.by > 0 else "is farther"
            helped.append(
                f"{remedy['recipe']} ({REMEDIES[remedy['recipe']]}) {does}, by {_shown(gain)}: "
                f"distance {told.distance(remedy['quality'])}"
            )
    return f"Activations move the answers, {plain}. {'; '.join(helped)}{'.' if helped else ''}".rstrip()


def _gain(all_of_them: Quality, without: Quality) -> Difference:
    """What of the distance goes away."""
    return difference(all_of_them["by_text"], without["by_text"])


def _cause(task: str, of: LeaveOneOut) -> str:
    if LIMITS[task].keeps(of["all"]):
        return "So there is no family of activations to blame; the table below still says which of them moves the most."
    best = max(of["families"], key=lambda family: family["recovered"])
    letter = f" ({best['letter']} in the paper)" if best["letter"] else ""
    if best["recovered"] < CULPRIT or _gain(of["all"], best["but"]).tie:
        return (
            f"No family of activations is the cause by itself: without rounding {best['family']}{letter}, the best of "
            f"them to leave out, {max(best['recovered'], 0):.0%} of the distance go away "
            f"({_shown(_gain(of['all'], best['but']))})."
        )
    next_ones = [one for one in of["families"] if one is not best and one["recovered"] >= CULPRIT]
    others = "".join(f"; {one['family']}: {max(one['recovered'], 0):.0%}" for one in [*next_ones, *of["unions"]])
    points = sum(family["points"] for family in of["families"])
    return (
        f"The cause is {best['family']}{letter}: leave these {best['points']} of {points} activations as "
        f"they are, round all others, and {best['recovered']:.0%} of the distance go away{others}."
    )


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
        names = [point["name"] for point in document["points"]]
        count = len({name.split(".")[1] for name in names if name.startswith("layers.")})
        width = document["points"][names.index("embeddings.output")]["width"]  # of the embedding axis
        found.append(
            f"Around the feed-forward layers (x, h, y) {len(residual)} of {width} dimensions have any; "
            f"{listed([str(one['dimension']) for one in first])} have "
            f"{sum(one['outliers'] for one in first) / total:.0%} of them, in "
            f"{listed([str(len(one['layers'])) for one in first])} of {count} layers."
        )
    if sentence := _tokens(document):
        found.append(sentence)
    return found


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


def _blocks(document: Analysis) -> list[str]:
    blocks = document["blocks"]
    if not blocks:
        return []
    bits = min(blocks[0]["lost"], key=int)
    worst = sorted(blocks, key=lambda block: -block["lost"][bits])[:3]
    names = listed([f"{block['block']} ({told.lost(block, bits)})" for block in worst])
    return [f"Weights of {bits} bits hurt most in {names}: give these more bits, or train them."]
