"""Marian's binary file: read whole, or refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from builders.tiny_student import (
    FLOAT16,
    FLOAT32,
    INTGEMM8,
    MODEL,
    marian_file,
    tiny_student,
    tiny_student_folder,
    write_student,
)
from subbyte.errors import ModelError
from subbyte.folders.bergamot.model_file import floats, parse_items
from subbyte.folders.opening import open_model

# The container


SMALL = {"dim_emb": "4", "transformer_heads": "2", "transformer_dim_ffn": "4", "enc_depth": "1", "dec_depth": "1"}


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    """The file of a student of some kilobytes."""
    return np.frombuffer(marian_file(tiny_student(**SMALL)[0], alignment=4), np.uint8)


@pytest.mark.parametrize("alignment", [4, 256])
def test_a_file_is_read_whole(alignment: int) -> None:
    tensors, values = tiny_student(**SMALL)
    data = np.frombuffer(marian_file(tensors, alignment), np.uint8)
    items = parse_items(data, "file")
    assert items.keys() == tensors.keys()
    for name, item in items.items():
        assert (item.type, item.shape) == tensors[name][:2]
        assert item.data.tobytes().startswith(tensors[name][2])
        assert data[item.start : item.start + item.data.size].tobytes() == item.data.tobytes()
    assert np.array_equal(floats(items["encoder_l1_self_bq"], ""), values["encoder_l1_self_bq"].ravel())


def test_every_truncation_is_refused(small: np.ndarray) -> None:
    for size in range(small.size):
        with pytest.raises(ModelError):
            parse_items(small[:size], "file")
    with pytest.raises(ModelError, match="left in the file"):
        parse_items(np.append(small, np.uint8(0)), "file")


def test_every_number_is_bounded_by_the_file(tmp_path: Path, small: np.ndarray) -> None:
    """Each number of the header, made something else: an error, or another type or shape for the same bytes."""
    folder = write_student(tmp_path / "m", {}, shortlist=False)
    data = small.tobytes()
    count = struct.unpack_from("<Q", data, 8)[0]
    headers = struct.unpack_from(f"<{4 * count}Q", data, 16)
    shapes = 16 + 32 * count + sum(headers[::4])
    ranks = sum(headers[2::4])
    places = [("<Q", 8 * i) for i in range(2 + 4 * count)] + [("<i", shapes + 4 * i) for i in range(ranks)]
    places.append(("<Q", shapes + 4 * ranks))  # the padding
    original = parse_items(small, "file")
    for code, at in places:
        old = struct.unpack_from(code, data, at)[0]
        most = 2**64 - 1 if code == "<Q" else 2**31 - 1
        changed = {0, 1, 2, old - 1, old + 1, old * 256, most, most // 2 + 1, 2**42 + 1, FLOAT16, FLOAT32, INTGEMM8}
        for new in sorted(value for value in changed if value != old and 0 <= value <= most):
            corrupt = data[:at] + struct.pack(code, new) + data[at + struct.calcsize(code) :]
            try:
                items = parse_items(np.frombuffer(corrupt, np.uint8), "file")
            except ModelError:
                continue
            assert [(item.start, item.data.size) for item in items.values()] == [
                (item.start, item.data.size) for item in original.values()
            ]
            (folder / MODEL).write_bytes(corrupt)
            try:
                model = open_model(folder)
            except ModelError:
                continue
            assert all(np.isfinite(tensor).all() for tensor in model.tensors.values()), (at, old, new)


def test_a_large_number_of_tensors_is_refused() -> None:
    for count in (0, 2**16 + 1, 2**64 - 1):
        with pytest.raises(ModelError, match="announces"):
            parse_items(np.frombuffer(struct.pack("<QQ", 1, count) + bytes(100), np.uint8), "file")
    with pytest.raises(ModelError, match="the headers take"):
        parse_items(np.frombuffer(struct.pack("<QQ", 1, 2**16) + bytes(100), np.uint8), "file")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"encoder_l1_self_bq\0", b"encoder_l1_self_bqq", "is not the name of a tensor"),
        (b"encoder_l1_self_bq\0", b"encoder_l1_self_b\xff\0", "is not the name of a tensor"),
        (b"encoder_l1_self_bq\0", b"encoder\0l1_self_bq\0", "is not the name of a tensor"),
        (b"encoder_l1_self_bq\0", b"encoder_l1_self_bk\0", r"names that are there twice: \['encoder_l1_self_bk'\]"),
    ],
)
def test_names_that_cannot_be_are_refused(small: np.ndarray, old: bytes, new: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_items(np.frombuffer(small.tobytes().replace(old, new), np.uint8), "file")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ((0x4102, (4, 4), bytes(36)), "is of type intgemm16"),
        ((0x9999, (4, 4), bytes(36)), "is of type 0x9999"),
        ((FLOAT32, (-4, -4), bytes(64)), r"is \[-4, -4\]"),
        ((FLOAT32, (4, 0), bytes(0)), r"is \[4, 0\]"),
        ((FLOAT32, (4, 4), bytes(64 + 256)), "takes 64 bytes, has 512"),
        ((INTGEMM8, (16, 16), bytes(256)), "takes 260 bytes, has 256"),
        ((FLOAT32, (2**30, 2**30, 2**30), bytes(256)), "takes 4,951,760,157,141,521,099,596,496,896 bytes"),
        ((FLOAT32, (1,) * 9, bytes(4)), "number 0 has 9 dimensions"),
    ],
)
def test_tensors_that_cannot_be_are_refused(stored: tuple[int, tuple[int, ...], bytes], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_items(np.frombuffer(marian_file({"encoder_l1_self_Wq": stored}), np.uint8), "file")


@pytest.mark.parametrize("data", [b"", b"\1", bytes(16), b"PK\3\4" + bytes(60), b'{"a": 1}' + bytes(60)])
def test_what_is_not_a_marian_file_is_refused(tmp_path: Path, data: bytes) -> None:
    folder = tiny_student_folder(tmp_path / "m")
    (folder / MODEL).write_bytes(data)
    with pytest.raises(ModelError, match="is not"):
        open_model(folder)
