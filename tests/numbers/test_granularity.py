from __future__ import annotations

import numpy as np
import pytest

from subbyte.errors import SchemeError
from subbyte.numbers.granularity import (
    Granularity,
    PerGroup,
    PerRow,
    PerTensor,
    RowClusters,
    clusters_from_plain,
    granularity_from_plain,
    granularity_to_plain,
    group_size,
    grouped,
)


@pytest.mark.parametrize(
    ("granularity", "shape"), [(PerTensor(), (1, 1, 192)), (PerRow(), (4, 1, 48)), (PerGroup(16), (4, 3, 16))]
)
def test_a_group_holds_neighbours_and_is_undone(granularity: Granularity, shape: tuple[int, ...]) -> None:
    w = np.arange(4 * 48, dtype=np.float32).reshape(4, 48)
    groups = grouped(w, granularity)
    assert groups.shape == shape
    assert (np.diff(groups, axis=-1) == 1).all()
    np.testing.assert_array_equal(groups.reshape(4, 48), w)


def test_a_group_that_does_not_fit_is_told_what_would() -> None:
    with pytest.raises(SchemeError, match=r"^96 columns do not divide into groups of 64; sizes that do: 16 32 48 96$"):
        group_size(PerGroup(64), 96)
    with pytest.raises(SchemeError, match='no size does; use granularity "row"'):
        group_size(PerGroup(16), 40)


@pytest.mark.parametrize("size", [0, -16, 8, 24, 16.0, "16", True])
def test_a_group_is_a_multiple_of_the_engines_columns(size: object) -> None:
    with pytest.raises(SchemeError, match="multiple of 16"):
        PerGroup(size)  # type: ignore[arg-type]


@pytest.mark.parametrize("granularity", [PerTensor(), PerRow(), PerGroup(64)])
def test_plain_data_and_back(granularity: Granularity) -> None:
    assert granularity_from_plain(granularity_to_plain(granularity)) == granularity


@pytest.mark.parametrize("plain", ["rows", 64, None, {}, {"group": 16, "row": 1}, {"size": 16}])
def test_plain_data_that_is_no_granularity(plain: object) -> None:
    with pytest.raises(SchemeError, match="granularity: expected"):
        granularity_from_plain(plain)


class TestRowClusters:
    @pytest.mark.parametrize(
        ("ratio", "sizes"),
        [
            (1, (8192, 8192, 8192, 8192)),
            (2, (2184, 4369, 8738, 17477)),
            (4, (385, 1542, 6168, 24673)),
            (8, (56, 448, 3584, 28680)),
        ],
    )
    def test_sizes_of_the_paper(self, ratio: float, sizes: tuple[int, ...]) -> None:
        assert RowClusters(4, ratio).sizes(32768) == sizes

    @pytest.mark.parametrize("rows", [4, 5, 20, 85, 1000])
    def test_sizes_cover_the_rows_and_none_is_empty(self, rows: int) -> None:
        sizes = RowClusters(4, 8).sizes(rows)
        assert sum(sizes) == rows and min(sizes) >= 1

    def test_too_few_rows(self) -> None:
        with pytest.raises(SchemeError, match="3 rows do not fill 4 clusters"):
            RowClusters(4, 2).sizes(3)

    def test_the_most_frequent_words_are_in_cluster_0(self) -> None:
        cluster = RowClusters(2, 2).assign(np.array([0, 7, 7, 1, 9, 0]))
        assert cluster.dtype == np.uint8
        np.testing.assert_array_equal(cluster, [1, 0, 1, 1, 0, 1])  # of the two 7s the earlier row

    def test_of_equal_counts_the_earlier_row_goes_first(self) -> None:
        cluster = RowClusters(2, 1).assign(np.arange(1000) % 10 == 0)
        behind = np.flatnonzero(np.arange(1000) % 10)  # cluster 0 has the 100 others and the first 400 of these
        np.testing.assert_array_equal(cluster[behind], np.repeat([0, 1], [400, 500]))

    @pytest.mark.parametrize(
        ("count", "ratio"), [(0, 1), (9, 1), ("4", 1), (True, 1), (4, 0.5), (4, float("nan")), (4, "2")]
    )
    def test_what_is_not_a_clustering(self, count: object, ratio: object) -> None:
        with pytest.raises(SchemeError, match="clusters"):
            RowClusters(count, ratio)  # type: ignore[arg-type]

    def test_plain_data(self) -> None:
        assert clusters_from_plain({"count": 4, "ratio": 2}) == RowClusters(4, 2)
        with pytest.raises(SchemeError, match="clusters: expected"):
            clusters_from_plain({"count": 4})
