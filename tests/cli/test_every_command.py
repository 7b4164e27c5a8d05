"""Every command, whatever stdout and stderr are, and with each of its paths spoiled: a sentence, and never a trace."""

from __future__ import annotations

import errno
import inspect
import io
import os
import pty
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, get_type_hints

import pytest
import typer

import subbyte
import subbyte.measure.demo
from builders.command_table import CASES, Case, World
from builders.encoder_folders import classifier_folder, sentence_folder
from builders.fake_hub import fake_hub
from subbyte.cli.app import app, main

EVERY = pytest.mark.parametrize("case", CASES, ids=str)
SENTENCE = re.compile(r"subbyte: [^\n]+\n(  [^\n]+\n)*")
USAGE = re.compile(r"Usage: [^\n]+\n[^\n]*\n\nError: [^\n]+\n")
LINES = ["A dog runs in the park.", "Two men are here.", "", "The cat sleeps."] * 6


@pytest.fixture(scope="module")
def world(floats: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    (folder / "text").write_text("".join(f"{line}\n" for line in LINES))
    (folder / "labelled.tsv").write_text(
        "label\tsentence\n" + "".join(f"good\tgood dog {x}\nbad\tbad cat {x}\n" for x in "abcdefghijkl")
    )
    (folder / "similar.tsv").write_text("score\tsentence1\tsentence2\n" + "1\ta dog\ta cat\n2\ta man\ta man\n" * 6)
    (folder / "recipe.toml").write_text('[[tensors]]\nmatch = "*"\nfamily = "uniform"\nbits = 4\n')
    subbyte.quantize(floats, folder / "compressed", folder / "recipe.toml")
    text, labelled, similar = folder / "text", folder / "labelled.tsv", folder / "similar.tsv"
    encoder = sentence_folder(folder / "encoder", num_hidden_layers=1)
    classifier = classifier_folder(folder / "classifier", num_hidden_layers=1)
    return World(
        floats, folder / "compressed", encoder, classifier, text, text, labelled, similar, folder / "recipe.toml"
    )


@pytest.fixture(autouse=True)
def tiny_model_ships(monkeypatch: pytest.MonkeyPatch, floats: Path) -> None:
    for name, module in fake_hub(floats).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(subbyte.measure.demo, "files", lambda _: floats.parent)
    monkeypatch.setattr(subbyte.measure.demo, "MODEL", floats.name)


def arguments_of(case: Case, world: World, out: Path) -> list[Any]:
    for name in case.needs:
        pytest.importorskip(name, reason=f"{name} is not installed")
    out.mkdir(exist_ok=True)
    return case.arguments(world, out)


def ended(arguments: list[Any], monkeypatch: pytest.MonkeyPatch, stdout: TextIO, stderr: TextIO) -> int:
    """The exit code of a run with these streams."""
    monkeypatch.setattr(sys, "argv", ["subbyte", *map(str, arguments)])
    for name, stream in (("stdin", io.TextIOWrapper(io.BytesIO())), ("stdout", stdout), ("stderr", stderr)):
        monkeypatch.setattr(sys, name, stream)
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code or 0  # type: ignore[return-value]


@contextmanager
def terminal() -> Iterator[tuple[TextIO, list[bytes]]]:
    """A terminal to write to, and what was written once the block is left."""
    screen, end = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(screen, 1 << 16):
                seen.append(data)
        except OSError:  # the other end was closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    stream = os.fdopen(end, "w", encoding="utf-8")
    try:
        yield stream, seen
    finally:
        stream.close()
        reader.join()
        os.close(screen)


def paths_of(arguments: list[Any], *, read: bool) -> list[tuple[int, Path]]:
    """Where among the arguments those paths are that are read, or else those that are written."""
    return [(i, one) for i, one in enumerate(arguments) if isinstance(one, Path) and one.exists() == read]


def is_a_sentence(code: int, err: str) -> bool:
    """Whether nothing else is said; that which is wrong usage says how to use the command, too."""
    return bool({1: SENTENCE, 2: USAGE}[code].fullmatch(err))


# --- the table


def test_the_table_has_every_command():
    assert {command.callback.__name__ for command in app.registered_commands} == {
        case.arguments(*[World(*9 * [Path()]), Path()])[0] for case in CASES
    }


@pytest.mark.parametrize("command", [one.callback for one in app.registered_commands], ids=lambda f: f.__name__)
def test_the_table_has_every_option_that_is_a_path(command):
    hints = get_type_hints(command, include_extras=True)
    flags = {
        f"--{name.replace('_', '-')}"
        for name in inspect.signature(command).parameters
        if any(isinstance(one, typer.models.OptionInfo) for one in getattr(hints[name], "__metadata__", ()))
        and "pathlib.Path" in str(hints[name].__origin__)
    }
    runs = [case.arguments(World(*9 * [Path()]), Path()) for case in CASES]
    assert flags <= {one for run in runs if run[0] == command.__name__ for one in run if isinstance(one, str)}


# --- what stdout and stderr are


@EVERY
def test_output_reaches_its_file_whatever_stderr_is(case, world, tmp_path, monkeypatch, run):
    plain = run(*arguments_of(case, world, tmp_path / "plain"))
    assert plain.code == 0, plain.err
    with (tmp_path / "stdout").open("w+", encoding="utf-8") as stdout, terminal() as (screen, seen):
        assert ended(arguments_of(case, world, tmp_path / "seen"), monkeypatch, stdout, screen) == 0
    found = (tmp_path / "stdout").read_text("utf-8").replace("/seen/", "/plain/")
    assert found == plain.out if case.same else found.count("\n") == plain.out.count("\n")
    assert bool(found) == case.prints and b"Traceback" not in b"".join(seen)
    written = [sorted(p.relative_to(tmp_path / of) for p in (tmp_path / of).rglob("*")) for of in ("plain", "seen")]
    assert written[0] == written[1]


@EVERY
def test_output_reaches_the_terminal_that_stderr_is_too(case, world, tmp_path, monkeypatch):
    with terminal() as (screen, seen), os.fdopen(os.dup(screen.fileno()), "w", encoding="utf-8") as other:
        assert ended(arguments_of(case, world, tmp_path / "out"), monkeypatch, other, screen) == 0
    shown = b"".join(seen).decode()
    assert "Traceback" not in shown and (not case.prints or re.search(r"[\w.\]}]\r\n", shown))


@EVERY
def test_a_full_disk_behind_stdout(case, world, tmp_path, monkeypatch):
    stderr = io.StringIO()
    with open("/dev/full", "w") as full:
        code = ended(arguments_of(case, world, tmp_path / "out"), monkeypatch, full, stderr)
    said = stderr.getvalue().splitlines()[-1:]
    assert (code, said) == (1, ["subbyte: stdout: cannot be written: No space left on device"]) or not case.prints
    assert "Traceback" not in stderr.getvalue()


@EVERY
def test_a_reader_that_went_away(case, world, tmp_path, monkeypatch):
    stderr = io.StringIO()
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        code = ended(arguments_of(case, world, tmp_path / "out"), monkeypatch, pipe, stderr)
    assert code == (141 if case.prints else 0)
    assert "Traceback" not in stderr.getvalue() and "BrokenPipe" not in stderr.getvalue()


# --- what is written


@EVERY
def test_a_full_disk_leaves_a_sentence_and_nothing_else(case, world, tmp_path, monkeypatch, run):
    arguments = arguments_of(case, world, tmp_path / "out")
    if not paths_of(arguments, read=False):
        pytest.skip("writes nothing")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    result = run(*arguments)
    assert result.code == 1 and result.out == "" and "cannot be written: No space left on device" in result.err
    assert is_a_sentence(1, result.err)
    assert not [path for path in (tmp_path / "out").glob("[!w]*") if path.name != "demo"]  # but for working folders


PLACES = {
    "in /proc": lambda path, world: Path("/proc/none") / path.name,
    "in a file": lambda path, world: world.english / path.name,
    "a file": lambda path, world: world.english.parent / f"mine{path.suffix}",
    "a folder": lambda path, world: world.encoder.parent / f"folder{path.suffix}",
}


@pytest.mark.parametrize("place", PLACES)
@EVERY
def test_a_place_that_cannot_be_written(case, world, tmp_path, run, place):
    arguments = arguments_of(case, world, tmp_path)
    for number, path in paths_of(arguments, read=False):
        spoiled = PLACES[place](path, world)
        if place == "a folder":
            spoiled.mkdir(exist_ok=True)
            (spoiled / "mine").write_text("mine")
        elif place == "a file":
            spoiled.write_text("mine")
        for force in [[], ["--force"]] if "--force" in run(arguments[0], "--help").out else [[]]:
            result = run(*arguments[:number], spoiled, *arguments[number + 1 :], *force)
            if place == "a folder" and (arguments[0], arguments[number - 1]) in (
                ("bench", "--work"),
                ("demo", "--out"),
            ):
                continue  # folders of theirs are put into it
            assert result.code != 0 and result.out == "" and is_a_sentence(result.code, result.err), result.err
        if place == "a folder":
            assert (spoiled / "mine").read_text() == "mine"
        elif place == "a file":
            assert spoiled.read_text() == "mine"


# --- what is read


@EVERY
def test_a_missing_path(case, world, tmp_path, run):
    arguments = arguments_of(case, world, tmp_path / "out")
    for number, _ in paths_of(arguments, read=True):
        result = run(*arguments[:number], tmp_path / "none", *arguments[number + 1 :])
        assert result.code == 1 and result.out == "" and is_a_sentence(1, result.err), result.err
        assert str(tmp_path / "none") in result.err


@EVERY
def test_a_file_for_a_folder_and_a_folder_for_a_file(case, world, tmp_path, run):
    arguments = arguments_of(case, world, tmp_path / "out")
    for number, path in paths_of(arguments, read=True):
        spoiled = world.translator if path.is_file() else world.english
        result = run(*arguments[:number], spoiled, *arguments[number + 1 :])
        assert result.code == 1 and result.out == "" and is_a_sentence(1, result.err), result.err


@EVERY
def test_text_that_is_not_utf_8(case, world, tmp_path, run):
    arguments = arguments_of(case, world, tmp_path / "out")
    for number, path in paths_of(arguments, read=True):
        if path.is_dir():
            continue
        spoiled = tmp_path / path.name
        spoiled.write_bytes(path.read_bytes() + b"M\xe4nner\n")
        result = run(*arguments[:number], spoiled, *arguments[number + 1 :])
        if result.code == 0:  # these read the first sentences only
            assert arguments[0] in ("quantize", "bench")
        else:
            assert result.code == 1 and is_a_sentence(1, result.err) and str(spoiled) in result.err


@EVERY
def test_a_model_of_another_kind(case, world, tmp_path, run):
    arguments = arguments_of(case, world, tmp_path / "out")
    for number, path in enumerate(arguments):
        if path in (world.translator, world.compressed, world.encoder, world.classifier):
            result = run(*arguments[:number], world.other(path), *arguments[number + 1 :])
            if not (case.either and result.code == 0):
                assert result.code == 1 and result.out == "" and is_a_sentence(1, result.err), result.err
