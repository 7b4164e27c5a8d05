"""Drawing tokens: by which probabilities, among which tokens, and the same for a seed whatever is beside it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from test_recordings import recording

from builders.tiny_marian import tiny_marian_folder
from builders.tiny_student import tiny_student_folder
from subbyte.run.resident import instruction_sets
from subbyte.run.translation_engine import Engine
from subbyte.run.translator import Translator

SOURCE = [9, 17, 5, 0]
ISAS = [name for name, runs in instruction_sets() if runs]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(recording("opus").model, threads=1)


def probabilities(engine: Engine, temperature: float, top_k: int, top_p: float, prefix: tuple[int, ...]) -> np.ndarray:
    """Of the token after the prefix, in float64, as transformers' warpers have it."""
    search = engine.generation()
    logits = engine.logits(SOURCE, [search.start, *prefix])[-1].astype(np.float64)
    logits[list(search.banned)] = -np.inf
    logits /= temperature
    if top_k:
        logits[logits < np.sort(logits)[-top_k]] = -np.inf
    order = np.argsort(logits)
    p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    p[order[np.cumsum(p[order]) <= 1 - top_p]] = 0
    return np.asarray(p / p.sum())


@pytest.mark.parametrize(
    "temperature, top_k, top_p",
    [(1.0, 0, 1.0), (2.5, 0, 1.0), (0.6, 0, 1.0), (3.0, 7, 1.0), (3.0, 0, 0.6), (2.0, 20, 0.8)],
)
@pytest.mark.parametrize("prefix", [(), (15, 36)])
def test_tokens_are_drawn_by_their_probabilities(
    engine: Engine, temperature: float, top_k: int, top_p: float, prefix: tuple[int, ...]
) -> None:
    """A chi-square test of 5,120 draws; the draws of a seed are always the same, so it passes or it does not."""
    expected = probabilities(engine, temperature, top_k, top_p, prefix)
    search = engine.generation(
        beam_size=1, num_hypotheses=256, do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p, seed=1,
        prefix=prefix, max_new_tokens=2,
    )  # fmt: skip
    found = engine.translate([SOURCE] * 20, search)
    counts = Counter((h.tokens[len(prefix) :] or [0])[0] for hypotheses in found for h in hypotheses)
    assert all(expected[token] > 0 for token in counts)
    likely = [token for token in range(len(expected)) if expected[token] * 5120 >= 5]
    rest = 1 - expected[likely].sum()
    observed = np.array([*(counts[token] for token in likely), 5120 - sum(counts[token] for token in likely)])
    wanted = 5120 * np.array([*expected[likely], rest])
    keep = wanted > 1
    statistic = ((observed - wanted)[keep] ** 2 / wanted[keep]).sum()
    freedom = keep.sum() - 1
    assert statistic < freedom + 4 * np.sqrt(2 * freedom) + 1e-9
    assert len(counts) > 1


def test_beams_are_drawn_without_putting_back(engine: Engine) -> None:
    """Of two beams, four are drawn and the two likeliest go on, as in transformers; the end is not among them."""
    search = engine.generation(
        beam_size=2, num_hypotheses=2, do_sample=True, top_k=0, temperature=1.5, seed=2, max_new_tokens=2, min_length=2
    )
    assert search.forced_end is not None  # it comes behind the first tokens, which are what was drawn
    found = engine.translate([SOURCE] * 3000, search)
    pairs = Counter(frozenset(hypothesis.tokens[0] for hypothesis in hypotheses) for hypotheses in found)
    assert all(len(pair) == 2 for pair in pairs) and len(pairs) > 20
    p = probabilities(engine, 1.5, 0, 1.0, ())
    p[search.end] = 0
    p /= p.sum()
    rng = np.random.default_rng(0)
    draws = (rng.choice(len(p), 4, replace=False, p=p) for _ in range(3000))
    wanted = Counter(frozenset(sorted(map(int, four), key=lambda token: p[token])[-2:]) for four in draws)
    for pair, count in wanted.most_common(5):
        assert abs(pairs[pair] - count) < 5 * np.sqrt(2 * count)


def test_what_is_drawn_belongs_to_seed_and_number(engine: Engine) -> None:
    sources = recording("opus").sources
    for beam_size in (1, 3):
        search = engine.generation(beam_size=beam_size, num_hypotheses=2, do_sample=True, temperature=2.0, seed=7)
        found = engine.translate(sources, search, range(100, 100 + len(sources)))
        for number, source in reversed([*enumerate(sources)]):
            assert engine.translate([source], search, [100 + number]) == [found[number]]
        assert engine.translate(sources, search) != found
        other = engine.generation(beam_size=beam_size, num_hypotheses=2, do_sample=True, temperature=2.0, seed=8)
        assert engine.translate(sources, other, range(100, 100 + len(sources))) != found


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("student", [False, True])
def test_a_seed_gives_the_same_text_everywhere(tmp_path: Path, isa: str, student: bool) -> None:
    folder = tiny_student_folder(tmp_path / "m") if student else tiny_marian_folder(tmp_path / "m", languages=())
    texts = ["a dog runs in the park", "", "two men", "a dog runs in the park", " ", "a"] * 3
    plain = Translator.from_pretrained(folder, isa="reference", threads=1)
    it = Translator.from_pretrained(folder, isa=isa, threads=2)
    options = {"do_sample": True, "temperature": 1.5, "max_length": 20}
    for beam_size in (1, 3):
        expected = plain.translate(texts, beam_size=beam_size, seed=3, batch_size=1, **options)  # type: ignore[arg-type]
        for size in (2, 5, 32):
            assert it.translate(texts, beam_size=beam_size, seed=3, batch_size=size, **options) == expected  # type: ignore[arg-type]
        assert expected[0] != expected[3]  # the same text, another number
        document = plain.translate_document("\n".join(texts), beam_size=beam_size, batch_size=1, **options)  # type: ignore[arg-type]
        for size in (2, 5, 32):
            assert it.translate_document("\n".join(texts), beam_size=beam_size, batch_size=size, **options) == document  # type: ignore[arg-type]


def test_scores_of_draws_are_what_the_model_says(engine: Engine) -> None:
    """Whatever the temperature was, and with whatever penalty they were drawn."""
    options = {"do_sample": True, "temperature": 2.0, "top_k": 9, "repetition_penalty": 1.4}
    search = engine.generation(beam_size=1, num_hypotheses=4, length_penalty=0.0, max_length=20, **options)  # type: ignore[arg-type]
    (found,) = engine.translate([SOURCE], search)
    for hypothesis in found:
        if len(hypothesis.tokens) < 18:
            (logs,) = engine.score([SOURCE], [[*hypothesis.tokens, search.end]])
            assert hypothesis.score == pytest.approx(sum(logs), rel=1e-4)
    assert len({tuple(hypothesis.tokens) for hypothesis in found}) > 1
