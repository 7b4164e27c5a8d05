"""Budgets: how large the weights of a model may be, in words."""

import re
from dataclasses import dataclass

from subbyte.errors import UsageError

BUDGET = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?([a-zA-Z]+)")
UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True)
class Budget:
    """As it was given, and the bytes that model.safetensors may have."""

    text: str
    bytes: int


def parse_budget(text: str, parameters: int) -> Budget:
    """`2.6bits` of each parameter, as `subbyte inspect` counts them, or `3MB` of model.safetensors."""
    match = BUDGET.fullmatch(text.strip())
    unit = match[2] if match else ""
    if match and unit in ("bit", "bits"):
        return Budget(f"{match[1]}bits", int(float(match[1]) * parameters / 8))
    if match and unit in UNITS:
        return Budget(match[1] + unit, int(float(match[1]) * UNITS[unit]))
    raise UsageError(
        f"budget is {text!r}, should be like 2.6bits (of each weight) or 3MB; units: {' '.join(UNITS)} bits"
    )
