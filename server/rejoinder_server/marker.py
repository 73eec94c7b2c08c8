"""Sends the store's time through the events queue, and keeps the server's own idea of it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from rejoinder.worker.v1.worker_pb2 import Event, Marker
from rejoinder_broker import BrokerUnavailable, ServerBroker
from rejoinder_server import convert
from rejoinder_server.clock import StoreClock
from rejoinder_server.store.port import Store, StoreUnavailable

log = structlog.get_logger(__name__)


class MarkerSender:
    """Reads the store's time every interval, tells whether the store answered, and sends the reading as a marker.

    Args:
        note_store: Called with whether the store answered.
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
    ) -> None:
        self._server = server
        self._store = store
        self._broker = broker
        self._clock = clock
        self._interval = interval.total_seconds()
        self._note_store = note_store

    async def run(self) -> None:
        """Send markers until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._interval * 2):
                    await self._send()
            except (StoreUnavailable, BrokerUnavailable, TimeoutError) as error:
                log.debug("no marker sent", error=str(error))
            await asyncio.sleep(self._interval)

    async def _send(self) -> None:
        try:
            reading = await self._store.now()
        except (StoreUnavailable, asyncio.CancelledError):
            self._note_store(False)
            raise
        self._clock.observe(reading)
        self._note_store(True)
        if self._broker.is_connected:
            marker = Marker(time=convert.timestamp(reading), server=self._server)
            await self._broker.report(Event(marker=marker))
