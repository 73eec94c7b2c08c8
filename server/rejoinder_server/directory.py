"""What is known of types and workers, kept for a moment."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rejoinder_server.batcher import Batcher
from rejoinder_server.clock import StoreClock
from rejoinder_server.operation import SECOND, Instant, TypeRecord, Watermark, WorkerRecord
from rejoinder_server.store.port import Store


@dataclass(frozen=True, slots=True)
class Directory:
    """Types and workers as of one reading.

    Attributes:
        types: Every type that was ever announced, by name.
        workers: The worker processes that are believed to live.
    """

    types: Mapping[str, TypeRecord]
    workers: Sequence[WorkerRecord]

    def has_worker(self, type: str) -> bool:
        """Whether a live worker serves a type."""
        return any(type in worker.types for worker in self.workers)


class DirectoryReader:
    """Reads the directory, at most once a second but for those who must know it now."""

    def __init__(self, *, store: Store, clock: StoreClock, max_age_seconds: float = 1.0) -> None:
        self._store = store
        self._clock = clock
        self._max_age = round(max_age_seconds * SECOND)
        self._batcher: Batcher[None, Directory] = Batcher(self._load, most=1_000)
        self._read_time: Instant = 0
        self._directory = Directory({}, ())

    async def read(self, *, is_latest: bool = False) -> Directory:
        """Return the directory as it was at most a second ago, or as it is now."""
        if is_latest or self._read_time <= self._clock.now() - self._max_age:
            return await self._batcher(None)
        return self._directory

    async def _load(self, callers: Sequence[None]) -> Sequence[Directory]:
        started = self._clock.now()
        types, workers, watermark = await asyncio.gather(
            self._store.types(), self._store.workers(), self._store.watermark()
        )
        self._directory = Directory({record.name: record for record in types}, _living(workers, watermark))
        self._read_time = started
        return [self._directory] * len(callers)


def _living(workers: Sequence[WorkerRecord], watermark: Watermark) -> Sequence[WorkerRecord]:
    return tuple(worker for worker in workers if worker.lease_time >= watermark.time)
