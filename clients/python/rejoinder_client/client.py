"""The synchronous face: `Client` and `Handle`."""

from collections.abc import Generator, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
from google.protobuf.message import Message

from rejoinder_client import calls
from rejoinder_client.actions import WatchOptions
from rejoinder_client.channel import Endpoint, MetadataSource
from rejoinder_client.connection import Connection
from rejoinder_client.outcome import ended_at_submit, unwrap
from rejoinder_client.requests import ListOptions, SubmitOptions
from rejoinder_client.views import Limits, Operation, OperationType, Submission, Update


class Handle:
    """One operation, seen from here; holds nothing on the server.

    Attributes:
        id: The operation id.
        submission: The answer to the submit that made this handle; None after `attach`.
    """

    def __init__(self, connection: Connection, operation_id: str, *, submission: Submission | None = None) -> None:
        self._connection = connection
        self.id = operation_id
        self.submission = submission

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def status(self, *, full: bool = False, wait_timeout: timedelta | None = None) -> Operation:
        """Return the operation as it is now.

        Args:
            full: With the request payload.
            wait_timeout: Let the server wait this long for the end before it answers.

        Raises:
            NotFound: There is no such operation, or it is purged.
        """
        namespace = self._connection.endpoint.namespace
        return self._connection.send(
            calls.get_status(self.id, namespace=namespace, full=full, wait_timeout=wait_timeout)
        )

    def result(self, timeout: float | timedelta | None = None, *, result_type: type[Message] | None = None) -> Any:
        """Wait for the end and return the decoded result.

        Args:
            timeout: Wait at most this long (a number means seconds); None waits for ever, through any outage.
            result_type: Generated class of the result, if it is a protobuf message.

        Raises:
            OperationError: It ended without success.
            WaitTimeout: It has not ended in time; it goes on.
            NotFound: There is no such operation, or it is purged.
        """
        operation = ended_at_submit(self.submission)
        if operation is None:
            for update in self.watch(timeout=timeout):
                operation = update.operation
        return unwrap(operation, result_type)

    def cancel(self, reason: str = "") -> Operation:
        """Ask for the operation's cancel and return it as it is then; a running one may still succeed."""
        return self._connection.send(
            calls.cancel(self.id, namespace=self._connection.endpoint.namespace, reason=reason)
        )

    def watch(self, **options: Unpack[WatchOptions]) -> Generator[Update]:
        """Iterate over the operation's updates until the terminal one, over as many connections as it takes.

        Args:
            **options: See `WatchOptions`.

        Raises:
            NotFound: There is no such operation, or it is purged.
            InvalidRequest: The cursor is not of this operation.
            WaitTimeout: The `timeout` has passed.
            Unavailable: Nothing was heard for `reconnect_for`.
        """
        return self._connection.watch(self.id, options)


class Client:
    """A connection to Rejoinder for synchronous code; any number of threads may share one.

    Args:
        server: Any gRPC target, or several `host:port` with commas between; see `Endpoint`.
        namespace: Partition that every call of this client is about.
        credentials: Credentials of the channel; plain text when None.
        metadata: Pairs that go with every call, or a function that returns them, asked before each call.
        timeout: Longest time that one call may take with its retries, beside what the server was asked to wait.
    """

    def __init__(
        self,
        server: str = "localhost:50051",
        *,
        namespace: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        metadata: MetadataSource = None,
        timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self._connection = Connection(Endpoint(server, namespace, credentials, metadata, timeout))
        self._namespace = namespace

    def submit(
        self,
        type: str,
        payload: Any = None,
        **options: Unpack[SubmitOptions],
    ) -> Handle:
        """Submit an operation and return its handle as soon as it is stored.

        Args:
            type: Name of the work.
            payload: Anything that JSON can hold, bytes, a protobuf message, or a Payload.
            **options: See `SubmitOptions`.

        Raises:
            InvalidRequest: The type is unknown or a value is not acceptable.
            AlreadyExists: The request id was used for other content, or the operation id is taken.
            Unavailable: No server stored it for sure; submit again with the same request id.
        """
        submission = self._connection.send(calls.submit(type, payload, namespace=self._namespace, options=options))
        return Handle(self._connection, submission.operation.operation_id, submission=submission)

    def attach(self, operation_id: str) -> Handle:
        """Return a handle of an operation that was submitted elsewhere; asks no server."""
        return Handle(self._connection, operation_id)

    def list(self, **filters: Unpack[ListOptions]) -> Iterator[Operation]:
        """Iterate over the operations that match, newest first, page by page.

        Args:
            **filters: See `ListOptions`.
        """
        token: str | None = ""
        while token is not None:
            page = self._connection.send(calls.list_page(namespace=self._namespace, options=filters, page_token=token))
            yield from page.operations
            token = page.next_page_token

    def types(self) -> tuple[OperationType, ...]:
        """Return the types that workers have announced, and who serves them now."""
        return self._connection.send(calls.list_types(namespace=self._namespace))

    def limits(self) -> Limits:
        """Return the limits that the server checks."""
        return self._connection.send(calls.list_limits(namespace=self._namespace))

    def delete(self, operation_id: str) -> None:
        """Purge a terminal operation at once.

        Raises:
            InvalidRequest: It has not ended (UNFINISHED); cancel it first.
            NotFound: There is none, or it is purged already.
        """
        self._connection.send(calls.delete(operation_id, namespace=self._namespace))

    def close(self) -> None:
        """Close the connection; calls and watches that still run end with CLIENT_CLOSED."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
