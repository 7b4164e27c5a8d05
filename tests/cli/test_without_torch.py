"""Everything but training works where torch cannot be imported, and does not try."""

from __future__ import annotations

import subprocess
import sys

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "accelerate", "tensorflow", "jax"):
            raise ImportError(f"{name} was imported")

sys.meta_path.insert(0, Blocker())
"""

COMMANDS = """
from pathlib import Path
import subbyte, subbyte.measure.demo
from subbyte.cli.app import main

source, out = Path(sys.argv[1]), Path(sys.argv[2])
subbyte.measure.demo.files = lambda _: source.parent
subbyte.measure.demo.MODEL = source.name
(out / "text").write_text("A dog runs.\\n")
for command in (
    ["quantize", source, out / "low", "--recipe", "binary2", "--frequencies", out / "text"],
    ["inspect", out / "low", "--verify"],
    ["translate", out / "low", out / "text"],
    ["translate", source, out / "text"],
    ["evaluate", out / "low", "--source", out / "text", "--reference", out / "text"],
    ["demo", "--out", out / "demo"],
    ["bench", out / "low", "--rounds", 1, "--sentences", 1, "--batch-sizes", 1, "--tokens", 0, "--beam-sizes", 1],
):
    sys.argv = ["subbyte", *map(str, command)]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, (command, stop.code)
print("all ran")
"""


def test_every_command_runs_where_torch_cannot_be_imported(floats, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", BLOCKER + COMMANDS, floats, tmp_path], capture_output=True, text=True, check=True
    )
    assert result.stdout.endswith("all ran\n")


def test_every_module_but_training_imports_where_torch_cannot_be_imported():
    code = "import pkgutil, importlib, subbyte\n"
    code += "for module in pkgutil.walk_packages(subbyte.__path__, 'subbyte.'):\n"
    code += "    if module.name.endswith('.settings') or 'subbyte.training.' not in module.name:\n"
    code += "        importlib.import_module(module.name)"
    subprocess.run([sys.executable, "-c", BLOCKER + code], check=True)


def test_importing_subbyte_imports_next_to_nothing():
    code = "import sys, subbyte; subbyte.__version__, subbyte.SubbyteError\n"
    code += "assert not {'numpy', 'sentencepiece', 'subbyte._core'} & sys.modules.keys(), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
