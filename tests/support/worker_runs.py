"""Runs a worker's runtime in a test, with real threads and a recording broker."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rejoinder.worker.v1.worker_pb2 import Event, Grant
from rejoinder_worker.clock import Clock, SystemClock
from rejoinder_worker.registry import Registry
from rejoinder_worker.runtime import Runtime, RuntimeOptions
from tests.support.recording_broker import RecordingBroker
from tests.support.waiting import eventually


@dataclass
class WorkerRun:
    """A runtime that serves a registry."""

    runtime: Runtime
    broker: RecordingBroker
    is_over: bool = False

    async def ending(self, grant: Grant) -> Event:
        """Wait for the terminal event about an attempt."""
        event = await eventually(lambda: self.broker.ending(grant))
        assert event is not None
        return event

    async def shut_down(self, *, grace: float = 0.0, hurry: asyncio.Event | None = None) -> bool:
        self.is_over = True
        if self.broker.connection_id is not None:
            self.broker.answer()  # else the worker waits for grants that might be on their way
        return await self.runtime.shut_down(grace=grace, hurry=hurry or asyncio.Event())


@asynccontextmanager
async def running_worker(
    registry: Registry,
    *,
    broker: RecordingBroker | None = None,
    threads: int = 2,
    clock: Clock | None = None,
    heartbeat_interval: float = 60.0,
    max_result_bytes: int = 1000,
) -> AsyncIterator[WorkerRun]:
    """Run a worker until the block ends; with a connection it has claimed by then."""
    numbers = itertools.count(1)
    chosen = broker or RecordingBroker()
    runtime = Runtime(
        chosen,
        handlers=registry.handlers,
        middleware=registry.added_middleware,
        options=RuntimeOptions(
            worker="worker-1",
            threads=threads,
            claim_interval=60.0,
            heartbeat_interval=heartbeat_interval,
            max_result_bytes=max_result_bytes,
        ),
        clock=clock or SystemClock(),
        randomness=random.Random(1),
        new_id=lambda: f"claim-{next(numbers)}",
    )
    run = WorkerRun(runtime, chosen)
    await runtime.start()
    try:
        if chosen.connects:
            await eventually(lambda: chosen.claims)
        yield run
    finally:
        if not run.is_over:
            await run.shut_down()
