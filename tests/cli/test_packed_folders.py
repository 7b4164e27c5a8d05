"""Every command that takes a converted folder, on a packed one: what it prints is what it prints of the plain one."""

from __future__ import annotations

from pathlib import Path

import pytest

import subbyte
from builders.encoder_folders import classifier_folder, sentence_folder
from subbyte.folders.converted import loading, saving

TEXT = "a dog runs in the park .\ntwo men are here\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, compressed: Path) -> Path:
    """Texts, and under plain/ and packed/ the same three models; not to be changed."""
    home = tmp_path_factory.mktemp("packed")
    (home / "text").write_text(TEXT)
    (home / "labelled").write_text("label\tsentence\nbad\ta dog\ngood\ttwo men\n")
    (home / "similar").write_text(
        "score\tsentence1\tsentence2\n1.0\ta dog\ta dog runs\n0.2\ttwo men\tthe cat\n0.5\ta cat\ta dog\n"
    )
    (home / "recipe.toml").write_text('[[tensors]]\nmatch = "*"\nfamily = "uniform"\nbits = 4\n')
    for name, make in (("encoder", sentence_folder), ("classifier", classifier_folder)):
        subbyte.quantize(make(home / f"{name}-source"), home / "plain" / name, home / "recipe.toml", check=False)
    saving.save(loading.load(compressed), home / "plain" / "translator", report={})
    for name in ("encoder", "classifier", "translator"):
        saving.save(loading.load(home / "plain" / name), home / "packed" / name, report={}, packed=True)
    return home


@pytest.mark.parametrize(
    "arguments",
    [
        "translate {translator} {text} --threads 1",
        "translate {translator} {text} --document --threads 1",
        "score {translator} {text} {text} --threads 1",
        "evaluate {translator} --source {text} --reference {text} --threads 1 --json",
        "encode {encoder} {text} --threads 1",
        "evaluate {encoder} --task sts --data {similar} --threads 1 --json",
        "classify {classifier} {text} --all --threads 1",
        "evaluate {classifier} --task classification --data {labelled} --threads 1 --json",
    ],
)
def test_answers_are_those_of_the_plain_folder(run, home: Path, arguments: str) -> None:
    def printed(kind: str) -> object:
        models = {name: home / kind / name for name in ("translator", "encoder", "classifier")}
        files = {name: home / name for name in ("text", "labelled", "similar")}
        words = arguments.format(**models, **files).split()
        result = run(*words)
        assert result.code == 0, result.err
        if "--json" not in words:
            return result.out
        return result.json["metrics"]

    assert printed("packed") == printed("plain")


@pytest.mark.parametrize("name", ["translator", "encoder", "classifier"])
def test_inspect_and_bench_take_them(run, home: Path, name: str) -> None:
    result = run("inspect", home / "packed" / name, "--verify", "--json")
    files = [path.stat().st_size for path in (home / "packed" / name).iterdir()]
    assert result.json["folder_bytes"] == sum(files) and f"{len(files) - 1} files are as they were" in result.err
    assert result.json["weights_bytes"] < result.json["folder_bytes"]
    shown = run("inspect", home / "packed" / name).out
    assert f"{sum(files):,} bytes, all files; {8 * sum(files) / result.json['parameters']:.2f} bits per weight" in shown
    if name == "translator":
        result = run("bench", home / "packed" / name, "--text", home / "text", "--sentences", 1, "--rounds", 1,
                     "--batch-sizes", 1, "--beam-sizes", 1, "--tokens", 0)  # fmt: skip
        assert result.code == 0, result.err


def test_training_starts_from_one(run, home: Path, floats: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    text = home / "text"
    result = run(
        "finetune", floats, tmp_path / "out", "--recipe", "uniform4", "--source", text, "--target", text,
        "--valid-source", text, "--valid-target", text, "--start", home / "packed" / "translator",
        "--updates", 2, "--threads", 1,
    )  # fmt: skip
    assert result.code == 0, result.err
