"""The program as a whole: help, version, exit codes, how errors look."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = (
    "demo download quantize finetune pack inspect translate encode classify evaluate score analyze bench"
).split()
PROGRAM = [sys.executable, "-c", "from subbyte.cli.app import main; main()"]


def test_help_names_every_command_and_nothing_that_is_not_there(run):
    listed = run("--help").out.split("Commands:")[1].split("\n\n")[0]
    assert re.findall(r"^  (\w+)", listed, re.MULTILINE) == [*COMMANDS]
    assert "..." not in listed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    result = run(command, "--help")
    assert result.code == 0 and "--json" in result.out


def test_help_imports_neither_numpy_nor_the_engine():
    code = "import sys; sys.argv = ['subbyte', 'quantize', '--help']\n"
    code += "try:\n    from subbyte.cli.app import main; main()\n"
    code += "finally:\n    assert not {'numpy', 'subbyte._core', 'sacrebleu', 'rich'} & sys.modules.keys(), sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stderr == b""


def test_version(run):
    assert run("--version").out.startswith("subbyte ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["quantize", "only-one"],
        ["quantize", "a", "b", "--no-check"],  # no recipe
        ["quantize", "a", "b", "--budget"],  # no size
        ["translate", "a", "--threads", "0"],
        ["translate", "a", "--threads", "many"],
        ["translate", "a", "--activations", "int9"],
        ["translate", "a", "--beam", "4"],
        ["evaluate", "a", "--task", "sing", "--source", "x", "--reference", "y"],
        ["finetune", "a", "b"],  # no recipe
    ],
)
def test_wrong_usage_exits_with_2(run, arguments):
    result = run(*arguments)
    assert result.code == 2 and result.out == "" and "Error: " in result.err


def test_debug_shows_where_an_error_comes_from(run, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["subbyte", "--debug", "inspect", str(tmp_path)])
    from subbyte.cli.app import main

    with pytest.raises(ValueError, match=r"config\.json"):
        main()


def test_a_reader_that_stops_early_gets_no_traceback(compressed):
    with subprocess.Popen(
        [*PROGRAM, "translate", compressed, "--max-length", "8", "--batch-size", "8"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"A dog runs.\n" * 8)
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 60)[0]  # the first batch is out while the input is still open
        process.stdout.close()
        process.stdin.write(b"A dog runs.\n" * 8)
        process.stdin.close()
        assert process.stderr.read() == b""


def test_a_terminal_sees_a_bar_that_goes_away(floats, tmp_path):
    terminal, end = pty.openpty()
    command = [*PROGRAM, "quantize", floats, tmp_path / "out", "--recipe", "int8", "--json"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=end, check=True)
    os.close(end)
    assert json.loads(result.stdout)["parameters"] > 0
    assert b"rounding" in os.read(terminal, 1 << 16)
    os.close(terminal)


def test_a_warning_is_whole_beside_a_bar(floats, tmp_path):
    """In the middle of a bar it would be a part of its line."""
    (tmp_path / "text").write_text("A dog.\n" + "dog " * 10_000 + "\n")
    screen, end = pty.openpty()
    command = [*PROGRAM, "translate", floats, tmp_path / "text", "--batch-size", "1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=end, env={**os.environ, "COLUMNS": "200"}, check=True)
    os.close(end)
    assert done.stdout.count(b"\n") == 2
    seen = os.read(screen, 1 << 16)
    said = rb"[\rK]subbyte: text 2 has \d+ tokens; the model reads 64, the rest is left out\s*\r\n"
    assert re.search(said, seen), seen
    os.close(screen)


def test_an_interrupted_quantize_exits_with_130_and_leaves_nothing(floats, tmp_path):
    code = "import os, signal, sys, subbyte.compress.quantizing as c\n"
    code += "c.saving.save = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
    code += f"sys.argv = ['subbyte', 'quantize', {os.fspath(floats)!r}, {os.fspath(tmp_path / 'out')!r}]\n"
    code += "sys.argv += ['--recipe', 'int8']\nfrom subbyte.cli.app import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert result.returncode == 130 and result.stderr == b""
    assert list(Path(tmp_path).iterdir()) == []
