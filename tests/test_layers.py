"""Imports point down the list of folders in ARCHITECTURE.md, which is read here, and in no circle inside one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "subbyte"
TESTS = ROOT / "tests"
FORBIDDEN = ("torch", "transformers")
TORCH_RIVALS = {  # they run in processes of their own -> the functions that import it
    PACKAGE / "measure" / "bench" / "rivals" / "torch.py": ["opener"],
    PACKAGE / "measure" / "bench" / "torch_encoder.py": ["open_encoder", "main"],
}
OF_CORE = ("subbyte.run.", "subbyte.numbers.output_rounding", "subbyte.numbers.entropy")  # who may import it


@cache
def layers() -> list[list[str]]:
    """The folders on each line of the list, top first; files at the top of the package are the last."""
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    listed = re.search(r"## Who may import whom.*?```\n(.*?)\n-+ C\+\+", page, re.DOTALL)
    assert listed
    return [re.findall(r"^[a-z_.]+(?:  [a-z_.]+)*", line)[0].split() for line in listed[1].splitlines()]


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    return ".".join(["subbyte", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def imports(text: str, module: str = "subbyte") -> Iterator[str]:
    """Full names of all that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parts, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def level_of(full: str) -> int | None:
    """The line of the list that an imported name is on; None of what is not ours, or the package itself."""
    first, *rest = full.split(".")
    if first != "subbyte" or not rest:
        return None
    return next((i for i, line in enumerate(layers()) if rest[0] in line), None)


def upward(text: str, module: str) -> list[str]:
    """The imports of our own modules that are not on a lower line than `module`, nor in its folder."""
    level, folder = level_of(module), module.split(".")[1]
    assert level is not None
    found = []
    for full in imports(text, module):
        other = level_of(full)
        if other is not None and other <= level and full.split(".")[1] != folder:
            found.append(full)
    return found


def test_the_list_has_every_folder_and_file_once():
    listed = [name for line in layers() for name in line]
    assert sorted(listed) == sorted({module.split(".")[1] for module in MODULES})


def test_the_package_is_small_at_its_top():
    folders = {module.split(".")[1] for module, path in MODULES.items() if path.parent != PACKAGE}
    files = [path for path in PACKAGE.iterdir() if path.is_file() and not path.name.startswith("_core.cpython")]
    assert len(folders) <= 10 and len(files) <= 6


def test_modules_are_short():
    lines = sorted(len(path.read_text("utf-8").splitlines()) for path in MODULES.values() if path.name != "__init__.py")
    assert lines[len(lines) // 2] <= 120 and lines[-1] <= 400


def test_tests_mirror_the_package_in_short_files():
    folders = {path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py")}
    assert folders <= {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert max(len(path.read_text("utf-8").splitlines()) for path in TESTS.rglob("*.py")) <= 400


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    path = MODULES[module]
    text = path.read_text("utf-8")
    assert upward(text, module) == []
    if path not in TORCH_RIVALS:
        torch = [full for full in imports(text, module) if full.split(".")[0] in FORBIDDEN]
        assert module.startswith("subbyte.training") or not torch
    if any(full.startswith("subbyte._core") for full in imports(text, module)):
        assert module.startswith(OF_CORE)


def test_there_are_no_circles():
    graph = {}
    for module, path in MODULES.items():
        named = {full for full in imports(path.read_text("utf-8"), module) if full.startswith("subbyte.")}
        graph[module] = {full if full in MODULES else full.rpartition(".")[0] for full in named} - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


@pytest.mark.parametrize("path, functions", TORCH_RIVALS.items(), ids=lambda value: getattr(value, "stem", ""))
def test_the_torch_rival_imports_it_in_functions_that_its_processes_call_and_nowhere_else(path, functions):
    tree = ast.parse(path.read_text("utf-8"))
    importing = [
        node.name if isinstance(node, ast.FunctionDef) else None
        for node in tree.body
        if any(full.split(".")[0] in FORBIDDEN for full in imports(ast.unparse(node)))
    ]
    assert importing == functions


@pytest.mark.parametrize(
    "text",
    [
        "import subbyte.cli.app",
        "from subbyte import cli, errors",
        "from subbyte.run.resident import Core",
        "from .. import run",
        "from ..run import resident",
        "def late():\n    from subbyte.run.translator import Translator",
    ],
)
def test_an_upward_import_is_seen(text):
    assert upward(text, "subbyte.models.model") != []
