"""The asynchronous face: `AsyncClient` and `AsyncHandle`; the same names, awaitable.

`Client` and `Handle` describe each argument and error; a test compares the two faces' signatures.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
from google.protobuf.message import Message

from rejoinder_client import calls
from rejoinder_client.actions import WatchOptions
from rejoinder_client.aio_connection import AioConnection
from rejoinder_client.channel import Endpoint, MetadataSource
from rejoinder_client.outcome import ended_at_submit, unwrap
from rejoinder_client.requests import ListOptions, SubmitOptions
from rejoinder_client.views import Limits, Operation, OperationType, Submission, Update


class AsyncHandle:
    """One operation, seen from here; see `Handle`."""

    def __init__(self, connection: AioConnection, operation_id: str, *, submission: Submission | None = None) -> None:
        self._connection = connection
        self.id = operation_id
        self.submission = submission

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    async def status(self, *, full: bool = False, wait_timeout: timedelta | None = None) -> Operation:
        """Return the operation as it is now; see `Handle.status`."""
        namespace = self._connection.endpoint.namespace
        return await self._connection.send(
            calls.get_status(self.id, namespace=namespace, full=full, wait_timeout=wait_timeout)
        )

    async def result(
        self, timeout: float | timedelta | None = None, *, result_type: type[Message] | None = None
    ) -> Any:
        """Wait for the end and return the decoded result; see `Handle.result`."""
        operation = ended_at_submit(self.submission)
        if operation is None:
            async for update in self.watch(timeout=timeout):
                operation = update.operation
        return unwrap(operation, result_type)

    async def cancel(self, reason: str = "") -> Operation:
        """Ask for the operation's cancel; see `Handle.cancel`."""
        namespace = self._connection.endpoint.namespace
        return await self._connection.send(calls.cancel(self.id, namespace=namespace, reason=reason))

    def watch(self, **options: Unpack[WatchOptions]) -> AsyncGenerator[Update, None]:
        """Iterate over the operation's updates until the terminal one; see `Handle.watch`.

        Leave it early through `contextlib.aclosing`, so that its stream ends at once.
        """
        return self._connection.watch(self.id, options)


class AsyncClient:
    """A connection to Rejoinder for asyncio; belongs to the event loop of its first call; see `Client`."""

    def __init__(
        self,
        server: str = "localhost:50051",
        *,
        namespace: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        metadata: MetadataSource = None,
        timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self._connection = AioConnection(Endpoint(server, namespace, credentials, metadata, timeout))
        self._namespace = namespace

    async def submit(
        self,
        type: str,
        payload: Any = None,
        **options: Unpack[SubmitOptions],
    ) -> AsyncHandle:
        """Submit an operation and return its handle as soon as it is stored; see `Client.submit`."""
        submission = await self._connection.send(
            calls.submit(type, payload, namespace=self._namespace, options=options)
        )
        return AsyncHandle(self._connection, submission.operation.operation_id, submission=submission)

    def attach(self, operation_id: str) -> AsyncHandle:
        """Return a handle of an operation that was submitted elsewhere; asks no server."""
        return AsyncHandle(self._connection, operation_id)

    async def list(self, **filters: Unpack[ListOptions]) -> AsyncIterator[Operation]:
        """Iterate over the operations that match, newest first, page by page."""
        token: str | None = ""
        while token is not None:
            page = await self._connection.send(
                calls.list_page(namespace=self._namespace, options=filters, page_token=token)
            )
            for operation in page.operations:
                yield operation
            token = page.next_page_token

    async def types(self) -> tuple[OperationType, ...]:
        """Return the types that workers have announced, and who serves them now."""
        return await self._connection.send(calls.list_types(namespace=self._namespace))

    async def limits(self) -> Limits:
        """Return the limits that the server checks."""
        return await self._connection.send(calls.list_limits(namespace=self._namespace))

    async def delete(self, operation_id: str) -> None:
        """Purge a terminal operation at once; see `Client.delete`."""
        await self._connection.send(calls.delete(operation_id, namespace=self._namespace))

    async def close(self) -> None:
        """Close the connection; calls and watches that still run end with CLIENT_CLOSED."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
