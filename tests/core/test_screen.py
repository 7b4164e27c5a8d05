"""What a screen finds is what the whole product says, whatever stands in the matrix; and so are translations."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import EVERY_KIND, TRANSLATION_PRESETS, quantized
from builders.tiny_student import tiny_student_folder
from subbyte import _core
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.numbers.arrays import Array
from subbyte.run.translation_engine import Engine

SUPPORTED = [name for name, runs, _ in _core.isas() if runs]
NONE = 2**32 - 1


@pytest.fixture(params=[name for name, *_ in _core.isas()])
def isa(request: pytest.FixtureRequest) -> str:
    if request.param not in SUPPORTED:
        pytest.skip(f"this machine has no {request.param}")
    return str(request.param)


def matrix(levels: Array, scale: Array | float = 0.01, zero: Array | None = None) -> _core.Matrix:
    """8-bit levels, a scale a row."""
    rows, cols = levels.shape
    scales = np.full((rows, 1), scale, np.float32) if isinstance(scale, float) else scale
    return _core.Matrix.packed(rows, cols, cols, [(8, levels.astype(np.int8), scales, None, None, zero)])


def clustered(rng: np.random.Generator, rows: int, cols: int) -> _core.Matrix:
    """Row clusters of 8, 6, 4 and 1 bits, half of the rows or more with those that are screened."""
    widths = (8, 4, 6, 1, 6)
    cluster = rng.permutation(np.arange(rows) % 5).astype(np.uint8)
    blocks = []
    for i, bits in enumerate(widths):
        n = int((cluster == i).sum())
        scale, zero = rng.uniform(0.001, 0.1, (n, 1)).astype(np.float32), rng.integers(-99, 99, (n, 1), np.int8)
        if bits == 8:
            levels = rng.integers(-127, 128, (n, cols), np.int8)
            levels[:, 0] = rng.choice([-100, 100], n)  # what lies in -8..7 would not run with 8 bits
            blocks.append((8, levels, scale, None, None, zero))
        else:
            planes = rng.integers(0, 256, (bits, n, (cols + 7) // 8), np.uint8)
            blocks.append((bits, planes, scale, rng.integers(-127, 128, 2**bits, np.int8), None, zero))
    return _core.Matrix.packed(rows, cols, cols, blocks, cluster)


def expected(w: _core.Matrix, x: Array, bias: Array, banned: list[int]) -> list[int]:
    logits = _core.linear(w, x, bias, isa="reference")
    logits[:, banned] = -np.inf
    return [int(row.argmax()) if np.isfinite(row).any() else NONE for row in logits]


def check(w: _core.Matrix, x: Array, bias: Array, banned: list[int], isa: str, threads: int = 1) -> int:
    """How many rows were read."""
    found = _core.greatest(w, x, bias, banned, isa=isa, threads=threads)
    assert found, "the screen does not know"
    assert found[0] == expected(w, x, bias, banned)
    return found[1]


def adversaries(rng: np.random.Generator, rows: int, cols: int) -> dict[str, tuple[_core.Matrix, Array]]:
    """Matrices with biases, made to mislead bounds and break ties."""
    levels = np.clip(np.rint(rng.standard_normal((rows, cols)) * 35), -127, 127)
    levels[:, 0] = rng.choice([-40, 40], rows)
    extreme = rng.choice([-127, 127], (rows, cols))
    scale = rng.uniform(1e-4, 1, (rows, 1)).astype(np.float16).astype(np.float32)
    scale[rng.integers(0, rows, rows // 4)] = 0
    zero = rng.integers(-127, 128, (rows, 1), np.int8)
    ties = levels[rng.integers(0, 3, rows)]
    near = np.clip(levels[:1] + rng.integers(-1, 2, (rows, cols)) * (rng.random((rows, cols)) < 2 / cols), -127, 127)
    no_row = rng.random((rows, 1)) < 0.7
    none, some = np.zeros(rows, np.float32), rng.standard_normal(rows).astype(np.float32)
    large = (some * np.where(rng.random(rows) < 0.1, 1e6, 1)).astype(np.float32)
    return {
        "random": (matrix(levels), some),
        "extreme": (matrix(extreme, zero=zero), none),
        "scales": (matrix(levels, scale), some),
        "zero points": (matrix(levels, scale, zero), some),
        "large bias": (matrix(levels), large),
        "all large": (matrix(levels, 1e-3), (1e6 + 0.06 * np.rint(some)).astype(np.float32)),
        "equal rows": (matrix(ties), none),
        "nearly equal rows": (matrix(near), none),
        "zero rows": (matrix(np.where(no_row, 99, levels), zero=(no_row * 99).astype(np.int8)), none - 1),
        "only zeros": (matrix(levels * 0 + 99, zero=np.full_like(zero, 99)), none),
        "clusters": (clustered(rng, rows, cols), some),
    }


KINDS = list(adversaries(np.random.default_rng(0), 7, 5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(7, 5), (16, 16), (65, 40), (71, 272)], ids=str)
def test_a_screen_finds_the_greatest(isa: str, kind: str, shape: tuple[int, int]) -> None:
    for seed in range(8):
        rng = np.random.default_rng([seed, *shape])
        w, bias = adversaries(rng, *shape)[kind]
        x = (rng.standard_normal((3, shape[1])) * rng.uniform(0.01, 30)).astype(np.float32)
        x[2] *= seed % 3 > 0  # zeros
        for banned in ([], expected(w, x, bias, []), list(range(1, shape[0]))):
            check(w, x, bias, banned, isa)


@given(st.integers(0, 2**32), st.sampled_from(KINDS), st.integers(5, 70), st.integers(1, 70), st.sampled_from([1, 2]))
@settings(max_examples=150, deadline=None)
def test_whatever_the_matrix(seed: int, kind: str, rows: int, cols: int, threads: int) -> None:
    rng = np.random.default_rng(seed)
    w, bias = adversaries(rng, rows, cols)[kind]
    x = (rng.standard_normal((2, cols)) ** rng.choice([1, 3]) * 10.0 ** rng.integers(-9, 9)).astype(np.float32)
    check(w, x, bias, [int(i) for i in rng.integers(0, rows, rng.integers(0, 3))], SUPPORTED[0], threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_few_rows_are_read(isa: str, threads: int) -> None:
    """Rows that point the way of x are found among many, and most others are never read."""
    rng = np.random.default_rng(1)
    levels = np.clip(np.rint(rng.standard_normal((9000, 64)) * 30), -127, 127)
    for row in (0, 4321, 8999):
        x = levels[row : row + 1].astype(np.float32) * 0.03
        assert 1 <= check(matrix(levels), x, np.zeros(9000, np.float32), [], isa, threads) < 900


def test_the_lowest_of_equals_is_chosen(isa: str) -> None:
    levels = np.full((40, 16), -100, np.int8)
    levels[[7, 20, 33]] = 100
    w, x, bias = matrix(levels), np.ones((1, 16), np.float32), np.zeros(40, np.float32)
    for banned, greatest in (([], 7), ([7], 20), ([7, 20], 33), ([7, 20, 33], 0), (list(range(40)), NONE)):
        assert _core.greatest(w, x, bias, banned, isa=isa)[0] == [greatest]


@pytest.mark.parametrize("beside", [False, True])
def test_ranges_of_rows_have_tables_of_their_own(isa: str, beside: bool) -> None:
    """Thousands of rows whose levels shrink and grow from range to range, in order or beside a cluster of 4 bits."""
    rng = np.random.default_rng(4)
    size = np.repeat([40.0, 12.0, 30.0], [600, 1000, 555])[:, None]
    rows, cols = len(size), 48
    levels = np.clip(np.rint(rng.standard_normal((rows, cols)) * size), -127, 127).astype(np.int8)
    scale = (rng.uniform(0.5, 1, size.shape) / size).astype(np.float32)
    zero = rng.integers(-9, 9, size.shape, np.int8)
    w = matrix(levels, scale, zero)
    if beside:
        cluster = (np.arange(rows) % 3 == 1).astype(np.uint8)
        n = int(cluster.sum())
        planes, table = rng.integers(0, 256, (4, n, cols // 8), np.uint8), rng.integers(-127, 128, 16, np.int8)
        first = (8, *(one[cluster == 0] for one in (levels, scale)), None, None, zero[cluster == 0])
        other = (4, planes, np.full((n, 1), 0.001, np.float32), table, None, np.zeros((n, 1), np.int8))
        w = _core.Matrix.packed(rows, cols, cols, [first, other], cluster)
    bias = rng.standard_normal(rows).astype(np.float32)
    assert check(w, rng.standard_normal((6, cols), np.float32), bias, [5, 2000], isa) < rows / 8


def test_bounds_cover_what_rounding_does(isa: str) -> None:
    """Beside a bias of 2^20 products keep steps of 1/8: what is above the middle of one becomes a tie with the best."""
    rng = np.random.default_rng(2)
    for scale in np.geomspace(2e-6, 2e-4, 60, dtype=np.float32):
        w = matrix(np.clip(np.rint(rng.standard_normal((60, 64)) * 35), -127, 127), float(scale))
        check(w, rng.standard_normal((4, 64), np.float32), np.full(60, 2.0**20, np.float32), [], isa)


def test_what_has_no_bounds_is_left_to_the_matrix() -> None:
    levels, bias = np.ones((20, 32), np.int8), np.zeros(20, np.float32)
    x = np.ones((1, 32), np.float32)
    planes = np.zeros((4, 20, 4), np.uint8)
    narrow = (4, planes, np.ones((20, 1), np.float32), np.arange(16, dtype=np.int8), None, None)
    grouped = (8, levels, np.ones((20, 2), np.float32), None, None, None)
    assert _core.greatest(_core.Matrix.dense(levels.astype(np.float32)), x, bias, []) is None
    assert _core.greatest(_core.Matrix.packed(20, 32, 32, [narrow]), x, bias, []) is None
    assert _core.greatest(_core.Matrix.packed(20, 32, 16, [grouped]), x, bias, []) is None
    for odd in (np.inf, -np.inf, np.nan, 2e30):
        assert _core.greatest(matrix(levels), x, np.append(bias[1:], np.float32(odd)), []) is None
        assert _core.greatest(matrix(levels, float(odd)), x, bias, []) is None
    assert _core.greatest(matrix(levels, 1e-30), x, bias, []) is None
    for large in (np.inf, 1e30):
        assert _core.greatest(matrix(levels), x * np.float32(large), bias, []) is None
    many = matrix(np.ones((2000, 32)) * 100)
    assert _core.greatest(many, x, np.zeros(2000, np.float32), []) is None, "all are candidates"


# Translations

TINY = {"marian": tiny_marian_folder, "student": tiny_student_folder}
WIDE = '[[tensors]]\nmatch = "*"\nfamily = "uniform"\nbits = 8\nmode = "affine"\n'
EVERY = EVERY_KIND.replace("ratio = 1.5", "ratio = 1")  # three of five clusters have more than 4 bits
MIXED = EVERY_KIND.replace("bits = 7", "bits = 6").replace("count = 5, ratio = 1.5", "count = 3, ratio = 1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp("screen") / name) for name, make in TINY.items()}


def screened(model: Model) -> bool:
    """Whether greedy search has a screen, by the bytes that it takes."""
    rounded, exact = (Engine(model, threads=1, activations=kind) for kind in ("int8", "float32"))
    return rounded.weight_bytes > exact.weight_bytes


@pytest.mark.parametrize("recipe", [None, "every kind", "wide", "mixed", *sorted(TRANSLATION_PRESETS)])
@pytest.mark.parametrize("name", TINY)
def test_translations_without_scores_have_the_same_tokens(
    folders: dict[str, Path], name: str, recipe: str | None
) -> None:
    texts = {"every kind": EVERY, "wide": WIDE, "mixed": MIXED}
    folder = folders[name]
    model = quantized(folder, texts.get(recipe, recipe)) if recipe else open_model(folder)
    if recipe in ("int8", *texts):
        assert screened(model)
    words = int(model.config["vocab_size"])
    rng = np.random.default_rng(0)
    sentences = [[*map(int, rng.integers(2, words - 1, rng.integers(1, 9))), 0] for _ in range(9)]
    reference = Engine(model, threads=1, isa="reference")
    search = replace(reference.generation(beam_size=1, max_length=12), max_length_factor=0.0)
    searches = [
        search,
        replace(search, min_length=6, forced_end=None),
        replace(search, min_length=12, banned=(*search.banned, 3, 4), renormalize=True, length_penalty=0.3),
        replace(search, max_length_factor=1.5, banned=(0, 1)),
    ]
    wanted = [[best.tokens for (best,) in reference.translate(sentences, search)] for search in searches]
    for isa in SUPPORTED:
        for threads in (1, 2):
            engine = Engine(model, threads=threads, isa=isa)
            for search, tokens in zip(searches, wanted, strict=True):
                for size in (1, 3, 9):
                    batches = [sentences[i : i + size] for i in range(0, 9, size)]
                    without = replace(search, scores=False)
                    found = [best for batch in batches for (best,) in engine.translate(batch, without)]
                    assert [best.tokens for best in found] == tokens
                    assert all(isnan(best.score) for best in found)


def test_scores_are_there_if_they_are_asked_for(folders: dict[str, Path]) -> None:
    engine = Engine(open_model(folders["marian"]), threads=1)
    sentence = [5, 9, 7, 0]
    for beams in (1, 3):
        search = engine.generation(beam_size=beams, num_hypotheses=beams, max_length=9)
        scored, plain = (engine.translate([sentence], replace(search, scores=scores))[0] for scores in (True, False))
        assert search.scores and all(h.score < 0 for h in scored)
        assert plain == [h._replace(score=nan) for h in scored]


def test_a_model_without_numbers_is_refused_without_scores_too(folders: dict[str, Path]) -> None:
    model = quantized(folders["student"], "int8")
    engine = Engine(model, threads=1)
    search = engine.generation(beam_size=1, scores=False)
    everything = tuple(range(int(model.config["vocab_size"])))
    with pytest.raises(Exception, match="no translation was found"):
        engine.translate([[5, 0]], replace(search, banned=everything, forced_end=None))
