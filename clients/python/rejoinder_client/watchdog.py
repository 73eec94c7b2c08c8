"""A time limit for reads that have none of their own."""

import threading
import time
from collections.abc import Callable

_JOIN_SECONDS = 5.0


class Watchdog:
    """Cancels something when an expected event does not come in time; one thread until `close`.

    gRPC's synchronous streams cannot be read with a time limit, only cancelled from another thread.
    """

    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel
        self._condition = threading.Condition()
        self._due: float | None = None
        self._is_closed = False
        self._has_bitten = False
        self._thread = threading.Thread(target=self._run, name="rejoinder-watchdog", daemon=True)
        self._thread.start()

    @property
    def has_bitten(self) -> bool:
        """Whether it has cancelled."""
        return self._has_bitten

    def expect(self, seconds: float) -> None:
        """Bite unless `rest` is called within this time."""
        with self._condition:
            self._due = time.monotonic() + seconds
            self._condition.notify()

    def rest(self) -> None:
        """Expect nothing until the next `expect`."""
        with self._condition:
            self._due = None

    def close(self) -> None:
        """End the thread; it must not be called from within the cancel."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        with self._condition:
            while not self._is_closed:
                remaining = None if self._due is None else self._due - time.monotonic()
                if remaining is not None and remaining <= 0:
                    self._has_bitten = True
                    break
                self._condition.wait(None if remaining is None else min(remaining, threading.TIMEOUT_MAX))
        # Not under the lock: the reader that wakes up from the cancel takes it.
        if self._has_bitten:
            self._cancel()
