"""Paces the progress of one attempt: not too often, the latest wins, the last is never lost."""

from collections.abc import Callable

from rejoinder.v1.operation_pb2 import Progress
from rejoinder_worker.attempt import Attempt
from rejoinder_worker.clock import Clock, Scheduler, Timer
from rejoinder_worker.reporter import Reporter

INTERVAL_SECONDS = 0.1


class ProgressFeed:
    """The progress of one attempt on its way to the servers.

    At most one report is unconfirmed at a time, so that a slow broker thins progress out and blocks no handler.

    Args:
        attempt: Whose progress it is.
        worker: Worker process that reports.
        reporter: Sends the reports.
        clock: Measures the interval.
        scheduler: The I/O loop.
        wake: Has a function called on the I/O loop, from any thread.
    """

    __slots__ = (
        "_attempt",
        "_clock",
        "_latest",
        "_next",
        "_reporter",
        "_scheduler",
        "_timer",
        "_underway",
        "_wake",
        "_waking",
        "_worker",
    )

    def __init__(
        self,
        attempt: Attempt,
        *,
        worker: str,
        reporter: Reporter,
        clock: Clock,
        scheduler: Scheduler,
        wake: Callable[[Callable[[], None]], None],
    ) -> None:
        self._attempt = attempt
        self._worker = worker
        self._reporter = reporter
        self._clock = clock
        self._scheduler = scheduler
        self._wake = wake
        self._latest: Progress | None = None
        self._waking = False
        self._next = float("-inf")
        self._underway = False
        self._timer: Timer | None = None

    def offer(self, progress: Progress) -> None:
        """Take the latest progress, in any thread; returns at once."""
        self._latest = progress
        # `_latest` is written before `_waking` is read, and `_woken` does it the other way round: nothing is missed.
        if not self._waking:
            self._waking = True
            self._wake(self._woken)

    def flush(self) -> None:
        """Send what is left, whatever the pace, because the attempt ends; runs on the I/O loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._latest is not None:
            self._send()

    def _woken(self) -> None:
        self._waking = False
        self._advance()

    def _advance(self) -> None:
        if self._latest is None or self._underway or self._timer is not None or self._attempt.is_silent:
            return
        wait = self._next - self._clock.boot_seconds()
        if wait > 0:
            self._timer = self._scheduler.call_later(wait, self._due)
        else:
            self._send()

    def _due(self) -> None:
        self._timer = None
        self._advance()

    def _send(self) -> None:
        progress, self._latest = self._latest, None
        if progress is None:
            return
        self._next = self._clock.boot_seconds() + INTERVAL_SECONDS
        self._underway = True
        self._reporter.send(
            self._attempt.progress_event(self._worker, progress),
            confirmed=self._confirmed,
            is_wanted=lambda: self._latest is None and not self._attempt.is_fenced,
        )

    def _confirmed(self) -> None:
        self._underway = False
        self._advance()
