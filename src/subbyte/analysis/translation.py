"""What a translation model loses with its weights in few bits: under presets, a block at a time, and at best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from subbyte.analysis.document import BlockEffect, Quality, Size, short
from subbyte.analysis.texts import THIRD, Texts
from subbyte.analysis.weights import PRESETS, blocks_of, size, weights_of, with_preset
from subbyte.bit_search import Cost, Option
from subbyte.budget import blank_size, choice
from subbyte.calibration import grams_of, readable
from subbyte.engine import Engine
from subbyte.likelihood import log_probabilities, translations
from subbyte.model import Model
from subbyte.progress import Progress, phase
from subbyte.schemes import Clustered, Normal, Scheme
from subbyte.sensitivity import LARGEST, measure
from subbyte.store import weights_size
from subbyte.tokenization import Tokenizer

OFFERED: tuple[Scheme, ...] = (Normal(2), Normal(3), Normal(4), Normal(5), Normal(6))
BLOCK_BITS = (4, 3, 2)
AVERAGES = (5.0, 4.0, 3.0, 2.5)  # bits of a weight, headers and scales included, that a search spends


def sizes_and_blocks(
    model: Model, tokenizer: Tokenizer, texts: Texts, threads: int | None, progress: Progress | None = None
) -> tuple[list[Size], list[BlockEffect], int]:
    """Of a float32 translation model; and the tokens that were read. Every third line is measured on."""
    engine = Engine(model, activations="float32", threads=threads)
    sentences = readable(tokenizer, [text[0] for text in texts.texts], engine.max_positions)
    seen = [ids for i, ids in enumerate(sentences) if i % THIRD != THIRD - 1]
    held_out = sentences[THIRD - 1 :: THIRD]

    sums = grams_of(model, engine, seen, phase(progress, "reading"))
    targets = translations(engine, held_out)
    before = np.array(log_probabilities(engine, held_out, targets))
    sizes: list[Size] = []
    for done, preset in enumerate(PRESETS, start=1):
        packed = with_preset(model, preset, sums)
        after = np.array(log_probabilities(Engine(packed, threads=threads), held_out, targets))
        measured = _quality(before, after)
        sizes.append(size(preset, model, weights_size(packed)) | {"measured": measured})
        if progress:
            progress("presets", done, len(PRESETS))
    offered = dict.fromkeys(model.roles, OFFERED)
    costs = measure(model, held_out, sums, offered, progress=phase(progress, "matrices"), threads=threads).costs
    blocks: list[BlockEffect] = []
    for block, names in blocks_of(model).items():
        of_block = [cost for name in names for cost in costs[name]]
        lost = {str(bits): short(sum(cost.loss(Normal(bits)) for cost in of_block)) for bits in BLOCK_BITS}
        blocks.append({"block": block, "weights": weights_of(model, names), "lost": lost, "given": {}})
    return [*sizes, *_searched(model, costs, blocks)], blocks, sum(map(len, sentences))


def _quality(before: np.ndarray, after: np.ndarray) -> Quality:
    losses = np.nan_to_num(before - after, nan=LARGEST, posinf=LARGEST, neginf=0.0).clip(-LARGEST, LARGEST)
    perplexity = float(np.exp(min(-before.mean() + losses.mean(), LARGEST)))
    return {"distance": short(max(float(losses.mean()), 0.0)), "metrics": {"perplexity": short(perplexity)}}


def _searched(model: Model, costs: Mapping[str, Sequence[Cost]], blocks: Sequence[BlockEffect]) -> list[Size]:
    """What a search with the costs would choose at AVERAGES; notes in `blocks` which bits each of them gets."""
    parameters = sum(int(np.prod(tensor.shape)) for tensor in model.tensors.values())
    schemes = dict.fromkeys(model.roles, OFFERED)
    grouped, found = blocks_of(model), []
    for average in AVERAGES:
        limit = int(average * parameters / 8)
        chosen = choice(model, schemes, costs, limit)
        count = blank_size(model, {name: option.scheme for name, option in chosen.items()})
        if count > limit:  # there is nothing so small
            continue
        expected = short(sum(option.loss for option in chosen.values()))
        found.append(size(f"--budget {average:g}bits", model, count) | {"expected": expected})
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
