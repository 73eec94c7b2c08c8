"""The store's time without a question to the store."""

import time
from collections.abc import Callable

from rejoinder_server.operation import Instant


def boot_time() -> Instant:
    """Return microseconds since the machine's boot, suspended time included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class StoreClock:
    """Estimates the store's time from its last reading, so that a server's own wrong clock does not matter.

    The estimate is never ahead of the store, or a submit that is due at once would not be due yet when its claim comes.

    Args:
        local: Microseconds of a clock that only moves forward.
    """

    def __init__(self, local: Callable[[], int] = boot_time) -> None:
        self._local = local
        self._offset: int | None = None

    def observe(self, reading: Instant) -> None:
        """Take a reading of the store's time that has just been received."""
        self._offset = reading - self._local()

    def now(self) -> Instant:
        """Return the estimate.

        Raises:
            RuntimeError: The store was never read.
        """
        if self._offset is None:
            raise RuntimeError("the store's time was never read")
        return self._local() + self._offset
