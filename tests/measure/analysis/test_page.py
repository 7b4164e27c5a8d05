"""The page: well formed, whole by itself, every text in it escaped."""

from __future__ import annotations

import copy
import re
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest

import subbyte
from builders.planted_bert import LAYERS, OUTLIERS, planted, texts
from subbyte.measure.analysis import svg
from subbyte.measure.analysis.page import STYLE, page

VOID = ("meta",)


class Structure(HTMLParser):
    """Open elements, what was wrong with them, attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "texts.txt").write_text("".join(f"{line}\n" for line in texts(15)), "utf-8")
    return subbyte.analyze(planted(folder / "model"), folder / "texts.txt", threads=1)


def test_is_well_formed_and_says_what_was_found(document):
    found = Structure(page(document))
    assert found.faults == [] and found.open == []
    for sentence in document["findings"]:
        assert sentence in found.text
    assert found.tags.count("svg") == 6 and found.tags.count("h2") == 6 and ("class", "heat") in found.attributes


def test_begins_with_what_to_take_and_the_command_that_makes_it(document):
    found = Structure(page(document))
    command, headline = document["findings"][:2]
    before = found.text.partition(command)[0]
    assert headline in before and before.index(headline) < 1000 + len(STYLE)
    assert found.text.count(command) == found.text.count(headline) == 1
    assert found.tags.index("pre") < found.tags.index("h2")


def test_every_distance_has_its_noise_in_the_tables(document):
    found = Structure(page(document))
    tables = re.findall(r"<table>.*?</table>", page(document), re.DOTALL)
    (sizes,) = (one for one in tables if "Presets, the smallest first" in one)
    heads = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)", sizes)
    at = heads.index("±")
    assert heads[at - 1] == "distance" and {"times smaller", "keeps the answers"} <= {*heads}
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", sizes)
    assert len(rows) == len(document["sizes"])
    for row in rows:
        cells = re.findall(r"<td[^>]*>([^<]*)", row)
        assert float(cells[at - 1]) > 0 and float(cells[at - 2]) >= 0
    assert sum("±" in one for one in tables) == 4 and "nan" not in found.text


def test_every_axis_says_what_is_on_it(document):
    pictures = re.findall(r"<svg.*?</svg>", page(document), re.DOTALL)
    units = (f"distance: {document['distance']}", "range: greatest less least value", "dimension")
    assert all(any(f">{escape(unit)}" in picture for unit in units) for picture in pictures)


def test_the_heat_map_shows_the_planted_dimensions_though_they_do_not_vary(document):
    (heat,) = re.findall(r"<svg[^>]*><title>Range of each dimension.*?</svg>", page(document), re.DOTALL)
    widest = re.findall(r'fill-opacity="1.0" d="([^"]*)"', heat)[0]
    assert widest.count("M") == len(OUTLIERS) * len(LAYERS)
    assert {str(dimension) for dimension in OUTLIERS} <= {*re.findall(r'middle">(\d+)<', heat)}


def test_pictures_and_tables_have_names(document):
    found = Structure(page(document))
    assert found.tags.count("title") == found.tags.count("svg") + 1
    assert found.tags.count("figcaption") == found.tags.count("figure") == found.tags.count("svg")
    assert found.tags.count("caption") == found.tags.count("table") and ("lang", "en") in found.attributes


def test_needs_nothing_else_and_runs_nothing(document):
    text = page(document)
    found = Structure(text)
    assert not {"script", "link", "img", "iframe", "object"} & {*found.tags}
    assert not [name for name, _ in found.attributes if name in ("src", "href", "srcset") or name.startswith("on")]
    assert "url(" not in text and "http" not in text.replace("http-equiv", "") and "default-src 'none'" in text


def test_words_of_a_model_are_text(document):
    hostile = copy.deepcopy(document)
    evil = '</title><script>alert("1")</script>&amp;'
    hostile["model"] = hostile["data"] = evil
    for point in hostile["points"]:
        for one in point["tokens"]:
            one["token"] = evil
    hostile["findings"] = [evil]
    found = Structure(page(hostile))
    assert "script" not in found.tags and found.faults == [] and found.text.count(evil) > 5


def test_colours_are_those_of_the_reader(document):
    text = page(document)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style and "prefers-color-scheme: dark" in style[1] and "color-scheme: light dark" in style[1]
    assert not re.search(r'(fill|stroke)="#', text)


def test_a_heat_map_shades_what_is_wider_than_the_middle():
    values = np.ones((2, 10))
    values[1, 7] = 5
    shaded = re.findall(r'fill-opacity="([\d.]+)" d="(M[^"]+)"', svg.heat("t", ["a", "b"], values))
    assert len(shaded) == 1 and shaded[0][0] == "0.5" and shaded[0][1].count("M") == 1
    assert shaded[0][1].startswith(f"M{100 + 7 * 66:.1f} ")
