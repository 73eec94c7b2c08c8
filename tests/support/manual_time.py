"""Time that stands still until a test moves it: a worker's clock and scheduler in one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

_BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


class ManualTimer:
    """A call that waits for its time."""

    def __init__(self, at: float, call: Callable[[], Any]) -> None:
        self.at = at
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualTime:
    """A clock and a scheduler that a test moves by hand."""

    def __init__(self) -> None:
        self._seconds = 1000.0
        self._timers: list[ManualTimer] = []

    def boot_seconds(self) -> float:
        return self._seconds

    def now(self) -> datetime:
        return _BEGIN + timedelta(seconds=self._seconds)

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> ManualTimer:
        return self.call_later(0, callback, *args)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> ManualTimer:
        timer = ManualTimer(self._seconds + delay, lambda: callback(*args))
        self._timers.append(timer)
        return timer

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass, and make the calls that become due, in their order."""
        end = self._seconds + seconds
        while due := [timer for timer in self._timers if timer.at <= end and not timer.is_cancelled]:
            first = min(due, key=lambda timer: timer.at)
            self._timers.remove(first)
            self._seconds = max(self._seconds, first.at)
            first.call()
        self._seconds = end
