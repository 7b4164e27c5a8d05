"""What a translation model loses with its weights in few bits: under presets, a block at a time, and at best."""

from collections.abc import Mapping, Sequence

import numpy as np

from subbyte.compress.calibration.translation import grams_of, readable
from subbyte.compress.rounding import under
from subbyte.compress.search.budget import blank_size, choice
from subbyte.compress.search.choosing import Cost, Option
from subbyte.compress.search.sensitivity import LARGEST, measure
from subbyte.compress.translation_agreement import LINE, LOST, counted
from subbyte.measure.analysis.document import Analysis, BlockEffect, Quality, Size, blank, short
from subbyte.measure.analysis.noise import Statistic
from subbyte.measure.analysis.presets import measured, size
from subbyte.measure.analysis.quality import quality
from subbyte.measure.analysis.texts import HALF, Texts
from subbyte.measure.analysis.weights import blocks_of, weights_of
from subbyte.metrics import chrf
from subbyte.models.model import Model
from subbyte.numbers.arrays import Array
from subbyte.numbers.schemes import Clustered, Normal, Scheme
from subbyte.progress import Progress, phase
from subbyte.run.likelihood import log_probabilities, translations
from subbyte.run.translation_engine import Engine
from subbyte.text.tokenizer import Tokenizer, load_tokenizer

SEARCHED = "normal4"  # the recipe of which --budget searches the widths of OFFERED
OFFERED: tuple[Scheme, ...] = (Normal(2), Normal(3), Normal(4), Normal(5), Normal(6))
BLOCK_BITS = (4, 3, 2)
AVERAGES = (5.0, 4.0, 3.0, 2.5)  # bits of a weight, headers and scales included, that a search spends


class TranslationJudge:
    """Compares models with a float32 one on lines of text: by its own translations, and by what they say themselves."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, sentences: Sequence[Sequence[int]], threads: int) -> None:
        """`engine` is that of the float32 model."""
        self.tokenizer, self.sentences, self.threads = tokenizer, sentences, threads
        self.targets = translations(engine, sentences)
        self.before = np.array(log_probabilities(engine, sentences, self.targets))
        self.lengths = np.array([len(target) for target in self.targets])

    def __call__(self, model: Model) -> Quality:
        """Of a model whose answers may differ."""
        engine = Engine(model, threads=self.threads)
        after = np.array(log_probabilities(engine, self.sentences, self.targets))
        losses = np.nan_to_num(self.before - after, nan=LARGEST, posinf=LARGEST, neginf=0.0).clip(-LARGEST, LARGEST)
        of_line = np.repeat(np.arange(len(self.lengths)), self.lengths)
        sure = counted(self.before)
        nats, lost, tokens, before = (
            np.bincount(of_line, x, len(self.lengths)) for x in (losses, sure & (losses > LOST), sure, self.before)
        )
        said = translations(engine, self.sentences)
        pairs = zip(map(self._text, said), map(self._text, self.targets), strict=True)
        of_lines = np.array([chrf([text], [wanted]) for text, wanted in pairs])

        def a_token(x: Array, tokens: Array) -> Statistic:
            return lambda of: float(x[of].sum() / max(tokens[of].sum(), 1))

        def perplexity(of: Array) -> float:
            return float(np.exp(min((nats[of] - before[of]).sum() / self.lengths[of].sum(), LARGEST)))

        return quality(
            nats / self.lengths.mean(),  # so that their mean is that of all tokens
            {"lost": a_token(lost, tokens), "chrf": lambda of: float(of_lines[of].mean()), "perplexity": perplexity},
            shares={"lost": int(tokens.sum())},
            gains={},
            distance=a_token(nats, self.lengths),
        )

    def _text(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids)[:LINE]


def analyzed(model: Model, texts: Texts, threads: int, progress: Progress | None = None) -> Analysis:
    """A float32 translation model, calibrated on every second line and judged on the others."""
    tokenizer = load_tokenizer(model.folder, model.config)
    engine = Engine(model, activations="float32", threads=threads)
    sentences = readable(tokenizer, [text[0] for text in texts.texts], engine.max_positions)
    seen, held_out = sentences[::HALF], sentences[1::HALF]
    document = blank(model, "translation", texts, engine.isa, threads)
    document["calibrated"], document["judged"] = len(seen), len(held_out)
    document["tokens"] = sum(map(len, sentences))
    sums = grams_of(model, engine, seen, phase(progress, "reading"))
    judge = TranslationJudge(engine, tokenizer, held_out, threads)
    document["sizes"], document["left_out"] = measured(
        model, lambda recipe, steps: under(recipe, model, grams=sums, progress=steps), judge, "translation",
        phase(progress, "presets"),
    )  # fmt: skip
    offered = dict.fromkeys(model.roles, OFFERED)
    costs = measure(model, held_out, sums, offered, progress=phase(progress, "matrices"), threads=threads).costs
    blocks = document["blocks"]
    for block, names in blocks_of(model).items():
        of_block = [cost for name in names for cost in costs[name]]
        lost = {str(bits): short(sum(cost.loss(Normal(bits)) for cost in of_block)) for bits in BLOCK_BITS}
        blocks.append({"block": block, "weights": weights_of(model, names), "lost": lost, "noise": {}, "given": {}})
    document["sizes"] += _searched(model, costs, blocks)
    return document


def _searched(model: Model, costs: Mapping[str, Sequence[Cost]], blocks: Sequence[BlockEffect]) -> list[Size]:
    """What a search with the costs would choose at AVERAGES; notes in `blocks` which bits each of them gets."""
    schemes = dict.fromkeys(model.roles, OFFERED)
    grouped, found = blocks_of(model), []
    for average in AVERAGES:
        limit = int(average * model.parameters / 8)
        chosen = choice(model, schemes, costs, limit)
        count = blank_size(model, {name: option.scheme for name, option in chosen.items()})
        if count > limit:  # there is nothing so small
            continue
        expected = short(sum(option.loss for option in chosen.values()))
        found.append(size(f"--recipe {SEARCHED} --budget {average:g}bits", model, count) | {"expected": expected})
        for block in blocks:
            names = grouped[block["block"]]
            bits = sum(_bits(chosen[name]) * weights_of(model, [name]) for name in names) / block["weights"]
            block["given"][f"{average:g}"] = round(bits, 2)
    return found


def _bits(option: Option) -> float:
    """Of a weight, on the average over its clusters, where more than one scheme is chosen for the rows."""
    scheme = option.scheme
    if not isinstance(scheme, Clustered):
        return scheme.bits
    shares = np.array(scheme.clusters.sizes(1 << 20), float) / (1 << 20)
    return float(shares @ [one.bits for one in scheme.schemes])
