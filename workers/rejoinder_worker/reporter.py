"""Sends a process's events until they are confirmed.

An event is kept until its confirm; what a lost connection leaves unconfirmed is sent again, in the same order, on the
next one. The recorder drops what it has recorded already by the reports' numbers.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from rejoinder.worker.v1.worker_pb2 import Event
from rejoinder_broker.port import BrokerUnavailable, WorkerBroker
from rejoinder_worker.clock import Scheduler, Timer

MOST_UNCONFIRMED = 1_000
_RETRY_SECONDS = 1.0

_logger = structlog.get_logger("rejoinder.worker")


@dataclass(slots=True, eq=False)
class _Unconfirmed:
    event: Event
    confirmed: Callable[[], None] | None
    is_wanted: Callable[[], bool] | None
    sending: "asyncio.Future[None] | None" = None


class Reporter:
    """Keeps events until they are durable.

    Args:
        broker: Takes the events.
        scheduler: The I/O loop.
        limit: Unconfirmed events at which the process takes no more work. The events of work that was taken already
            are kept beyond it; they are at most one terminal event and one progress for each attempt.
        on_room: Called when fewer events than the limit are unconfirmed again.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        *,
        scheduler: Scheduler,
        limit: int = MOST_UNCONFIRMED,
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._broker = broker
        self._scheduler = scheduler
        self._limit = limit
        self.on_room = on_room
        # Insertion order is the order of the reports.
        self._unconfirmed: dict[_Unconfirmed, None] = {}
        self._retry: Timer | None = None
        self._all_confirmed = asyncio.Event()
        self._all_confirmed.set()

    @property
    def unconfirmed(self) -> int:
        """Events that are not known to be durable."""
        return len(self._unconfirmed)

    @property
    def is_full(self) -> bool:
        """Whether so many events are unconfirmed that no more work should be taken."""
        return len(self._unconfirmed) >= self._limit

    def send(
        self,
        event: Event,
        *,
        confirmed: Callable[[], None] | None = None,
        is_wanted: Callable[[], bool] | None = None,
    ) -> None:
        """Send an event, and again after an outage.

        Args:
            event: What to report.
            confirmed: Called once the event is durable, or is not wanted any more.
            is_wanted: Asked before the event is sent again; a False drops it.
        """
        entry = _Unconfirmed(event, confirmed, is_wanted)
        self._unconfirmed[entry] = None
        self._all_confirmed.clear()
        if self._broker.connection_id is not None:
            self._send(entry)

    def send_once(self, event: Event) -> "asyncio.Future[None]":
        """Send an event that is of no use later; the caller may watch the future or leave it."""
        future = self._broker.report(event)
        future.add_done_callback(_retrieve)
        return future

    def connected(self) -> None:
        """Send again, in order, all that the last connection left unconfirmed."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for entry in list(self._unconfirmed):
            if entry.is_wanted is not None and not entry.is_wanted():
                self._remove(entry)
            else:
                self._send(entry)

    async def drained(self, timeout: float) -> bool:
        """Wait until everything is confirmed; False when that took too long.

        Args:
            timeout: Longest wait in seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._all_confirmed.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Send nothing again."""
        if self._retry is not None:
            self._retry.cancel()

    def _send(self, entry: _Unconfirmed) -> None:
        entry.sending = self._broker.report(entry.event)
        entry.sending.add_done_callback(lambda future: self._answered(entry, future))

    def _answered(self, entry: _Unconfirmed, future: "asyncio.Future[None]") -> None:
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if future is not entry.sending or entry not in self._unconfirmed:
            return  # It was sent again meanwhile, and that one's answer counts.
        entry.sending = None
        if error is None:
            self._remove(entry)
            return
        if not isinstance(error, BrokerUnavailable):
            _logger.error("event not sent", error=repr(error))
        # While there is no connection the next one sends it again; a refusal on a live one needs a timer.
        if self._retry is None and self._broker.connection_id is not None:
            self._retry = self._scheduler.call_later(_RETRY_SECONDS, self._send_refused)

    def _send_refused(self) -> None:
        self._retry = None
        if self._broker.connection_id is None:
            return
        for entry in list(self._unconfirmed):
            if entry.sending is None:
                self._send(entry)

    def _remove(self, entry: _Unconfirmed) -> None:
        was_full = self.is_full
        del self._unconfirmed[entry]
        if not self._unconfirmed:
            self._all_confirmed.set()
        if entry.confirmed is not None:
            entry.confirmed()
        if was_full and not self.is_full:
            self.on_room()


def _retrieve(future: "asyncio.Future[None]") -> None:
    """Read the future's error, which nobody else may do."""
    if not future.cancelled():
        future.exception()
