"""README.md is true: its example runs, its commands and presets exist, its numbers are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from builders.tiny_marian import tiny_marian_folder
from subbyte.cli.app import app
from subbyte.compress.recipes.recipe import presets

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    tiny_marian_folder(tmp_path / "models" / "float32")  # where `subbyte demo --out models` leaves the real one
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", section("An example"), re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert "times smaller than float32" in capsys.readouterr().out


def test_the_commands_are_those_of_the_program():
    named = re.findall(r"^\| `subbyte (\w+)", section("Commands"), re.MULTILINE)
    assert named == [*typer.main.get_command(app).commands]  # type: ignore[attr-defined]


def test_every_preset_is_named():
    text = section("Commands")
    for first, last in re.findall(r"`(\w+)` \.\.\. `(\w+)`", text):
        text += " ".join(f"`{first[:-1]}{bits}`" for bits in range(int(last[-1]), int(first[-1]) + 1))
    assert {name for name in presets() if f"`{name}`" not in text} == set()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")], ids=lambda page: page.stem
)
def test_files_that_are_named_exist(page):
    named = re.findall(r"`((?:src|core|tests|docs|examples|studies|fuzz)/[\w/.]*|[A-Z]+\.md)`", page.read_text("utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")} - {"index.md"}
    assert {page for page in pages if f"`{page}`" not in index} == set()


@pytest.mark.parametrize("first", ["pip install . && subbyte demo", 'pip install ".[test]" && pytest'])
def test_the_two_commands_are_lines_of_their_own(first):
    assert f"\n{first}\n" in README


def test_nothing_is_left_to_be_filled_in():
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").rglob("*.md")]
    assert [page.name for page in pages if "@@" in page.read_text("utf-8")] == []
