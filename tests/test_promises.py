"""Nothing tells people to install subbyte from an index that does not have it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from subbyte import errors

ROOT = Path(__file__).parents[1]
PROMISE = re.compile(r"""(pip3?|pipx|uv|uvx|poetry|conda)( pip)? (install|add|run)\b([ ]-[\w-]+)* ['"]?subbyte\b""")
READ = (".py", ".md", ".toml", ".html", ".txt", ".hpp", ".cpp")


def pages() -> Iterator[Path]:
    """What people read of the repository."""
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "pyproject.toml"))
    for folder in ("src", "docs", "examples"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in READ and path.is_file())


def test_no_page_and_no_sentence_promises_an_index() -> None:
    found = [f"{path}: {match[0]}" for path in pages() for match in PROMISE.finditer(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "text",
    ["pip install subbyte", 'pip install "subbyte[finetune]"', "pip install -U 'subbyte[bench]'", "uv add subbyte"],
)
def test_a_promise_is_seen(text: str) -> None:
    assert PROMISE.search(text)
    assert not PROMISE.search(text.replace("subbyte", "."))


def test_the_sentence_for_what_is_missing() -> None:
    assert errors.missing_packages(["torch"], "finetune") == (
        'torch is not installed; in a checkout of subbyte: pip install ".[finetune]"'
    )
    assert errors.missing_packages(["a", "b"], "bench", "converting") == (
        'converting needs a and b, which are not installed; in a checkout of subbyte: pip install ".[bench]"'
    )


def test_the_extras_that_sentences_name_are_there() -> None:
    import tomllib

    extra = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {
        match[1]
        for path in (ROOT / "src").rglob("*.py")
        for match in re.finditer(
            r"""(?:missing_packages|install_command)\([^\n]*?"(\w+)"(?:, purpose)?\)""", path.read_text("utf-8")
        )
    }
    assert named == {"bench", "download", "finetune"} and named <= extra.keys()
