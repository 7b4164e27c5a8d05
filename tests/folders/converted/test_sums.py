"""The sums in manifest.json."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.tiny_marian import edit_json
from subbyte.errors import FormatError
from subbyte.folders.converted import sums


def test_sums_are_verified(out: Path) -> None:
    (out / "notes.txt").write_text("extra files are tolerated")
    assert set(sums.verify(out)) >= {"config.json", "model.safetensors", "vocab.json", "README.md"}
    (out / "vocab.json").write_text("{}")
    (out / "source.spm").unlink()
    with pytest.raises(FormatError) as error:
        sums.verify(out)
    assert "vocab.json: is" in str(error.value) and "source.spm: the file is missing" in str(error.value)


@pytest.mark.parametrize("files", [None, {}, {"config.json": {}}, {"../config.json": {}, "config.json": 1}])
def test_sums_must_be_whole(out: Path, files: object) -> None:
    edit_json(out / "manifest.json", files=files)
    with pytest.raises(FormatError):
        sums.verify(out)
