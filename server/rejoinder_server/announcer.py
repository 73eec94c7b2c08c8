"""What the rest of the world is told after a commit: watchers, other servers, and workers."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog

from rejoinder.worker.v1.worker_pb2 import ChangedOperation, Changes, Stop, WorkerMessage
from rejoinder_broker import BrokerUnavailable, Kind, ServerBroker
from rejoinder_server.clock import StoreClock
from rejoinder_server.convert import fence_message
from rejoinder_server.directory import DirectoryReader
from rejoinder_server.hub import Hub
from rejoinder_server.metrics import Metrics
from rejoinder_server.operation import Change, Operation, State
from rejoinder_server.scheduler import Scheduler
from rejoinder_server.store.port import StoreError

log = structlog.get_logger(__name__)

MOST_UNDER_WAY = 1_000
"""Messages to workers that wait for the broker at a time; more are dropped, and told again after a heartbeat."""

MOST_TOKENS = 4
"""Tokens for one kind after one commit: a worker that takes one returns it while work remains, so few are enough."""


class Announcer:
    """Tells what was committed; all that it sends may be lost, so a crash before it costs only time."""

    def __init__(
        self,
        *,
        server: str,
        hub: Hub,
        broker: ServerBroker,
        scheduler: Scheduler,
        directory: DirectoryReader,
        clock: StoreClock,
        metrics: Metrics,
    ) -> None:
        self._server = server
        self._hub = hub
        self._broker = broker
        self._scheduler = scheduler
        self._directory = directory
        self._clock = clock
        self._metrics = metrics
        self._sending: set[asyncio.Task[None]] = set()

    def accepted(self, operations: Iterable[Operation]) -> None:
        """Tell workers of operations that were just stored."""
        operations = list(operations)
        for operation in operations:
            self._metrics.submit(operation.type)
            log.debug("submitted", type=operation.type, **_names(operation))
        self._offer(operations)

    def changed(self, changes: Iterable[Change], *, stop: bool = False) -> None:
        """Tell watchers, servers and workers of committed changes.

        Args:
            changes: The changes.
            stop: Whether the workers of attempts that ended, or whose cancel was asked for, are told so. Reports need
                not be answered like that.
        """
        changes = list(changes)
        # A move to another queue and a purge are no news to anybody who watches.
        visible = [change for change in changes if _is_visible(change)]
        for change in visible:
            self._hub.wake(change.before.key)
            self._metrics.transitions(change)
            _log(change)
        if visible:
            self._broker.announce(
                Changes(
                    server=self._server,
                    operations=[
                        ChangedOperation(namespace=change.before.namespace, operation_id=change.before.operation_id)
                        for change in visible
                    ],
                )
            )
        self._offer(change.after for change in changes if change.after and change.after.state is State.ACCEPTED)
        if stop:
            for change in changes:
                self._stop(change)

    async def close(self) -> None:
        """Wait for what is being sent."""
        while self._sending:
            await asyncio.wait(self._sending)

    def _offer(self, operations: Iterable[Operation]) -> None:
        now = self._clock.now()
        due: Counter[Kind] = Counter()
        for operation in operations:
            if operation.due_time <= now:
                due[Kind(operation.queue, operation.type)] += 1
            else:
                self._scheduler.expect(operation.due_time)
        for kind, count in due.items():
            for _ in range(min(count, MOST_TOKENS)):
                self._metrics.tokens.inc()
                self._broker.offer(kind)

    def _stop(self, change: Change) -> None:
        before, after = change.before, change.after
        if before.state is not State.RUNNING or after is None:
            return
        if after.state is not State.RUNNING:
            message = Stop(stale=[fence_message(before.fence)])
        elif after.cancel_request_time != before.cancel_request_time:
            message = Stop(cancelled=[fence_message(before.fence)])
        else:
            return
        self._begin(self._tell_worker(before, WorkerMessage(stop=message)))

    def tell(self, connection_ids: Iterable[str], message: WorkerMessage) -> None:
        """Send a message that a worker's next heartbeat would bring up again; nobody waits for it."""
        for connection_id in connection_ids:
            self._begin(self._send(connection_id, message))

    async def _tell_worker(self, operation: Operation, message: WorkerMessage) -> None:
        """Send a message to where an attempt was granted, and to where its process is connected since."""
        try:
            workers = (await self._directory.read(is_latest=True)).workers
        except StoreError:
            workers = ()
        now = {worker.connection_id for worker in workers if worker.worker == operation.worker}
        self.tell(now | {operation.connection_id}, message)

    async def _send(self, connection_id: str, message: WorkerMessage) -> None:
        try:
            await self._broker.send(connection_id, message)
        except BrokerUnavailable:
            return  # the next heartbeat's answer tells it again

    def _begin(self, sending: Coroutine[Any, Any, None]) -> None:
        if len(self._sending) >= MOST_UNDER_WAY:
            sending.close()
            return
        task = asyncio.create_task(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


def _is_visible(change: Change) -> bool:
    return change.after is not None and change.after.revision != change.before.revision


def _log(change: Change) -> None:
    """Log each transition: those without an error are many and say little."""
    for transition in change.transitions:
        tell = log.debug if transition.error is None else log.info
        tell(
            "transition",
            reason=transition.reason,
            state=transition.state.name,
            attempt=transition.attempt,
            worker=transition.worker,
            **_names(change.before),
        )


def _names(operation: Operation) -> dict[str, str]:
    """Return what log lines name an operation by, the caller's trace included."""
    names = {"namespace": operation.namespace, "operation_id": operation.operation_id}
    if trace_id := operation.headers.get("traceparent", "").split("-")[1:2]:
        names["trace_id"] = trace_id[0]
    return names
