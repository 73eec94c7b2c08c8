"""Sends the store's time through the events queue, and keeps the server's own idea of it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from rejoinder.worker.v1.worker_pb2 import Event, Marker
from rejoinder_broker import BrokerUnavailable, ServerBroker
from rejoinder_server import convert
from rejoinder_server.clock import StoreClock
from rejoinder_server.operation import Instant
from rejoinder_server.store.port import Store, StoreError

log = structlog.get_logger(__name__)


class MarkerSender:
    """Reads the store's time every interval, tells whether the store answered, and sends the reading as a marker.

    Args:
        note_store: Called with whether the store answered.
        note_dispatch: Called with whether the broker took a marker.
    """

    def __init__(
        self,
        *,
        server: str,
        store: Store,
        broker: ServerBroker,
        clock: StoreClock,
        interval: timedelta,
        note_store: Callable[[bool], None],
        note_dispatch: Callable[[bool], None],
    ) -> None:
        self._server = server
        self._store = store
        self._broker = broker
        self._clock = clock
        self._interval = interval.total_seconds()
        self._note_store = note_store
        self._note_dispatch = note_dispatch
        self._answers = True

    async def run(self) -> None:
        """Send markers until cancelled."""
        while True:
            if (reading := await self._read()) is not None:
                await self._send(reading)
            await asyncio.sleep(self._interval)

    async def _read(self) -> Instant | None:
        try:
            async with asyncio.timeout(self._interval * 2):
                reading = await self._store.now()
        except (StoreError, TimeoutError) as error:
            self._note(answers=False, detail=str(error) or "It is silent.")
            return None
        self._clock.observe(reading)
        self._note(answers=True)
        return reading

    async def _send(self, reading: Instant) -> None:
        if not self._broker.is_connected:
            return
        marker = Marker(time=convert.timestamp(reading), server=self._server)
        try:
            async with asyncio.timeout(self._interval * 2):
                await self._broker.report(Event(marker=marker))
        except (BrokerUnavailable, TimeoutError) as error:
            # Connected, and yet nothing goes out: an alarm holds publishers.
            log.debug("no marker sent", error=str(error))
            self._note_dispatch(False)
        else:
            self._note_dispatch(True)

    def _note(self, *, answers: bool, detail: str = "") -> None:
        """Say once per outage that the store does not answer, and once that it does again."""
        if answers and not self._answers:
            log.info("store answers")
        elif not answers and self._answers:
            log.warning("store does not answer; calls that need it are refused", detail=detail)
        self._answers = answers
        self._note_store(answers)
