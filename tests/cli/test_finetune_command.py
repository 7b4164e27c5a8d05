"""`subbyte finetune`"""

from __future__ import annotations

import json
import signal
import sys

import pytest

from builders.tiny_encoder import tiny_encoder_folder

RECIPE = '[[tensors]]\nmatch = "*"\nfamily = "uniform"\nbits = 4\n[finetune]\nupdates = 3\nbatch_tokens = 64\n'


@pytest.fixture
def arguments(floats, tmp_path):
    (tmp_path / "mine.toml").write_text(RECIPE)
    (tmp_path / "en").write_text("a dog runs\nthe man\ntwo dogs\n")
    (tmp_path / "de").write_text("ein Hund\nder Mann\nzwei Hunde\n")
    return [
        "finetune", floats, tmp_path / "out", "--recipe", tmp_path / "mine.toml", "--source", tmp_path / "en",
        "--target", tmp_path / "de", "--valid-source", tmp_path / "en", "--valid-target", tmp_path / "de",
        "--threads", 1,
    ]  # fmt: skip


@pytest.fixture
def installed():
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")


@pytest.mark.usefixtures("installed")
def test_prints_the_document_of_inspect_and_what_it_writes_translates(run, arguments, tmp_path):
    result = run(*arguments, "--json")
    assert result.code == 0 and result.err == ""
    assert result.json == json.loads(run("inspect", tmp_path / "out", "--json").out)
    assert run("translate", tmp_path / "out", stdin=b"a dog\n").out.count("\n") == 1


@pytest.mark.usefixtures("installed")
def test_prints_sizes_for_people_and_options_stand_in_for_keys(run, arguments, tmp_path):
    options = ["--method", "periodic", "--period", 1, "--updates", 2, "--checkpoints", tmp_path / "work"]
    result = run(*arguments, *options)
    assert result.code == 0 and "times smaller" in result.out
    finetune = json.loads((tmp_path / "out" / "report.json").read_text())["finetune"]
    assert (finetune["method"], finetune["period"], finetune["updates"]) == ("periodic", 1, 2)
    assert (tmp_path / "work" / "log.jsonl").exists() and not (tmp_path / "out.finetune").exists()


@pytest.mark.usefixtures("installed")
def test_faults_are_one_sentence_and_exit_code_1(run, arguments, tmp_path):
    (tmp_path / "de").write_text("ein Hund\n")
    result = run(*arguments)
    assert result.code == 1 and result.out == ""
    assert "has 3 lines and" in result.err and "Traceback" not in result.err and result.err.count("\n") == 1


@pytest.mark.parametrize("absent", ["torch", "accelerate"])
def test_says_what_to_install(run, arguments, tmp_path, monkeypatch, absent):
    if absent == "accelerate":
        pytest.importorskip("torch", reason="torch is not installed")
    for name in ("job", "translation.task", "translation.trainer"):
        monkeypatch.delitem(sys.modules, f"subbyte.training.{name}", raising=False)
    monkeypatch.setitem(sys.modules, absent, None)
    result = run(*arguments)
    assert (
        result.code == 1
        and f'{absent} is not installed; in a checkout of subbyte: pip install ".[finetune]"' in result.err
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_a_stopped_run_says_how_to_go_on(run, arguments, tmp_path, monkeypatch, number, code):
    from subbyte.training.translation.trainer import Trainer

    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self: [signal.raise_signal(number), step(self)][1])
    result = run(*arguments)
    said = f"subbyte: {tmp_path / 'out.finetune'}: the run was stopped, the state is saved; the same command with "
    assert (result.code, result.out, result.err) == (code, "", f"{said}--resume goes on with it\n")
    monkeypatch.undo()
    result = run(*arguments)
    assert result.code == 1 and "holds a run that was not finished; give --resume to go on" in result.err
    assert run(*arguments, "--resume").code == 0 and (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.usefixtures("installed")
def test_a_run_that_is_stopped_before_it_trains_says_so(run, arguments, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("subbyte.training.translation.task.Trainer", stopped)
    result = run(*arguments)
    assert result.code == 130 and "no update was made yet; the same command with --resume goes on" in result.err


def test_wrong_usage(run, arguments):
    assert run(*arguments, "--method", "magic").code == 2
    assert run("finetune", "model", "out").code == 2


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "--source and --valid-source needed, text for a translation model; an encoder needs --train and --valid"),
        (["--source", "a"], "--valid-source needed, text for"),
        (["--train", "a.tsv"], "--valid needed, a .tsv of labelled texts for an encoder"),
        (["--gradient", "mse"], "--train and --valid needed, a .tsv"),
        (["--train", "a", "--valid", "b", "--source", "c"], "--source for a translation model and --train --valid for"),
        (["--source", "a", "--valid-source", "b", "--metric", "f1"], "and --metric for an encoder do not go together"),
    ],
    ids=str,
)
def test_options_of_translation_and_of_encoders_do_not_mix(run, options, message):
    result = run("finetune", "model", "out", "--recipe", "w8a8", *options)
    assert result.code == 1 and message in result.err and result.err.count("\n") == 1


@pytest.mark.usefixtures("installed")
def test_an_encoder_is_finetuned_on_labelled_texts(run, tmp_path):
    model = tiny_encoder_folder(tmp_path / "model", "bert, classifier", ["good", "bad", "film"])
    (tmp_path / "a.tsv").write_text("label\tsentence\n" + "1\tgood film\n0\tbad film\n" * 10)
    texts = ["--train", tmp_path / "a.tsv", "--valid", tmp_path / "a.tsv"]
    options = ["--recipe", "w8a8", "--updates", 2, "--batch-size", 4, "--metric", "f1", "--threads", 1, "--json"]
    result = run("finetune", model, tmp_path / "out", *texts, *options)
    assert result.code == 0, result.err
    assert result.json == json.loads(run("inspect", tmp_path / "out", "--json").out)
    finetune = json.loads((tmp_path / "out" / "report.json").read_text())["finetune"]
    assert (finetune["updates"], finetune["batch_size"], finetune["metric"]) == (2, 4, "f1")
