"""Counts for /metrics what only the store knows."""

import asyncio

import structlog

from rejoinder_server.clock import StoreClock
from rejoinder_server.directory import DirectoryReader
from rejoinder_server.hub import Hub
from rejoinder_server.metrics import Metrics
from rejoinder_server.operation import SECOND
from rejoinder_server.store.port import Store, StoreError

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 5.0
MOST_SHARE = 0.05
"""Counting a large store takes long; it pauses so that it takes no more than this part of the time."""


class Census:
    """Refreshes the gauges every few seconds, more seldom where that takes long."""

    def __init__(
        self, *, store: Store, directory: DirectoryReader, hub: Hub, clock: StoreClock, metrics: Metrics
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._metrics = metrics
        metrics.watchers.set_function(lambda: len(hub))

    async def run(self) -> None:
        """Count until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            try:
                await self._count()
            except StoreError as error:
                log.debug("not counted", error=str(error))
            await asyncio.sleep(max(INTERVAL_SECONDS, (clock() - started) / MOST_SHARE))

    async def _count(self) -> None:
        metrics, now = self._metrics, self._clock.now()
        for state, count in (await self._store.counts()).items():
            metrics.operations.labels(state.name).set(count)
        waiting = await self._store.waiting()
        metrics.waiting.clear()
        for row in waiting:
            metrics.waiting.labels(row.queue, row.type).inc(row.count)
        oldest = min((row.oldest_due_time for row in waiting if row.oldest_due_time is not None), default=now)
        metrics.oldest_waiting_seconds.set(max(0, now - oldest) / SECOND)
        watermark = await self._store.watermark()
        metrics.watermark_lag_seconds.set(max(0, now - watermark.time) / SECOND if watermark.time else 0)
        workers = (await self._directory.read()).workers
        metrics.workers.set(len(workers))
        metrics.worker_slots.labels("free").set(sum(worker.free_slots for worker in workers))
        metrics.worker_slots.labels("total").set(sum(worker.total_slots for worker in workers))
        metrics.zombies.set(sum(worker.zombies for worker in workers))
        metrics.worker_unreadable.set(sum(worker.unreadable_messages for worker in workers))
