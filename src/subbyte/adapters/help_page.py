"""Why `help(subbyte)` is one page: pydoc sees a package of which there is only the docstring.

pydoc writes out every class that a package names, with all of its methods, and lists every module: nine hundred lines.
What it asks for are the names in the package and the path of its modules; this class keeps both from it, and from
nobody else.
"""

import sys
from types import ModuleType
from typing import Any

DEPTH = 4  # frames between pydoc and what it asks for


class Package(ModuleType):
    """A package whose docstring is its page."""

    def __dir__(self) -> list[str]:
        return [] if _asked_by_pydoc() else [*super().__dir__()]

    @property
    def __path__(self) -> Any:
        if _asked_by_pydoc():
            raise AttributeError("__path__")
        return vars(self)["__path__"]

    @__path__.setter
    def __path__(self, path: Any) -> None:
        vars(self)["__path__"] = path


def _asked_by_pydoc() -> bool:
    frame = sys._getframe(1)
    for _ in range(DEPTH):
        if frame.f_back is None:
            return False
        frame = frame.f_back
        if frame.f_code.co_name == "docmodule" and frame.f_code.co_filename.endswith("pydoc.py"):
            return True  # its module may be called __main__
    return False
