from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from subbyte.compress.rounding import quantize_model
from subbyte.errors import SchemeError
from subbyte.models.model import Model, Role
from subbyte.numbers.granularity import PerGroup, PerRow, PerTensor, RowClusters
from subbyte.numbers.matrices import dequantize, quantize_matrix, sqnr_db
from subbyte.numbers.packed import Block, PackedMatrix
from subbyte.numbers.schemes import BinaryCoding, Clustered, Logarithmic, Uniform


def gaussian(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


def tiny_model() -> Model:
    tensors = {
        "embed.weight": gaussian(40, 32, 1),
        "fc.weight": gaussian(16, 32, 2),
        "fc.bias": gaussian(1, 16, 3)[0],
    }
    roles = {"embed.weight": Role("embedding", "shared"), "fc.weight": Role("feed_forward", "encoder", 0)}
    return Model("marian", "translate", {}, {}, tensors, roles, {"lm_head.weight": "embed.weight"}, Path())


def test_the_formula_of_a_block() -> None:
    """value = scale * (level[code] - zero), read from the planes by hand."""
    planes = np.array([[[0b0001]], [[0b0010]]], np.uint8)  # codes 1, 2, 0
    block = Block(2, planes, np.array([[0.5]], np.float16), (-3, -1, 1, 3), zero=np.array([[1]], np.int8))
    packed = PackedMatrix((1, 3), 3, (block,), None, {})
    np.testing.assert_array_equal(dequantize(packed), [[-1, 0, -2]])

    block = Block(2, planes, np.array([[0.5]], np.float16), alphas=np.array([[[5, 2]]], np.uint8))
    np.testing.assert_array_equal(dequantize(PackedMatrix((1, 3), 3, (block,), None, {})), [[1.5, -1.5, -3.5]])

    block = Block(8, np.array([[-127, 0, 3]], np.int8), np.array([[0.5]], np.float16))
    np.testing.assert_array_equal(dequantize(PackedMatrix((1, 3), 3, (block,), None, {})), [[-63.5, 0, 1.5]])


def test_groups_of_columns_have_their_own_scale() -> None:
    w = gaussian(3, 64) * np.repeat([1, 100], 32).astype(np.float32)
    packed = quantize_matrix(w, Uniform(8, PerGroup(32)))
    assert packed.group_size == 32 and packed.groups == 2
    assert packed.blocks[0].scale.shape == (3, 2)
    assert (packed.blocks[0].scale[:, 1] > 30 * packed.blocks[0].scale[:, 0]).all()
    assert sqnr_db(w[:, :32], quantize_matrix(w[:, :32], Uniform(8))) > 40


@pytest.mark.parametrize("granularity", [PerRow(), PerTensor(), PerGroup(16)])
def test_the_chunks_of_the_work_do_not_show(
    granularity: PerRow | PerTensor | PerGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = gaussian(10, 48)
    whole = dequantize(quantize_matrix(w, BinaryCoding(3, granularity)))
    monkeypatch.setattr("subbyte.numbers.matrices.CHUNK", 100)
    np.testing.assert_array_equal(dequantize(quantize_matrix(w, BinaryCoding(3, granularity))), whole)


class TestClusters:
    @pytest.mark.parametrize("granularity", [PerRow(), PerTensor(), PerGroup(16)])
    def test_each_cluster_is_a_matrix_of_its_own(self, granularity: PerRow | PerTensor | PerGroup) -> None:
        w = gaussian(30, 32)
        scheme = Clustered(BinaryCoding(4, granularity), RowClusters(4, 2))
        cluster = scheme.clusters.assign(np.random.default_rng(1).integers(0, 50, 30))
        packed = quantize_matrix(w, scheme, cluster)
        assert [block.bits for block in packed.blocks] == [4, 3, 2, 1]
        assert packed.cluster is not None
        np.testing.assert_array_equal(packed.cluster, cluster)
        back = dequantize(packed)
        for i, one in enumerate(scheme.schemes):
            np.testing.assert_array_equal(back[cluster == i], dequantize(quantize_matrix(w[cluster == i], one)))

    def test_without_frequencies_the_first_rows_are_the_most_frequent(self) -> None:
        packed = quantize_matrix(gaussian(30, 32), Clustered(Logarithmic(4), RowClusters(4, 2)))
        assert packed.cluster is not None
        np.testing.assert_array_equal(packed.cluster, np.repeat([0, 1, 2, 3], [2, 4, 8, 16]))
        assert packed.scheme["clusters"] == {"count": 4, "ratio": 2}

    def test_clusters_that_do_not_fit(self) -> None:
        with pytest.raises(SchemeError, match="expected a cluster below 2 for each of 30 rows"):
            quantize_matrix(gaussian(30, 32), Clustered(Uniform(4), RowClusters(2, 1)), np.full(30, 2, np.uint8))
        with pytest.raises(SchemeError, match="without any"):
            quantize_matrix(gaussian(30, 32), Uniform(4), np.zeros(30, np.uint8))


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(poison: float) -> None:
    model = tiny_model()
    np.asarray(model.tensors["fc.weight"])[3, 4] = poison
    with pytest.raises(SchemeError, match=r"^fc\.weight: 1 of 512 weights are not finite$"):
        quantize_model(model, {"fc.weight": Uniform(4)})


def test_signal_to_noise() -> None:
    w = gaussian(64, 512)
    assert sqnr_db(w, quantize_matrix(w, Uniform(8))) == pytest.approx(43.0, abs=0.5)
    assert sqnr_db(w, quantize_matrix(w, Uniform(1))) == pytest.approx(-10 * math.log10(1 - 2 / math.pi), abs=0.05)
    assert sqnr_db(np.zeros((2, 16)), quantize_matrix(np.zeros((2, 16), np.float32), Uniform(4))) == math.inf


class TestModel:
    def test_named_matrices_are_packed_and_all_else_passes_through(self) -> None:
        model = tiny_model()
        before = {name: np.array(tensor) for name, tensor in model.tensors.items()}
        steps: list[tuple[int, int | None]] = []
        packed = quantize_model(
            model, {"embed.weight": Uniform(4)}, progress=lambda done, total: steps.append((done, total))
        )
        assert isinstance(packed.tensors["embed.weight"], PackedMatrix)
        assert packed.tensors["fc.weight"] is model.tensors["fc.weight"]
        assert packed.tensors["fc.bias"] is model.tensors["fc.bias"]
        assert packed.aliases == model.aliases and packed.roles == model.roles
        assert steps == [(0, 1280), (1280, 1280)]
        for name, tensor in model.tensors.items():  # the model itself is as it was
            np.testing.assert_array_equal(tensor, before[name])

    def test_frequencies_choose_the_clusters(self) -> None:
        model = tiny_model()
        scheme = Clustered(BinaryCoding(3), RowClusters(3, 2))
        counts = np.random.default_rng(4).permutation(40)
        packed = quantize_model(model, {"embed.weight": scheme}, {"embed.weight": counts}).tensors["embed.weight"]
        assert isinstance(packed, PackedMatrix) and packed.cluster is not None
        np.testing.assert_array_equal(packed.cluster, scheme.clusters.assign(counts))

    def test_everything_that_does_not_fit_is_said_at_once(self) -> None:
        schemes = {
            "embed.weight": Clustered(Uniform(4), RowClusters(4, 1)),
            "fc.weight": Uniform(4, PerGroup(48)),
            "fc.bias": Uniform(4),
            "nowhere": Uniform(4),
        }
        with pytest.raises(SchemeError) as error:
            quantize_model(tiny_model(), schemes, {"embed.weight": np.ones(39)})
        assert str(error.value).splitlines() == [
            "embed.weight: 39 frequencies for 40 rows",
            "fc.weight: 32 columns do not divide into groups of 48; sizes that do: 16 32",
            "fc.bias: expected a float matrix, found a tensor that is none",
            "nowhere: expected a float matrix, found nothing",
        ]


def test_torch_is_not_needed() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from subbyte.numbers.matrices import quantize_matrix\n"
        "from subbyte.numbers.schemes import SCHEMES\n"
        "for kind in SCHEMES.values():\n"
        "    quantize_matrix(np.eye(16, dtype=np.float32), kind(bits=2))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
