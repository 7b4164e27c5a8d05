"""`force` replaces what subbyte wrote, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.tiny_packed import quantized
from subbyte.errors import SubbyteError, UsageError
from subbyte.folders import atomic
from subbyte.folders.atomic import new_file
from subbyte.folders.converted import saving
from subbyte.models.model import Model


@pytest.fixture
def model(tiny_folder: Path) -> Model:
    return quantized(tiny_folder, "int8")


@pytest.fixture
def out(model: Model, tmp_path: Path) -> Path:
    """Its folder."""
    saving.save(model, tmp_path / "out", report={})
    return tmp_path / "out"


def changed(out: Path) -> None:
    (out / "README.md").write_text("my own card")


def of_the_same_size(out: Path) -> None:
    (out / "report.json").write_bytes(b"#" * (out / "report.json").stat().st_size)


def linked(out: Path) -> None:
    (out / "config.json").rename(out.parent / "config.json")
    (out / "config.json").symlink_to(out.parent / "config.json")


def unlisted(out: Path) -> None:
    for i in range(5):
        (out / f".note{i}").write_text("mine")


def nested(out: Path) -> None:
    (out / "mine").mkdir()


def without_manifest(out: Path) -> None:
    (out / "manifest.json").unlink()


def of_another_program(out: Path) -> None:
    (out / "manifest.json").write_text('{"files": {"config.json": {}}}')


@pytest.mark.parametrize(
    "change, named",
    [
        (changed, "README.md (changed);"),
        (of_the_same_size, "report.json (changed);"),
        (linked, "config.json;"),
        (unlisted, ".note0, .note1, .note2 and 2 more;"),
        (nested, "mine;"),
        (without_manifest, "README.md, config.json, generation_config.json and "),
        (of_another_program, "README.md, config.json, generation_config.json and "),
    ],
)
def test_what_we_did_not_write_is_never_replaced(model: Model, out: Path, change: Callable[..., None], named: str):
    change(out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(UsageError, match=re.escape(f"holds what subbyte did not write there: {named}")):
        saving.save(model, out, report={}, force=True)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    assert not [*out.parent.glob(".out*")]


@pytest.mark.parametrize("force", [False, True])
def test_what_comes_while_we_work_is_not_replaced(model: Model, tmp_path: Path, force: bool) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="holds what" if force else "already exists"):
        with atomic.new_folder(out, force=force) as new:
            (new / "a").write_text("ours")
            out.mkdir()
            (out / "note").write_text("mine")
    assert (out / "note").exists() and not [*tmp_path.glob(".out*")]


@pytest.mark.parametrize("out", ["/proc/out", "/proc/new/deep/out", "/dev/null/out"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(model: Model, out: str) -> None:
    with pytest.raises(SubbyteError, match=f"{out}: cannot be written: "):
        saving.refuse_output(model.folder, Path(out), force=False)


def test_a_place_that_can_be_is_as_it_was(model: Model, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    saving.refuse_output(model.folder, tmp_path / "new" / "deep" / "out", force=False)
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_is_replaced_by_force_if_it_is_ours(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for content, force, refusal in [
        (b"first", False, ""),
        (b"second", False, "already exists"),
        (b"second", True, ""),
        (b"third", True, "was not written by this command"),
    ]:
        before = out.read_bytes() if out.exists() else b""

        def ours(path: Path) -> bool:
            return path.read_bytes() == b"first"

        if refusal:
            with pytest.raises(UsageError, match=refusal), new_file(out, force=force, ours=ours) as file:
                file.write(content)
        else:
            with new_file(out, force=force, ours=ours) as file:
                file.write(content)
        assert out.read_bytes() == (before if refusal else content)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_that_comes_while_we_work_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="already exists"), new_file(tmp_path / "out") as file:
        file.write(b"ours")
        (tmp_path / "out").write_text("mine")
    assert (tmp_path / "out").read_text() == "mine" and len([*tmp_path.iterdir()]) == 1


@pytest.mark.parametrize("out", ["/proc/out", "/dev/null/out"])
def test_a_file_that_cannot_be_written(out: str) -> None:
    with pytest.raises(SubbyteError, match=f"{out}: cannot be written: "), new_file(Path(out)):
        pytest.fail("it was opened")
