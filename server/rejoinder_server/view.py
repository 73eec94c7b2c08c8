"""Shows operations to callers: the stored row, with what is derived or kept apart."""

from collections.abc import Sequence

from rejoinder.v1 import operation_pb2
from rejoinder_server import convert
from rejoinder_server.clock import StoreClock
from rejoinder_server.directory import DirectoryReader
from rejoinder_server.operation import Operation, State, Transition
from rejoinder_server.store.port import HistorySpan, Store

HISTORY_FOR_ATTEMPTS = 100
"""Latest transitions from which the attempts that are shown are derived."""


class View:
    """Makes messages of operations."""

    def __init__(self, *, store: Store, directory: DirectoryReader, clock: StoreClock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock

    async def message(
        self,
        operation: Operation,
        *,
        with_request: bool = False,
        with_attempts: bool = False,
        with_outcome: bool = True,
    ) -> operation_pb2.Operation:
        """Return the message of one operation."""
        [message] = await self.messages(
            [operation], with_request=with_request, with_attempts=with_attempts, with_outcome=with_outcome
        )
        return message

    async def messages(
        self,
        operations: Sequence[Operation],
        *,
        with_request: bool = False,
        with_attempts: bool = False,
        with_outcome: bool = True,
    ) -> list[operation_pb2.Operation]:
        """Return the messages of operations, in order."""
        requests: Sequence[bytes | None] = [None] * len(operations)
        if with_request:
            requests = await self._store.requests([(operation.namespace, operation.uid) for operation in operations])
        histories: Sequence[Sequence[Transition]] = [()] * len(operations)
        if with_attempts:
            histories = await self._store.history([_latest(operation) for operation in operations])
        return [
            convert.operation_message(
                operation,
                request=request,
                attempts=history,
                waiting=await self.waiting(operation),
                with_outcome=with_outcome,
            )
            for operation, request, history in zip(operations, requests, histories, strict=True)
        ]

    async def waiting(self, operation: Operation) -> "convert.Waiting":
        """Return why an operation waits, and the same in words."""
        if operation.state is not State.ACCEPTED:
            return operation_pb2.Operation.WAITING_REASON_UNSPECIFIED, ""
        directory = await self._directory.read()
        return convert.waiting_of(operation, self._clock.now(), directory.has_worker(operation.type))


def _latest(operation: Operation) -> HistorySpan:
    after = max(0, operation.sequence - HISTORY_FOR_ATTEMPTS)
    return HistorySpan(operation.namespace, operation.uid, after, operation.sequence)
