"""The committed stub of the core is what its generator makes of the core."""

from pathlib import Path

from nanobind.stubgen import StubGen

import subbyte._core


def test_the_stub_is_up_to_date() -> None:
    generator = StubGen(subbyte._core)
    generator.put(subbyte._core)
    committed = (Path(__file__).resolve().parents[2] / "src" / "subbyte" / "_core.pyi").read_text("utf-8")
    assert generator.get() == committed, "run: python -m nanobind.stubgen -m subbyte._core -O src/subbyte"
