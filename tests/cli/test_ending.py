"""How the program ends as a process of its own: full disks, closed pipes, closed streams, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = [sys.executable, "-c", "from subbyte.cli.app import main; main()"]
UNBUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])


def sh(script: str, *arguments: Any, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    """`script` run by bash, where "$@" is the program with its arguments, and $0 a file of its own."""
    command = ["bash", "-c", script, "bash", *PROGRAM, *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@UNBUFFERED
@pytest.mark.parametrize("options", [["--help"], ["--version"], ["inspect"]], ids=lambda given: given[0])
def test_a_full_disk(compressed, options, unbuffered):
    arguments = [*options, compressed] if options == ["inspect"] else options
    done = sh('"$@" > /dev/full', *arguments, unbuffered=unbuffered)
    assert (done.returncode, done.stderr) == (1, "subbyte: stdout: cannot be written: No space left on device\n")


@UNBUFFERED
@pytest.mark.parametrize("options", [["--help"], ["--version"], ["inspect"]], ids=lambda given: given[0])
def test_a_pipe_that_nobody_reads(compressed, options, unbuffered):
    arguments = [*options, compressed] if options == ["inspect"] else options
    done = sh('exec 3> >(exec <&-); sleep 0.2; "$@" >&3', *arguments, unbuffered=unbuffered)
    assert (done.returncode, done.stderr) == (141, "")


@UNBUFFERED
def test_a_stdout_that_is_closed(compressed, unbuffered):
    done = sh('"$@" >&-', "inspect", compressed, unbuffered=unbuffered)
    assert (done.returncode, done.stderr) == (1, "subbyte: stdout: cannot be written: Bad file descriptor\n")


def test_a_closed_stdout_is_no_matter_to_who_says_nothing(floats, tmp_path):
    (tmp_path / "text").write_text("a dog\n")
    done = sh('"$@" >&-', "translate", floats, tmp_path / "none")
    assert done.returncode == 1 and done.stderr.endswith("none: cannot be read: No such file or directory\n")


def test_a_stdin_that_is_closed(compressed):
    done = sh('"$@" <&-', "translate", compressed)
    assert (done.returncode, done.stderr) == (1, "subbyte: stdin: cannot be read: Bad file descriptor\n")


@UNBUFFERED
@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_a_stderr_that_takes_nothing_leaves_the_exit_code(tmp_path, where, unbuffered):
    done = sh(f'"$@" {where}', "inspect", tmp_path / "none", unbuffered=unbuffered)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_names_of_files_that_are_no_text(compressed, tmp_path):
    link = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    os.symlink(compressed, link)
    for options in ([], ["--json"]):
        done = subprocess.run([*PROGRAM, "inspect", link, *options], capture_output=True)
        assert done.returncode == 0 and done.stderr == b"", done.stderr
        assert b"caf\\udce9" in done.stdout or options


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("command", ["translate", "score", "encode"])
def test_lines_that_are_done_are_written_when_a_signal_comes(compressed, tmp_path, command, number, code):
    """The signal comes as the second batch is asked for; stdout is a pipe, so nothing of it was flushed."""
    from builders.encoder_folders import sentence_folder

    folder = sentence_folder(tmp_path / "m") if command == "encode" else compressed
    (tmp_path / "text").write_text("a dog\n" * 8)
    texts = [str(tmp_path / "text")] * (2 if command == "score" else 1)
    script = "import os, signal, sys\n"
    script += "from subbyte.run import encoder_engine, translation_engine\n"
    name = {"translate": "translate", "score": "score", "encode": "pooled"}[command]
    holder = "encoder_engine.EncoderEngine" if command == "encode" else "translation_engine.Engine"
    script += f"real, calls = {holder}.{name}, []\n"
    script += "def stopped(*a, **k):\n    calls.append(1)\n"
    script += f"    if len(calls) == 2: os.kill(os.getpid(), {int(number)})\n    return real(*a, **k)\n"
    script += f"{holder}.{name} = stopped\nfrom subbyte.cli.app import main; main()"
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(
        [sys.executable, "-c", script, command, folder, *texts, "--batch-size", "4"],
        capture_output=True, text=True, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (code, 4, "")


def test_a_fault_of_ours_is_a_sentence_too(run, compressed, monkeypatch):
    def fail(*_: Any) -> None:
        raise KeyError("a\nkey")

    monkeypatch.setattr("subbyte.inspect", fail, raising=False)
    result = run("inspect", compressed)
    assert result.code == 1 and result.out == "" and result.err.count("\n") == 1
    assert result.err.startswith("subbyte: this is a fault of subbyte itself: KeyError: 'a\\nkey'; subbyte --debug")


def test_memory_that_is_not_there(run, compressed, monkeypatch):
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("subbyte.inspect", fail, raising=False)
    assert run("inspect", compressed).err == "subbyte: there is not enough memory\n"
