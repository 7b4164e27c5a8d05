"""A run that SIGINT or SIGTERM stops: its state is saved at once, and it goes on to the same bytes."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from subbyte.errors import SubbyteError, UsageError
from subbyte.training import job, loop
from subbyte.training.checkpoints import Checkpoints
from subbyte.training.translation import task

RUN = {"model": "m", "recipe": {}, "finetune": {}}
RECIPE = '[[tensors]]\nmatch = "*"\nfamily = "uniform"\nbits = 4\n[finetune]\nupdates = 6\nbatch_tokens = 200\n'
RECIPE += "warmup = 2\nvalidate_every = 3\n"


class Counting:
    """A trainer that only counts, and calls `at(update)` in each update."""

    whole = True

    def __init__(self, at: Callable[[int], None] = lambda _: None, update: int = 0) -> None:
        self.settings = SimpleNamespace(updates=12, validate_every=4, patience=0)
        self.update, self.at = update, at

    def step(self) -> float:
        self.at(self.update + 1)
        self.update += 1
        return 0.0

    def state(self) -> dict[str, Any]:
        return {"update": self.update}


class Terminated(Exception):
    """What the handler of SIGTERM raises here."""


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "work", RUN, resume=False)


@pytest.fixture(autouse=True)
def handler(monkeypatch: pytest.MonkeyPatch) -> Any:
    def terminate(*_: object) -> None:
        raise Terminated

    interrupt = signal.default_int_handler  # a job in the background of a shell ignores it otherwise
    before = {
        number: signal.signal(number, of) for number, of in [(signal.SIGTERM, terminate), (signal.SIGINT, interrupt)]
    }
    yield terminate
    for number, of in before.items():
        signal.signal(number, of)


def at(wanted: int, number: int) -> Callable[[int], None]:
    return lambda update: signal.raise_signal(number) if update == wanted else None


@pytest.mark.parametrize(
    "number, raised", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)], ids=["SIGINT", "SIGTERM"]
)
def test_the_update_is_finished_and_its_state_saved(kept: Checkpoints, number: int, raised: Any, handler: Any) -> None:
    with pytest.raises(raised):
        loop.train(Counting(at(2, number)), kept, [], 0, lambda: None, None)
    assert kept.load() == {"update": 2, "history": [], "validated": 0}
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_second_signal_waits_for_nothing(kept: Checkpoints) -> None:
    def impatient(_: int) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        loop.train(Counting(impatient), kept, [], 0, lambda: None, None)
    assert kept.load() is None


def test_a_validation_is_left_and_made_first_when_the_run_goes_on(kept: Checkpoints) -> None:
    history: list[dict[str, Any]] = []
    trainer = Counting()

    def interrupted() -> None:
        if trainer.update == 8:
            signal.raise_signal(signal.SIGINT)
        history.append({"update": trainer.update, "bleu": 1.0})

    with pytest.raises(KeyboardInterrupt):
        loop.train(trainer, kept, history, 0, interrupted, None)
    state = kept.load()
    assert state == {"update": 8, "history": [{"update": 4, "bleu": 1.0}], "validated": 4}

    going_on, validated = Counting(update=state["update"]), []
    loop.train(going_on, kept, [], state["validated"], lambda: validated.append(going_on.update), None)
    assert validated == [8, 12]


def test_a_run_beside_the_main_thread_is_as_it_was(kept: Checkpoints) -> None:
    trainer = Counting()
    thread = threading.Thread(target=lambda: loop.train(trainer, kept, [], 0, lambda: None, None))
    thread.start()
    thread.join()
    assert trainer.update == 12 and kept.load()["update"] == 12


@pytest.mark.parametrize("where", ["step", "validation"])
def test_what_was_stopped_goes_on_to_the_same_bytes(
    teacher: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE)
    texts = {"source": text / "en", "target": text / "de", "valid_source": text / "en", "valid_target": text / "de"}
    job.finetune(teacher, tmp_path / "whole", recipe, **texts, threads=1)  # type: ignore[arg-type]

    holder, name = (task.Trainer, "step") if where == "step" else (task, "score")
    real, calls = getattr(holder, name), []

    def interrupted(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) == 2:  # the second update, or the validation after the last
            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(holder, name, interrupted)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        job.finetune(teacher, out, recipe, **texts, threads=1)  # type: ignore[arg-type]
    monkeypatch.undo()
    assert not out.exists() and (tmp_path / "out.finetune" / "state.pt").exists()
    with pytest.raises(UsageError, match="holds a run that was not finished; give --resume"):
        job.finetune(teacher, out, recipe, **texts, threads=1)  # type: ignore[arg-type]
    monkeypatch.setattr(Checkpoints, "load", lambda _: {"history": []})
    with pytest.raises(UsageError, match="its state lacks 'validated', another version of subbyte wrote it"):
        job.finetune(teacher, out, recipe, **texts, threads=1, resume=True)  # type: ignore[arg-type]
    monkeypatch.undo()
    job.finetune(teacher, out, recipe, **texts, threads=1, resume=True)  # type: ignore[arg-type]
    for file in ("model.safetensors", "report.json"):
        assert (out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        job.finetune(teacher, out, recipe, **texts, threads=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is finished; leave --resume out"):
        job.finetune(teacher, tmp_path / "new", recipe, **texts, checkpoints=tmp_path / "out.finetune", resume=True)  # type: ignore[arg-type]


# --- the working folder


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    for name in ("log.jsonl", "state.pt"):
        (tmp_path / name).write_text("mine")
    for force in (False, True):
        with pytest.raises(UsageError, match=r"is not a working folder .* it holds log\.jsonl, state\.pt"):
            Checkpoints(tmp_path, RUN, resume=False, force=force)
    (tmp_path / "run.json").write_text('{"scripts": "of mine"}')
    with pytest.raises(UsageError, match="is not a working folder"):
        Checkpoints(tmp_path, RUN, resume=True, force=True)
    assert (tmp_path / "log.jsonl").read_text() == (tmp_path / "state.pt").read_text() == "mine"


@pytest.mark.parametrize("name", ["state.pt", "targets.json", "log.jsonl"])
def test_what_a_run_has_done_is_given_up_by_force_only(kept: Checkpoints, name: str) -> None:
    (kept.folder / name).write_text("")
    with pytest.raises(UsageError, match="not finished"):
        Checkpoints(kept.folder, RUN, resume=False)
    assert Checkpoints(kept.folder, RUN, resume=True) and (kept.folder / name).exists()
    assert Checkpoints(kept.folder, RUN, resume=False, force=True) and not (kept.folder / name).exists()


def test_a_run_that_did_nothing_or_is_finished_makes_place(kept: Checkpoints) -> None:
    Checkpoints(kept.folder, RUN, resume=False)  # it did nothing
    kept.log(update=1)
    kept.clear()
    assert json.loads((kept.folder / "run.json").read_text()) == {**RUN, "finished": True}
    Checkpoints(kept.folder, RUN, resume=False)
    assert not (kept.folder / "log.jsonl").exists()


def test_a_working_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("/proc/work", tmp_path / "file" / "work"):
        with pytest.raises(SubbyteError, match="cannot be written"):
            Checkpoints(Path(folder), RUN, resume=False)
    with pytest.raises(UsageError, match="is a file"):
        Checkpoints(tmp_path / "file", RUN, resume=False)


def test_a_full_disk_keeps_the_state_before(kept: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.save({"update": 1})

    def fail(*_: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc] unexpected pos")

    monkeypatch.setattr("torch.save", fail)
    with pytest.raises(SubbyteError, match=r"state\.pt: cannot be written: "):
        kept.save({"update": 2})
    assert kept.load() == {"update": 1}
