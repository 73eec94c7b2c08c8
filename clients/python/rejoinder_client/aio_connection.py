"""Asynchronous I/O: one channel, its calls and its streams."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from rejoinder.v1.operation_service_pb2_grpc import OperationServiceStub
from rejoinder_client.actions import End, Open, Pause, Read, Show, WatchOptions
from rejoinder_client.calls import Call
from rejoinder_client.channel import Endpoint, client_closed
from rejoinder_client.status import read_rpc_error
from rejoinder_client.views import Update
from rejoinder_client.watching import Watching

if TYPE_CHECKING:
    # Exists in the type stubs only.
    from rejoinder.v1.operation_service_pb2_grpc import OperationServiceAsyncStub

AnswerT = TypeVar("AnswerT")


class AioConnection:
    """A channel to the servers of an endpoint; belongs to the event loop of its first call."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._target = endpoint.target()
        self._closed = asyncio.Event()
        self._channel: grpc.aio.Channel | None = None

    async def send(self, call: Call[AnswerT]) -> AnswerT:
        """Make a unary call and return what it reads from the response."""
        method = getattr(self._stub(), call.method)
        timeout = (self.endpoint.timeout + call.wait).total_seconds()
        with self._unless_closed():
            try:
                response = await method(call.request, timeout=timeout, metadata=self.endpoint.call_metadata())
            except grpc.aio.AioRpcError as error:
                raise read_rpc_error(error) from error
        return call.read(response)

    async def watch(self, operation_id: str, options: WatchOptions) -> AsyncGenerator[Update, None]:
        """Yield the updates of an operation: the machine decides, this loop does it."""
        machine = Watching(operation_id, namespace=self.endpoint.namespace, options=options, clock=time.monotonic)
        stream: Any = None
        try:
            while not isinstance(action := machine.next(), End):
                match action:
                    case Open(request):
                        _cancel(stream)
                        stream = self._stub().WatchStatus(request, metadata=self.endpoint.call_metadata())
                    case Read(seconds):
                        with self._unless_closed():
                            await _read(stream, machine, seconds)
                    case Pause(seconds):
                        _cancel(stream)
                        action.report(options)
                        await _wait(self._closed.wait(), seconds)
                    case Show(update):
                        yield update
        finally:
            _cancel(stream)

    async def close(self) -> None:
        """End every call and watch, and close the channel."""
        self._closed.set()
        if self._channel is not None:
            await self._channel.close()

    def _stub(self) -> "OperationServiceAsyncStub":
        if self._closed.is_set():
            raise client_closed()
        if self._channel is None:
            # Not in the constructor: a channel belongs to the loop that runs when it is made.
            endpoint = self.endpoint
            self._channel = (
                grpc.aio.secure_channel(self._target, endpoint.credentials, endpoint.options())
                if endpoint.credentials
                else grpc.aio.insecure_channel(self._target, endpoint.options())
            )
        return OperationServiceStub(self._channel)

    @contextmanager
    def _unless_closed(self) -> Iterator[None]:
        """Tell the cancel that comes from `close` from one of the caller's task."""
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        try:
            yield
        except asyncio.CancelledError:
            if not self._closed.is_set() or (task and task.cancelling() > cancels):
                raise
            raise client_closed() from None


async def _read(stream: Any, machine: Watching, seconds: float) -> None:
    """Read once and tell the machine what came of it."""
    try:
        message = await asyncio.wait_for(stream.read(), seconds)  # cancels the stream when the time is up
    except TimeoutError:
        machine.silent()
    except grpc.aio.AioRpcError as error:
        machine.ended(read_rpc_error(error))
    else:
        if message is grpc.aio.EOF:
            machine.ended(None)
        else:
            machine.received(message)


async def _wait(event: Awaitable[object], seconds: float) -> None:
    try:
        await asyncio.wait_for(event, seconds)
    except TimeoutError:
        return


def _cancel(stream: Any) -> None:
    if stream is not None:
        stream.cancel()
