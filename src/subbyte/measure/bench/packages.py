"""Packages that need not be there."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from subbyte import errors
from subbyte.errors import MeasurementError


def require(purpose: str, packages: Sequence[str]) -> None:
    """Raise MeasurementError if one of the packages is not installed. Imports none of them."""
    missing = [package for package in packages if not installed(package)]
    if missing:
        raise MeasurementError(errors.missing_packages(missing, "bench", purpose))


def installed(package: str) -> bool:
    """Whether a top-level package could be imported."""
    try:
        return find_spec(package) is not None
    except ImportError:
        return False


def version_of(distribution: str) -> str:
    """The version of an installed distribution; a source tree has none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "source"
