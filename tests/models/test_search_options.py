"""The table of docs/search.md says of each search option what its declaration says."""

from __future__ import annotations

from pathlib import Path

import pytest

from subbyte.models.search_options import OPTIONS

PAGE = Path(__file__).parents[2] / "docs" / "search.md"


def rows() -> dict[str, list[str]]:
    """The table's rows, by the option's name in Python."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text("utf-8").splitlines()]
    return {row[1].strip("`"): row for row in cells if len(row) == 5}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_table_says_what_is_declared(name: str) -> None:
    flag, _, key, default, does = rows()[name]
    option = OPTIONS[name]
    assert flag == ("`--sample`, `--no-sample`" if name == "do_sample" else f"`--{name.replace('_', '-')}`")
    assert key == {None: "the same", "": ""}.get(option.key, f"`{option.key}`")
    assert (default, does) == (option.default, option.does)
