"""What to say where a package is missing that only some of subbyte needs: one sentence, in one place.

subbyte is on no package index, so nothing here names it as one: what is installed is a checkout of its source.
"""

from __future__ import annotations

from collections.abc import Sequence


def missing(packages: Sequence[str], extra: str, purpose: str = "") -> str:
    """That these packages are not installed, and how to get them with the others of their extra."""
    are = "is" if len(packages) == 1 else "are"
    needed = f"{purpose} needs {' and '.join(packages)}, which {are}" if purpose else f"{' and '.join(packages)} {are}"
    return f"{needed} not installed; {command(extra)}"


def command(extra: str) -> str:
    """The command that installs an extra."""
    return f'in a checkout of subbyte: pip install ".[{extra}]"'
