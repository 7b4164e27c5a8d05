"""`help(subbyte)` is a page, and what it names is there."""

from __future__ import annotations

import importlib
import importlib.resources
import pkgutil
import pydoc
import re
import subprocess
import sys

import pytest

import subbyte

PAGE = 60  # lines


def page() -> str:
    """What help(subbyte) shows, without bold letters."""
    return pydoc.plain(pydoc.render_doc(subbyte))


def test_it_fits_on_one_page() -> None:
    assert len(page().splitlines()) <= PAGE
    assert max(map(len, page().splitlines())) <= 120


def test_it_names_every_public_name_and_nothing_else() -> None:
    listed = re.findall(r"^ {8}(\w+) {2,}\w", page(), re.MULTILINE)
    assert sorted(listed) == subbyte.__all__


def test_its_example_has_the_calls_that_there_are() -> None:
    for name, method in re.findall(r"subbyte\.(\w+)\.(\w+)\(", page()):
        assert callable(getattr(getattr(subbyte, name), method))
    assert "subbyte.quantize(" in page() and "translator.translate(" in page() and "encoder.encode(" in page()


@pytest.mark.parametrize("name", ["Translator", "Encoder", "Classifier"])
def test_help_of_a_class_says_shapes_errors_and_an_example(name: str) -> None:
    kind = getattr(subbyte, name)
    text = pydoc.plain(pydoc.render_doc(kind))
    for wanted in (
        "from_pretrained(folder)",
        "UsageError",
        "ModelError",
        "FormatError",
        "KernelError",
        ">>> ",
        "close()",
    ):
        assert wanted in kind.__doc__ and wanted in text
    assert "threads: 'int | None' = None" in text  # the signature of from_pretrained is its own


def test_everybody_but_pydoc_sees_the_whole_package() -> None:
    assert {*subbyte.__all__} <= {*dir(subbyte)}
    assert len([*pkgutil.iter_modules(subbyte.__path__)]) > 10
    assert importlib.resources.files("subbyte.compress.recipes").joinpath("presets").is_dir()
    assert importlib.import_module("subbyte.compress.recipes.recipe").presets()


def test_it_stays_cheap_and_can_be_reloaded() -> None:
    code = (
        "import sys, pydoc, importlib, subbyte; pydoc.render_doc(subbyte); assert 'numpy' not in sys.modules; "
        "importlib.reload(subbyte); from subbyte import *; assert quantize is subbyte.quantize"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_pydoc_as_a_program_shows_it_too() -> None:
    shown = subprocess.run([sys.executable, "-m", "pydoc", "subbyte"], capture_output=True, text=True, timeout=60)
    assert 30 < len(shown.stdout.splitlines()) <= PAGE
