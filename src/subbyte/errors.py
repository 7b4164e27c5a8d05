"""The exceptions subbyte raises on purpose.

SubbyteError
├── UsageError    (ValueError)  an argument that cannot be right: an unknown preset, a bad option
├── RecipeError   (ValueError)  a recipe that does not fit: unknown key, a tensor without a rule
├── SchemeError   (ValueError)  a scheme that does not exist or does not fit a tensor
├── ModelError    (ValueError)  a folder that is not a model, or a model we do not run
├── FormatError   (ValueError)  a converted folder that is damaged, altered or of another version
├── KernelError   (RuntimeError) an instruction set that cannot run here
└── MeasurementError (RuntimeError) a benchmark that cannot be made: a rival is missing, a worker process died

Every message is one sentence or a short list that says what, where, what was expected, what was found and what to do.
"""

from collections.abc import Iterable, Sequence


class SubbyteError(Exception):
    """Anything subbyte refuses to do; the command line prints it as one sentence and exits with 1."""


class UsageError(SubbyteError, ValueError):
    """An argument that cannot be right."""


class RecipeError(SubbyteError, ValueError):
    """A recipe that cannot be read or does not cover the model."""


class SchemeError(SubbyteError, ValueError):
    """A scheme that does not exist, or cannot be applied to a tensor of this shape."""


class ModelError(SubbyteError, ValueError):
    """A folder that is not a model, or a model of an architecture that is not supported."""


class FormatError(SubbyteError, ValueError):
    """A converted folder that is damaged, was altered, or has another format version."""


class KernelError(SubbyteError, RuntimeError):
    """An instruction set that was asked for and cannot run on this machine."""


class MeasurementError(SubbyteError, RuntimeError):
    """A benchmark that cannot be made: a rival that is not installed or fails, a worker process that died or hangs."""


FAULTS_SHOWN = 40
NAMES_SHOWN = 3
FAULT_LENGTH = 400  # characters; what a fault quotes may be long


def fault_list(where: str, faults: list[str]) -> str:
    """One message that names every fault, or the first FAULTS_SHOWN of them and how many more there are."""
    shown = [fault if len(fault) <= FAULT_LENGTH else f"{fault[:FAULT_LENGTH]} ..." for fault in faults[:FAULTS_SHOWN]]
    more = [f"... and {len(faults) - FAULTS_SHOWN} more"] if len(faults) > FAULTS_SHOWN else []
    return "\n  ".join([f"{where}:", *shown, *more])


def few(names: Iterable[str]) -> str:
    """The first NAMES_SHOWN names, and how many more there are."""
    listed = [*names]
    more = f" and {len(listed) - NAMES_SHOWN} more" if len(listed) > NAMES_SHOWN else ""
    return ", ".join(listed[:NAMES_SHOWN]) + more


def missing_packages(packages: Sequence[str], extra: str, purpose: str = "") -> str:
    """That these packages are not installed, and how to get them with the others of their extra."""
    are = "is" if len(packages) == 1 else "are"
    needed = f"{purpose} needs {' and '.join(packages)}, which {are}" if purpose else f"{' and '.join(packages)} {are}"
    return f"{needed} not installed; {install_command(extra)}"


def install_command(extra: str) -> str:
    """The command that installs an extra."""
    return f'in a checkout of subbyte: pip install ".[{extra}]"'
