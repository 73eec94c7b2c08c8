"""The inner parts of a server, on a real SQLite store with a clock that the test moves."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from rejoinder.v1.operation_pb2 import Payload, Progress
from rejoinder.worker.v1.worker_pb2 import (
    Claim,
    Event,
    Failure,
    Grant,
    Marker,
    ProcessDeath,
    ProgressReport,
    Release,
    Success,
    WorkerHeartbeat,
)
from rejoinder.worker.v1.worker_pb2 import Fence as FenceMessage
from rejoinder_server import convert
from rejoinder_server.announcer import Announcer
from rejoinder_server.clock import StoreClock
from rejoinder_server.directory import DirectoryReader
from rejoinder_server.editor import Editor
from rejoinder_server.granter import Granter
from rejoinder_server.hub import Hub
from rejoinder_server.lifecycle import Rules, accept
from rejoinder_server.metrics import Metrics
from rejoinder_server.operation import SECOND, Key, Operation, RetryPolicy, Timeouts, Transition
from rejoinder_server.reader import Reader
from rejoinder_server.recorder import Recorder
from rejoinder_server.scheduler import Scheduler
from rejoinder_server.store import open_store
from rejoinder_server.store.port import HistorySpan
from rejoinder_server.sweeper import Sweeper
from rejoinder_server.view import View
from rejoinder_server.watch import Watch
from tests.support.operations import BEGIN
from tests.support.recording_server_broker import RecordingServerBroker

MARKER_INTERVAL = 5 * SECOND
TYPE = "reports.generate"
QUEUE = "reports"
WORKER = "worker-1"
CONNECTION = "connection-1"


class Parts:
    """Granter, recorder and sweeper on one store.

    Attributes:
        now: The store's time, in microseconds.
    """

    def __init__(self, folder: Path) -> None:
        self.now = BEGIN
        self.store = open_store(f"sqlite:///{folder}/rejoinder.db", clock=lambda: self.now / SECOND)
        self.broker = RecordingServerBroker()
        self.hub = Hub()
        self.metrics = Metrics()
        self.rules = Rules(lease=30 * SECOND)
        self.random = Random(7)
        clock = StoreClock(lambda: self.now)
        clock.observe(self.now)
        self.scheduler = Scheduler(
            store=self.store, broker=self.broker, clock=clock, metrics=self.metrics, interval=3600
        )
        directory = DirectoryReader(store=self.store, clock=clock)
        self.announcer = Announcer(
            server="server-1",
            hub=self.hub,
            broker=self.broker,
            scheduler=self.scheduler,
            directory=directory,
            clock=clock,
            metrics=self.metrics,
        )
        self.editor = Editor(store=self.store, rules=self.rules, random=self.random)
        self.granter = Granter(editor=self.editor, broker=self.broker, announcer=self.announcer, metrics=self.metrics)
        self.sweeper = Sweeper(editor=self.editor, announcer=self.announcer, interval=3600)
        self.recorder = Recorder(
            editor=self.editor,
            announcer=self.announcer,
            metrics=self.metrics,
            max_result_bytes=1000,
            marker_interval=MARKER_INTERVAL,
            announced=self.sweeper.wake,
        )
        self.reader = Reader(self.store)
        self.watch = Watch(
            store=self.store,
            reader=self.reader,
            hub=self.hub,
            view=View(store=self.store, directory=directory, clock=clock),
            random=self.random,
            write_seconds=0.2,
        )

    def advance(self, seconds: float) -> None:
        """Move the store's time."""
        self.now += round(seconds * SECOND)

    async def submit(self, operation_id: str, *, type: str = TYPE, **fields: object) -> Operation:
        """Store an operation that is due now."""
        defaults: dict[str, object] = {
            "namespace": "default",
            "uid": f"uid-{operation_id}",
            "type": type,
            "queue": QUEUE,
            "request": Payload(json="{}").SerializeToString(),
            "request_id": f"request-{operation_id}",
            "fingerprint": "1:f",
            "correlation_id": operation_id,
            "labels": {},
            "headers": {},
            "priority": 0,
            "due_time": self.now,
            "timeouts": Timeouts(),
            "retry_policy": RetryPolicy(
                max_attempts=3, initial_backoff=SECOND, backoff_multiplier=2.0, max_backoff=60 * SECOND
            ),
            "retention": 60 * SECOND,
        }
        acceptance = accept(operation_id=operation_id, now=self.now, random=self.random, **{**defaults, **fields})  # type: ignore[arg-type]
        [submission] = await self.store.submit([acceptance])
        return submission.operation

    async def grant(self, *, worker: str = WORKER, connection: str = CONNECTION, slots: int = 1) -> list[Grant]:
        """Claim for a worker and return the grants that it is sent."""
        before = len(self.broker.sent)
        claim = Claim(
            claim_id=f"claim-{before}",
            worker=worker,
            connection_id=connection,
            queue=QUEUE,
            types=[TYPE],
            free_slots=slots,
        )
        await self.granter.answer([claim])
        return [message.grant for _, message in self.broker.sent[before:] if message.HasField("grant")]

    async def read(self, operation_id: str) -> Operation:
        """Return an operation as stored."""
        [operation] = await self.store.read([Key("default", operation_id)])
        assert operation is not None
        return operation

    async def history(self, operation_id: str) -> list[Transition]:
        """Return an operation's transitions."""
        operation = await self.read(operation_id)
        [transitions] = await self.store.history([HistorySpan("default", operation.uid, 0, operation.sequence)])
        return transitions

    async def mark(self) -> None:
        """Record a marker with the present time."""
        await self.recorder.record([marker(self.now)])

    async def keep_marking(self, seconds: float) -> None:
        """Let time pass with a marker at every interval."""
        for _ in range(round(seconds * SECOND / MARKER_INTERVAL)):
            self.now += MARKER_INTERVAL
            await self.mark()


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    """The inner parts of a server."""
    made = Parts(tmp_path)
    await made.store.open()
    yield made
    await made.announcer.close()
    await made.store.close()


