"""Fixtures for all tests. This file also puts tests/ on the path, so that `from builders... import` works."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from builders.tiny_marian import tiny_marian_folder
from subbyte.run.resident import instruction_sets

ISAS = dict(instruction_sets())
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A float32 MarianMT folder with one tied embedding, fresh for this test."""
    return tiny_marian_folder(tmp_path / "tiny")


@pytest.fixture(scope="session")
def multi30k() -> Path:
    """The English-German test subject beside the repository."""
    folder = SHARED / "models" / "multi30k-en-de"
    if not folder.exists():
        pytest.skip("../shared/models/multi30k-en-de is not here")
    return folder


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    """Each instruction set, where the machine has it."""
    if not ISAS[request.param]:
        pytest.skip(f"this machine has no {request.param}")
    return str(request.param)


TESTED: set[str] = set()  # instruction sets for which a test has passed; each is compared with the reference


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note the instruction set of a test, the value of its parameter `isa`, in its report, which crosses processes."""
    report = yield
    if report.when == "call" and isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        if isa := item.callspec.params.get("isa"):
            report.user_properties.append(("isa", isa))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect those of the tests that passed, in the process that prints the summary."""
    if report.when == "call" and report.passed:
        for name, value in report.user_properties:
            TESTED.update([str(value), "reference"] if name == "isa" else [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line that says which instruction sets the tests ran; .ci/run looks for those that this CPU has."""
    names = [name for name, _ in instruction_sets()]
    if TESTED:
        tested = " ".join(name for name in names if name in TESTED)
        others = " ".join(name for name in names if name not in TESTED)
        terminalreporter.write_line(f"isas tested: {tested}; not tested: {others or 'none'}")
