"""Tells the servers that the process lives and what it holds, and does what their answers say."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from rejoinder.worker.v1.worker_pb2 import Event, Fence, HeartbeatAnswer, Stop, WorkerHeartbeat
from rejoinder_broker.port import WorkerBroker
from rejoinder_worker import attempt as attempts
from rejoinder_worker.attempt import Attempt, key_of
from rejoinder_worker.clock import Clock, Scheduler, Timer
from rejoinder_worker.held import Held
from rejoinder_worker.reporter import Reporter
from rejoinder_worker.slots import Slots

_REMEMBERED = 16
# More would only queue up behind a broker that takes nothing.
_MOST_UNCONFIRMED = 3
_BEATS_OF_LEASE = 3
_SHORTEST_INTERVAL_SECONDS = 0.1


class Heartbeat:
    """The heartbeat of a process; everything runs on the I/O loop.

    Args:
        broker: Names the connection that takes the answers.
        reporter: Sends the heartbeats.
        held: What they list.
        slots: What they count.
        types: Types that the process serves.
        worker: Name of the worker process.
        interval: Longest time between heartbeats in seconds; a third of the shortest lease that is granted, if less.
        clock: Measures since when a lease lasts.
        scheduler: The I/O loop.
        fence: Told of each attempt that is not current any more.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        *,
        reporter: Reporter,
        held: Held,
        slots: Slots,
        types: Sequence[str],
        worker: str,
        interval: float,
        clock: Clock,
        scheduler: Scheduler,
        fence: Callable[[Attempt], None],
    ) -> None:
        self._broker = broker
        self._reporter = reporter
        self._held = held
        self._slots = slots
        self._types = tuple(types)
        self._worker = worker
        self._interval = interval
        self._clock = clock
        self._scheduler = scheduler
        self._fence = fence
        self._number = 0
        self._connections: deque[str] = deque(maxlen=_REMEMBERED)
        self._sent: OrderedDict[int, tuple[float, list[Attempt]]] = OrderedDict()
        self._unconfirmed: set[asyncio.Future[None]] = set()
        self._timer: Timer | None = None
        self.unreadable_messages = 0

    def connected(self) -> None:
        """Send the first heartbeat of a connection, which tells all that is held, and go on from there."""
        self._connections.append(self._broker.connection_id or "")
        self._sent.clear()
        self._unconfirmed.clear()
        self._beat_and_wait()

    def note_lease(self, seconds: float) -> None:
        """Beat three times in a lease at least."""
        interval = max(seconds / _BEATS_OF_LEASE, _SHORTEST_INTERVAL_SECONDS)
        if seconds <= 0 or interval >= self._interval:
            return
        self._interval = interval
        if self._timer is not None:
            self._timer.cancel()
            self._wait()

    def disconnected(self) -> None:
        """Send none while there is no connection."""
        self.stop()

    def stop(self) -> None:
        """Send no more of them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def beat(self, *, leaving: bool = False) -> "asyncio.Future[None]":
        """Send a heartbeat now.

        Args:
            leaving: Whether it is the last one.
        """
        self._number += 1
        listed = list(self._held)
        self._sent[self._number] = (self._clock.boot_seconds(), listed)
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        heartbeat = WorkerHeartbeat(
            connection_id=self._broker.connection_id or "",
            earlier_connection_ids=list(self._connections)[:-1],
            number=self._number,
            fences=[each.grant.fence for each in listed],
            types=self._types,
            free_slots=self._slots.total - len(self._slots.running),
            total_slots=self._slots.total,
            unreadable_messages=self.unreadable_messages,
            zombies=self._slots.zombies,
            leaving=leaving,
        )
        future = self._reporter.send_once(Event(worker=self._worker, heartbeat=heartbeat))
        self._unconfirmed.add(future)
        future.add_done_callback(self._unconfirmed.discard)
        return future

    def answered(self, answer: HeartbeatAnswer) -> None:
        """Stop what is stale or cancelled; the leases of the rest last from when the heartbeat was sent."""
        sent_at, listed = self._sent.pop(answer.number, (0.0, []))
        self.told_to_stop(Stop(stale=answer.stale, cancelled=answer.cancelled))
        for each in listed:
            if not each.is_fenced:
                each.leased_since = max(each.leased_since, sent_at)

    def told_to_stop(self, stop: Stop) -> None:
        """Stop attempts at once, and those whose grants are still on their way as soon as they come."""
        for held in self._find(stop.stale, attempts.Stop.FENCED):
            self._fence(held)
        for held in self._find(stop.cancelled, attempts.Stop.CANCELLED):
            held.tell_to_stop(attempts.Stop.CANCELLED)

    def _find(self, fences: Sequence[Fence], reason: attempts.Stop) -> list[Attempt]:
        found: list[Attempt] = []
        for key in map(key_of, fences):
            attempt = self._held.get(key)
            if attempt is None:
                self._held.note_early_stop(key, reason)
            else:
                found.append(attempt)
        return found

    def _beat_and_wait(self) -> None:
        if len(self._unconfirmed) < _MOST_UNCONFIRMED:
            self.beat()
        self._wait()

    def _wait(self) -> None:
        self._timer = self._scheduler.call_later(self._interval, self._beat_and_wait)
