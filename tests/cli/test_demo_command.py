"""`subbyte demo`, with a tiny model in the place of the one that ships; `test_demo.py` runs the real one."""

from __future__ import annotations

import pytest
import sacrebleu

import subbyte.measure.demo

KEYS = ["float_model", "low_bit_model", "choice", "compression", "average_bits", "agreement_chrf", "tokens_per_second"]
KEYS += ["peak_rss_bytes", "sentences"]


@pytest.fixture(autouse=True)
def tiny_model_ships(monkeypatch, floats):
    monkeypatch.setattr(subbyte.measure.demo, "files", lambda _: floats.parent)
    monkeypatch.setattr(subbyte.measure.demo, "MODEL", floats.name)


def test_leaves_folders_that_other_commands_take(run, tmp_path):
    document = run("demo", "--out", tmp_path / "kept", "--json", "--threads", 1).json
    assert [*document] == KEYS
    assert document["float_model"] == str(tmp_path / "kept" / "float32")
    assert document["low_bit_model"] == str(tmp_path / "kept" / "low_bit")
    for folder in (document["float_model"], document["low_bit_model"]):
        assert run("translate", folder, stdin=b"A dog.\n").code == 0
    assert [*document["sentences"][0]] == ["source", "float32", "low_bit"]
    float32, low_bit = ([sentence[which] for sentence in document["sentences"]] for which in ("float32", "low_bit"))
    assert document["agreement_chrf"] == sacrebleu.corpus_chrf(low_bit, [float32]).score
    assert [*document["tokens_per_second"]] == ["float32", "low_bit"]


def test_folders_of_its_own_are_kept_unless_forced(run, tmp_path):
    assert run("demo", "--out", tmp_path / "kept").code == 0
    assert run("demo", "--out", tmp_path / "kept").code == 1
    assert run("demo", "--out", tmp_path / "kept", "--force").code == 0


def test_what_is_not_of_a_demonstration_is_not_replaced(run, tmp_path):
    folder = tmp_path / "kept" / "float32"
    assert run("demo", "--out", tmp_path / "kept").code == 0
    (folder / "manifest.json").unlink()  # as older versions left it
    assert run("demo", "--out", tmp_path / "kept", "--force").code == 0
    for name, named in (("notes.txt", "notes.txt;"), ("config.json", "config.json (changed);")):
        before = (folder / name).read_bytes() if (folder / name).exists() else None
        (folder / name).write_text("mine")
        for without in (False, True):
            if without:
                (folder / "manifest.json").rename(tmp_path / "manifest.json")
            result = run("demo", "--out", tmp_path / "kept", "--force")
            assert result.code == 1 and "holds what subbyte did not write there: " in result.err
            assert (named.removesuffix(" (changed);") if without else named) in result.err
            assert (folder / name).read_text() == "mine"
        (tmp_path / "manifest.json").rename(folder / "manifest.json")
        (folder / name).unlink() if before is None else (folder / name).write_bytes(before)


def test_uses_the_cache_again_and_again(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        result = run("demo")
        assert result.code == 0 and "times smaller than float32" in result.out
    assert (tmp_path / "subbyte" / "demo" / "low_bit" / "manifest.json").exists()
