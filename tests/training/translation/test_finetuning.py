"""Finetuning from folder to folder: what comes out, what is kept on the way, going on after a kill, and refusals."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

import subbyte  # noqa: E402
from builders.killing import KILLING  # noqa: E402
from builders.tiny_marian import edit_json, tiny_marian_folder  # noqa: E402
from builders.tiny_student import FLOAT32, tiny_student_folder  # noqa: E402
from subbyte.errors import ModelError, RecipeError, SchemeError, UsageError  # noqa: E402
from subbyte.training import job  # noqa: E402
from subbyte.training.translation import task  # noqa: E402

RECIPE = """
[[tensors]]
match = "*"
family = "uniform"
bits = 4
range = "minmax"
[[tensors]]
role = "embedding"
family = "uniform"
bits = 5
range = "minmax"
clusters = {count = 3, ratio = 2}
[finetune]
updates = 24
warmup = 4
learning_rate = 0.003
batch_tokens = 200
validate_every = 10
"""
OPENING = "import sys; sys.modules.update(torch=None, accelerate=None); import subbyte; "
OPENING += "print(subbyte.Translator.from_pretrained(sys.argv[1], threads=1).translate(['a dog runs'], beam_size=1)[0])"
KILLED = (
    KILLING
    + """
teacher, out, recipe, source, valid_target = sys.argv[1:]
job.finetune(teacher, out, recipe, source=source, valid_source=source, valid_target=valid_target, threads=1)
"""
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "mine.toml"
    path.write_text(RECIPE)
    return path


def run(teacher: Path, out: Path, recipe: Path, text: Path, **options: Any) -> Any:
    given = {"source": text / "en", "target": text / "de", "valid_source": text / "en", "valid_target": text / "de"}
    return job.finetune(teacher, out, recipe, **{**given, "threads": 1, **options})


def weights(out: Path) -> bytes:
    return (out / "model.safetensors").read_bytes()


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, teacher: Path, recipe: Path, text: Path) -> Path:
    """The folder of a run with references; not to be written to."""
    out = tmp_path_factory.mktemp("done") / "out"
    document = run(teacher, out, recipe, text)
    assert document == subbyte.inspect(out)
    return out


def test_the_folder_is_whole_and_runs_without_torch(done: Path) -> None:
    assert subbyte.folders.converted.sums.verify(done)
    found = subprocess.run([sys.executable, "-c", OPENING, done], capture_output=True, text=True, check=True)
    assert found.stdout.strip()
    assert (done / "README.md").read_text().count("base_model: teacher") == 1  # not the working folder's


def test_report_and_log_say_what_was_done(done: Path) -> None:
    report = json.loads((done / "report.json").read_text())
    assert all("[[tensors]] " in tensor["rule"] for tensor in report["tensors"].values())
    assert report["recipe"] == "mine" and report["seed"] == 0
    assert report["finetune"]["method"] == "straight_through" and report["finetune"]["updates"] == 24
    assert report["text"] == {"sentences": 80, "distilled": False}
    assert [one["update"] for one in report["validations"]] == [10, 20, 24]
    working = done.parent / "out.finetune"
    assert {path.name for path in working.iterdir()} == {"best", "log.jsonl", "run.json"}
    log = log_of(working)
    assert [line for line in log if "bleu" in line] == report["validations"]
    training = [line for line in log if "loss" in line]
    assert [line["update"] for line in training] == [10, 20, 24]
    assert all(line["loss"] > 0 and line["seconds"] >= 0 for line in training)
    assert training[-1]["loss"] < training[0]["loss"]
    best = json.loads((working / "best" / "report.json").read_text())["best"]
    assert best["bleu"] == max(one["bleu"] for one in report["validations"])
    assert weights(working / "best") == weights(done)


def test_it_learns_what_rounding_lost(teacher: Path, text: Path, tmp_path: Path) -> None:
    """Two bits a weight make nothing of a translation; some updates bring much of it back."""
    coarse = tmp_path / "coarse.toml"
    coarse.write_text('[[tensors]]\nmatch = "*"\nfamily = "uniform"\nmode = "midrise"\nbits = 2\n')
    subbyte.quantize(teacher, tmp_path / "plain", coarse, check=False)
    options = {"updates": 80, "warmup": 8, "learning_rate": 0.02, "batch_tokens": 300, "refit": 40, "dropout": False}
    run(
        teacher, tmp_path / "trained", coarse, text, **options, validate_every=80, distillation=0.0, label_smoothing=0.0
    )
    sources, targets = ((text / side).read_text("utf-8").splitlines() for side in ("en", "de"))
    plain, trained = (
        np.mean(subbyte.Translator.from_pretrained(tmp_path / name, threads=1).score(sources, targets, normalize=True))
        for name in ("plain", "trained")
    )
    assert trained > plain + 0.3  # nats a token


def test_the_same_seed_gives_the_same_bytes_and_packed_text_is_the_same_text(
    teacher: Path, text: Path, recipe: Path, done: Path, tmp_path: Path
) -> None:
    for side in ("en", "de"):
        (tmp_path / f"{side}.gz").write_bytes(gzip.compress((text / side).read_bytes()))
    run(teacher, tmp_path / "again", recipe, text, source=tmp_path / "en.gz", target=tmp_path / "de.gz")
    assert weights(tmp_path / "again") == weights(done)
    run(teacher, tmp_path / "other", recipe, text, seed=1)
    assert weights(tmp_path / "other") != weights(done)


def test_a_killed_run_goes_on_to_the_same_bytes_with_the_targets_it_had(
    teacher: Path, text: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without references: the teacher translates. The kill comes while the fourteenth checkpoint is written."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(teacher, whole, recipe, text, target=None)
    assert json.loads((whole / "report.json").read_text())["text"]["distilled"] is True
    arguments = [teacher, out, recipe, text / "en", text / "de"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    working = tmp_path / "out.finetune"
    assert not out.exists() and (working / "state.pt").exists()
    assert len(json.loads((working / "targets.json").read_text())) == 80

    with pytest.raises(UsageError, match="holds a run that was not finished; give --resume to go on, --force"):
        run(teacher, out, recipe, text, target=None)
    assert (working / "state.pt").exists()
    with pytest.raises(UsageError, match=r"holds a run with other settings \(finetune\); give the same ones to resume"):
        run(teacher, out, recipe, text, target=None, resume=True, updates=30)
    with pytest.raises(UsageError, match=r"other settings \(frequencies, seed\)"):
        run(teacher, out, recipe, text, target=None, resume=True, seed=4, frequencies=text / "en")
    other = tmp_path / "mine.toml"
    other.write_text(RECIPE.replace("bits = 5", "bits = 6"))
    with pytest.raises(UsageError, match=r"other settings \(recipe\)"):
        run(teacher, out, other, text, target=None, resume=True)

    monkeypatch.setattr(task, "translations", lambda *_: pytest.fail("the teacher was asked again"))
    steps: list[int] = []
    step = task.Trainer.step
    monkeypatch.setattr(task.Trainer, "step", lambda self: steps.append(self.update) or step(self))
    run(teacher, out, recipe, text, target=None, resume=True)
    assert steps == [*range(13, 24)]
    assert weights(out) == weights(whole)
    assert not (working / "state.pt").exists() and not (working / "targets.json").exists()


def test_words_of_the_targets_count_for_clusters(
    teacher: Path, text: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[bool, Any] = {}
    real = task.Trainer

    def noting(*arguments: Any, **options: Any) -> Any:
        found[len(found) == 1] = options["clusters"]
        return real(*arguments, **options)

    monkeypatch.setattr(task, "Trainer", noting)
    for name, target in (("a", None), ("b", text / "de")):
        run(teacher, tmp_path / name, recipe, text, target=target, updates=1)
    tokenizer = task.load_tokenizer(teacher, job.open_model(teacher).config)
    hund = tokenizer.encode_target("Hund")[:-1]
    for clusters in found.values():
        assert np.mean([cluster[hund] for cluster in clusters.values()]) < 1


def test_training_stops_when_nothing_gets_better(teacher: Path, text: Path, recipe: Path, tmp_path: Path) -> None:
    options = {"learning_rate": 1e-9, "validate_every": 2, "patience": 2, "updates": 1000}
    run(teacher, tmp_path / "out", recipe, text, **options)
    validations = json.loads((tmp_path / "out" / "report.json").read_text())["validations"]
    assert [one["update"] for one in validations] == [2, 4, 6] and len({one["bleu"] for one in validations}) == 1


@pytest.mark.parametrize("method", ["error_feedback", "periodic"])
def test_the_other_methods_and_options_go_from_folder_to_folder(
    teacher: Path, text: Path, recipe: Path, tmp_path: Path, method: str
) -> None:
    options = {"method": method, "updates": 9, "period": 2, "phases": True, "validate_every": 2, "calibrate": True}
    run(teacher, tmp_path / "out", recipe, text, **options, frequencies=text / "de", precision="bf16")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert all(one["update"] > 6 for one in report["validations"])  # before, not all was rounded
    assert report["finetune"]["method"] == method and report["finetune"]["precision"] == "bf16"


def test_a_run_can_start_from_the_codes_of_another(
    teacher: Path, text: Path, recipe: Path, done: Path, tmp_path: Path
) -> None:
    run(teacher, tmp_path / "out", recipe, text, start=done, method="scales", updates=3)
    before, after = (subbyte.folders.converted.loading.load(folder).tensors for folder in (done, tmp_path / "out"))
    for name, tensor in before.items():
        for a, b in zip(getattr(tensor, "blocks", ()), getattr(after[name], "blocks", ()), strict=True):
            np.testing.assert_array_equal(a.codes, b.codes)
    with pytest.raises(UsageError, match="is not compressed; give a folder that quantize or finetune made"):
        run(teacher, tmp_path / "other", recipe, text, start=teacher)
    subbyte.quantize(teacher, tmp_path / "int8", "int8", check=False)
    with pytest.raises(UsageError, match="was made by recipe int8, which is another than mine"):
        run(teacher, tmp_path / "other", recipe, text, start=tmp_path / "int8")


def test_students_learn_from_text_alone(text: Path, recipe: Path, tmp_path: Path) -> None:
    folder = tiny_student_folder(tmp_path / "student", FLOAT32)
    document = run(folder, tmp_path / "out", recipe, text, updates=2, valid_target=None)
    assert document == subbyte.inspect(tmp_path / "out")


REFUSALS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "lines": ({"target": "short"}, UsageError, "en has 80 lines and .*short has 2; line i of the one"),
    "valid lines": ({"valid_target": "short"}, UsageError, "en has 80 lines and .*short has 2; line i of the one"),
    "nothing to learn": ({"source": "empty", "target": "empty"}, UsageError, "empty: has no sentence that the model"),
    "blank lines": ({"source": "blank", "target": "blank"}, UsageError, "blank: has no sentence that the model"),
    "nothing to validate on": ({"valid_source": "empty", "valid_target": None}, UsageError, "empty: is empty"),
    "no such file": ({"source": "nothing"}, UsageError, "nothing: cannot be read: No such file"),
    "no such validation": ({"valid_source": "nothing"}, UsageError, "nothing: cannot be read: No such file"),
    "value": ({"updates": 0}, RecipeError, "updates is 0, should be a whole number"),
    "work in out": ({"checkpoints": "out/work"}, UsageError, "work: is in the folder to write"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_work_is_refused_in_one_sentence(
    small: Path, text: Path, recipe: Path, tmp_path: Path, name: str
) -> None:
    options, error, message = REFUSALS[name]
    (tmp_path / "short").write_text("ein\nzwei\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "blank").write_text("\n\n")
    paths = {key: tmp_path / value if isinstance(value, str) else value for key, value in options.items()}
    with pytest.raises(error, match=message) as found:
        run(small, tmp_path / "out", recipe, text, **paths)
    assert "\n" not in str(found.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "old, new, error, message",
    [
        ("updates = 24", "upates = 24", RecipeError, "'upates' is not a key; did you mean 'updates'?"),
        ("updates = 24", "method = 'magic'", RecipeError, "method is 'magic', should be one of straight_through"),
        ("bits = 4", "bits = 4\ngranularity = {group = 48}", SchemeError, r"weight: 16 columns do not divide into"),
    ],
)
def test_recipes_that_cannot_work_are_refused_before_any_work(
    small: Path, text: Path, tmp_path: Path, old: str, new: str, error: type[Exception], message: str
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE.replace(old, new))
    with pytest.raises(error, match=message):
        run(small, tmp_path / "out", recipe, text)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_a_compressed_model_is_refused(done: Path, recipe: Path, text: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is compressed already .*; give the float32 model"):
        run(done, tmp_path / "out", recipe, text)


def test_an_out_that_exists_is_kept(small: Path, recipe: Path, text: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(UsageError, match="already exists"):
        run(small, tmp_path / "out", recipe, text)
    assert (tmp_path / "out" / "mine").read_text() == "precious"


def test_a_dropout_that_is_no_share_is_refused(recipe: Path, text: Path, tmp_path: Path) -> None:
    folder = tiny_marian_folder(tmp_path / "model")
    edit_json(folder / "config.json", attention_dropout=1.5)
    with pytest.raises(ModelError, match=r"attention_dropout is 1\.5, should be a number from 0 to 0\.9"):
        run(folder, tmp_path / "out", recipe, text)


def test_sentences_that_are_too_long_are_left_out(teacher: Path, text: Path, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "en").write_text((text / "en").read_text() + "dog " * 300 + "\n")
    run(teacher, tmp_path / "out", recipe, tmp_path, target=None, valid_target=None, updates=1)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["text"]["sentences"] <= 80
