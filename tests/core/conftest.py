"""Instruction sets beside the reference."""

import pytest

from subbyte import _core

ISAS = {name: runs for name, runs, _ in _core.isas()}


@pytest.fixture(params=[name for name in ISAS if name != "reference"])
def isa(request):
    if not ISAS[request.param]:
        pytest.skip(f"this machine has no {request.param}")
    return request.param
