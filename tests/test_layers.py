"""Imports point one way: down the list in ARCHITECTURE.md, which is read here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "subbyte"
CORE = "_core"
FORBIDDEN = ("torch", "transformers")
TORCH_RIVALS = {  # they run in processes of their own -> the functions that import it
    PACKAGE / "bench" / "engines" / "torch.py": ["opener"],
    PACKAGE / "bench" / "torch_encoder.py": ["open_encoder", "export"],
}


def layers() -> list[list[str]]:
    """The names on each line of the list, top first."""
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    listed = re.search(r"## Who may import whom.*?```\n(.*?)\n-+ C\+\+", page, re.DOTALL)
    assert listed
    return [line.split() for line in listed[1].splitlines()]


def imports(text: str, package: str = "subbyte") -> Iterator[str]:
    """Full names of all that a module of `package` imports, inside functions too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, [above, node.module]))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def modules() -> Iterator[tuple[Path, str, str]]:
    """Path, dotted package, and name in the list (the first part below subbyte) of every module of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != PACKAGE / "__init__.py":
            relative = path.relative_to(PACKAGE)
            yield path, ".".join(["subbyte", *relative.parts[:-1]]), relative.with_suffix("").parts[0]


def upward(text: str, package: str, name: str) -> list[str]:
    """The imports of our own modules that are not on a lower line than `name`."""
    level = {module: i for i, line in enumerate(layers()) for module in line}
    found = []
    for full in imports(text, package):
        first, *rest = full.split(".")
        below = rest[0] if rest else ""
        if first == "subbyte" and below in level and below != name and level[below] <= level[name]:
            found.append(full)
    return found


def test_the_list_has_every_module_once():
    listed = [module for line in layers() for module in line]
    assert sorted(listed) == sorted({name for _, _, name in modules()})


@pytest.mark.parametrize("path, package, name", [*modules()], ids=lambda value: getattr(value, "stem", ""))
def test_imports_point_down(path, package, name):
    text = path.read_text("utf-8")
    assert upward(text, package, name) == []
    if path not in TORCH_RIVALS:
        assert name == "training" or not [full for full in imports(text, package) if full.split(".")[0] in FORBIDDEN]
    if any(full.startswith(f"subbyte.{CORE}") for full in imports(text, package)):
        assert name in ("engine", "encoder_engine", "resident", "compensation")


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
        "from subbyte import bits, cli",
        "from subbyte.engine import Engine",
        "from .. import engine",
        "from ..engine import Engine",
        "def late():\n    from subbyte.translator import Translator",
    ],
)
def test_an_upward_import_is_seen(text):
    assert upward(text, "subbyte.models", "models") != []
