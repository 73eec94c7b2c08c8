"""Time as a worker process reads it, passed in so that tests can move it by hand."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol


class Clock(Protocol):
    """Reads time."""

    def boot_seconds(self) -> float:
        """Seconds since the machine booted, those in which it was suspended included.

        Leases are measured with this: a wall clock may be set, and a monotonic clock stands still during suspension, so
        that a grant would look younger than it is.
        """

    def now(self) -> datetime:
        """The local wall clock, in UTC."""


class SystemClock:
    """The machine's clocks."""

    def boot_seconds(self) -> float:
        """Seconds since the machine booted, those in which it was suspended included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> datetime:
        """The local wall clock, in UTC."""
        return datetime.now(UTC)


class Timer(Protocol):
    """Something that will be called unless it is cancelled."""

    def cancel(self) -> None:
        """Do not call it any more."""


class Scheduler(Protocol):
    """The part of an asyncio event loop that the bookkeeping needs."""

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call it in the loop's next turn."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call it after `delay` seconds."""
