"""What a line of text is."""

from __future__ import annotations

import gzip
import io

import pytest

from subbyte.errors import UsageError
from subbyte.text.lines import LineReader, decode_lines, read_lines


@pytest.mark.parametrize(
    "data, lines",
    [
        (b"", []),
        (b"\n", [""]),
        (b" a\t", [" a\t"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\n\r\nb\r\n", ["a", "", "b"]),
        (b"a\rb\x0bc\x0cd\x1ce\xc2\x85f\xe2\x80\xa8g\n", ["a\rb\x0bc\x0cd\x1ce\x85f\u2028g"]),
        (b"\n\n\n", ["", "", ""]),
    ],
)
def test_only_a_line_feed_ends_a_line(tmp_path, data, lines):
    (tmp_path / "text").write_bytes(data)
    (tmp_path / "text.gz").write_bytes(gzip.compress(data))
    assert list(read_lines(tmp_path / "text")) == list(read_lines(tmp_path / "text.gz")) == lines


def test_bytes_that_are_not_utf_8_are_named():
    with pytest.raises(UsageError, match=r"here: line 3 is not UTF-8: byte 2 of it is 0xff"):
        list(decode_lines([b"a\n", b"b\n", b"c\xff\n"], "here"))


def test_a_packed_file_that_is_not(tmp_path):
    (tmp_path / "text.gz").write_bytes(b"plain text")
    with pytest.raises(UsageError, match=r"text\.gz: cannot be read: Not a gzipped file"):
        list(read_lines(tmp_path / "text.gz"))


def test_a_packed_file_that_was_cut_short(tmp_path):
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"plain text" * 100)[:-12])
    with pytest.raises(UsageError, match=r"text\.gz: cannot be read"):
        list(read_lines(tmp_path / "text.gz"))


def test_a_folder(tmp_path):
    with pytest.raises(UsageError, match="Is a directory"):
        list(read_lines(tmp_path))


def test_a_dash_is_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a dog\nthe cat\n")))
    assert [*LineReader("-")] == ["a dog\n", "the cat\n"]
