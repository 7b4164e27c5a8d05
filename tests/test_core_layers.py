"""Files of the C++ core include only what stands to their right in ARCHITECTURE.md; neither Python nor a throw."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "core"
FOLDERS = re.findall(r"[a-z]+", re.search(r"^bindings -> (.*)$", (ROOT / "ARCHITECTURE.md").read_text(), re.M)[1])


def files(folder: str) -> list[Path]:
    return [path for path in (CORE / folder).rglob("*") if path.suffix in {".cpp", ".hpp"}]


def test_includes_go_down() -> None:
    assert {path.name for path in CORE.iterdir()} == {*FOLDERS, "bindings", "tests"}
    for at, folder in enumerate(FOLDERS):
        for path in files(folder):
            used = {name.split("/")[0] for name in re.findall(r'^#include "(.*)"', path.read_text(), re.M)}
            assert used <= {*FOLDERS[at:]}, path


def test_only_the_bindings_for_python_throw() -> None:
    for folder in (*FOLDERS, "bindings/c"):
        for path in files(folder):
            code = re.sub(r"//.*", "", path.read_text())
            assert not re.search(r"\b(throw|try|catch)\b|nanobind|Python\.h", code), path