def marker(time: int) -> Event:
    """Return a marker."""
    return Event(marker=Marker(time=convert.timestamp(time), server="server-1"))


def progressed(fence: FenceMessage, number: int, completed: int, message: str = "") -> Event:
    """Return a report of progress."""
    progress = Progress(completed=completed, message=message)
    return Event(worker=WORKER, progress=ProgressReport(fence=fence, number=number, progress=progress))


def succeeded(fence: FenceMessage, number: int = 1, json: str = "1") -> Event:
    """Return a report of success."""
    return Event(worker=WORKER, succeeded=Success(fence=fence, number=number, result=Payload(json=json)))


def failed(fence: FenceMessage, number: int = 1, *, permanent: bool = False) -> Event:
    """Return a report of failure."""
    report = Failure(fence=fence, number=number, permanent=permanent)
    report.error.code = 2
    report.error.message = "it broke"
    return Event(worker=WORKER, failed=report)


def released(fence: FenceMessage, number: int = 1) -> Event:
    """Return a report of a released attempt."""
    return Event(worker=WORKER, released=Release(fence=fence, number=number, reason="SHUTDOWN"))


def heartbeat(
    *fences: FenceMessage, worker: str = WORKER, connection: str = CONNECTION, earlier: str = "", leaving: bool = False
) -> Event:
    """Return a worker's heartbeat."""
    return Event(
        worker=worker,
        heartbeat=WorkerHeartbeat(
            connection_id=connection,
            number=1,
            fences=fences,
            types=[TYPE],
            free_slots=1,
            total_slots=2,
            earlier_connection_ids=[earlier] if earlier else [],
            leaving=leaving,
        ),
    )


def died(worker: str = WORKER) -> Event:
    """Return a supervisor's report of a dead process."""
    return Event(worker=worker, process_died=ProcessDeath(detail="killed"))
