"""Texts, or whatever else comes one by one, a batch at a time."""

import operator
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from subbyte.errors import UsageError

DEFAULT_BATCH_SIZE = 32

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, `size` at a time, read as they are asked for. Raises UsageError for a size below 1.

    If reading fails, a batch is cut there: what was read before the fault comes first, and then the fault.
    """
    try:
        size = operator.index(size)
    except TypeError:
        raise UsageError(f"batch size is {size!r}, should be a whole number") from None
    if size < 1:
        raise UsageError(f"batch size is {size}, should be at least 1")
    left = iter(items)
    fault: Exception | None = None
    while not fault:
        batch: list[Item] = []
        try:
            for item in islice(left, size):
                batch.append(item)
        except Exception as error:
            fault = error
        if batch:
            yield batch
        elif not fault:
            return
    raise fault
