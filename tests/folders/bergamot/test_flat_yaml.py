"""The YAML that Bergamot folders need, and no more."""

from __future__ import annotations

import pytest

from subbyte.errors import ModelError
from subbyte.folders.bergamot.flat_yaml import parse_flat_yaml


def test_flat_yaml() -> None:
    text = b"# a comment\na: 1\nb: \"two words\"\nc: ''\nd: []\ne: [x, 'y']\nf:\n  - x\n- y z\n\n---\n"
    text += b"g: v1 2021-04-28 00:28:35\n"
    found = parse_flat_yaml(text, "yml")
    assert found == {
        "a": "1",
        "b": "two words",
        "c": "",
        "d": [],
        "e": ["x", "y"],
        "f": ["x", "y z"],
        "g": "v1 2021-04-28 00:28:35",
    }


@pytest.mark.parametrize(
    "text",
    [
        b"a", b"- a", b"a: b\n  c: d", b"a: {b: c}", b"a: &x b", b"a: *x", b"a: !!python/object b", b"a: |\n  b",
        b"a: [b", b"a: 'b", b"a: \"b\\n\"", b"a: 1\na: 2", b"a: b: c", b"a: b # c", b"a: \xff", b"\0",
        b"a:\n  - {b: c}", b"a: b\n- c", b"a: [[b]]", b"<<: *x", b"? a",
    ],
)  # fmt: skip
def test_yaml_that_is_not_flat_is_refused(text: bytes) -> None:
    with pytest.raises(ModelError):
        parse_flat_yaml(text, "yml")
