"""Taking from what waits as much as may be handled together."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Size at which a batch ends, whatever its number: it is held, parsed and committed as a whole."""

_T = TypeVar("_T")


def take_batch(waiting: deque[_T], *, most: int, most_bytes: int, size: Callable[[_T], int]) -> list[_T]:
    """Take the first few, in order.

    Args:
        waiting: What waits; it loses what is taken.
        most: Most that are taken.
        most_bytes: Most bytes in all; one is taken however large it is.
        size: Bytes of one.
    """
    batch: list[_T] = []
    total = 0
    while waiting and len(batch) < most:
        total += size(waiting[0])
        if batch and total > most_bytes:
            break
        batch.append(waiting.popleft())
    return batch
