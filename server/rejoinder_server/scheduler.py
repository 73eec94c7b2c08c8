"""Offers tokens when the due time of waiting operations comes."""

import asyncio

import structlog

from rejoinder_broker import Kind, ServerBroker
from rejoinder_server.clock import StoreClock
from rejoinder_server.hub import wait
from rejoinder_server.metrics import Metrics
from rejoinder_server.operation import SECOND, Instant
from rejoinder_server.store.port import Store, StoreError

log = structlog.get_logger(__name__)


class Scheduler:
    """One timer for all due times: it holds none of them, so nothing is lost with the process.

    It sleeps until the earliest due time in the store, or until an earlier one is expected, or for `interval` at most:
    by then it also knows what a server that has gone had stored.
    """

    def __init__(
        self, *, store: Store, broker: ServerBroker, clock: StoreClock, metrics: Metrics, interval: float
    ) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._metrics = metrics
        self._interval = interval
        self._flag = asyncio.Event()
        self._offered_through: Instant = 0
        self._anew = True
        self._next: Instant | None = None

    def expect(self, due_time: Instant) -> None:
        """Note that an operation will be due then."""
        if self._next is None or due_time < self._next:
            self._next = due_time
            self._flag.set()

    def offer_all(self) -> None:
        """Offer tokens for everything that is due, because earlier ones may have been lost."""
        self._anew = True
        self._flag.set()

    async def run(self) -> None:
        """Offer tokens until cancelled."""
        while True:
            self._flag.clear()
            try:
                seconds = await self._offer_due()
            except StoreError as error:
                log.debug("due times not read", error=str(error))
                seconds = 1.0
            if self._next is not None:
                seconds = min(seconds, (self._next - self._clock.now()) / SECOND)
            await wait(self._flag, max(seconds, 0.001))

    async def _offer_due(self) -> float:
        now = self._clock.now()
        is_anew, self._anew, self._next = self._anew, False, None
        try:
            kinds = await self._store.due_kinds(0 if is_anew else self._offered_through, now)
        except StoreError:
            self._anew |= is_anew
            raise
        for queue, type in kinds:
            self._metrics.tokens.inc()
            self._broker.offer(Kind(queue, type))
        self._offered_through = now
        following = await self._store.next_due_time(now)
        return self._interval if following is None else min(self._interval, (following - self._clock.now()) / SECOND)
