"""The values of a config.json that a stranger wrote, each checked as it is taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from subbyte.errors import ModelError, fault_list

MOST_LAYERS = 256
MOST_WIDTH = 1 << 16  # int8 inputs times levels less their zero, summed over so many columns, still fit an int32
MOST_WORDS = 1 << 24
MOST_POSITIONS = 1 << 16


@dataclass(frozen=True)
class Fields:
    """A configuration, and what is wrong with what was taken from it so far."""

    config: Mapping[str, Any]
    keys: Mapping[str, str] = field(default_factory=dict)  # our key -> its own, where that is another
    # our key -> the value that it has whatever the configuration says
    fixed: Mapping[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def number(self, key: str, most: int, default: int | None = None, least: int = 1) -> int:
        """A whole number in least..most; without a default it has to be there."""
        if key in self.fixed:
            return int(self.fixed[key])
        key = self.keys.get(key, key)
        value = self.config.get(key, default)
        if type(value) is not int or not least <= value <= most:
            self.faults.append(f"{key} is {value!r}, should be a whole number from {least} to {most}")
            return least
        return value

    def flag(self, key: str, default: bool) -> bool:
        """A truth value; null stands for the default."""
        value = self.config.get(key)
        if value is not None and not isinstance(value, bool):
            self.faults.append(f"{key} is {value!r}, should be true or false")
        return default if value is None else bool(value)

    def activation(self, key: str) -> str:
        """gelu (exact, by erf), relu or silu."""
        key = self.keys.get(key, key)
        value = self.config.get(key, "gelu")
        if value not in ("gelu", "relu", "silu", "swish"):
            self.faults.append(f"{key} is {value!r}, should be one of gelu, relu, silu, swish")
        return "silu" if value == "swish" else str(value)

    def check(self, where: str) -> None:
        """Raise a ModelError with all faults, if there are any."""
        if self.faults:
            raise ModelError(fault_list(where, self.faults))
