"""Synchronous I/O: one channel, its calls and its streams."""

import threading
import time
from collections.abc import Generator
from typing import Any, TypeVar

import grpc

from rejoinder.v1.operation_service_pb2 import WatchStatusRequest, WatchStatusResponse
from rejoinder.v1.operation_service_pb2_grpc import OperationServiceStub
from rejoinder_client.actions import End, Open, Pause, Read, Show, WatchOptions
from rejoinder_client.calls import Call
from rejoinder_client.channel import Endpoint, client_closed
from rejoinder_client.status import read_rpc_error
from rejoinder_client.views import Update
from rejoinder_client.watchdog import Watchdog
from rejoinder_client.watching import Watching

AnswerT = TypeVar("AnswerT")


class Connection:
    """A channel to the servers of an endpoint; any number of threads may share it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._closed = threading.Event()
        target, options, credentials = endpoint.target(), endpoint.options(), endpoint.credentials
        self._channel = (
            grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)
        )
        self._stub = OperationServiceStub(self._channel)

    def send(self, call: Call[AnswerT]) -> AnswerT:
        """Make a unary call and return what it reads from the response."""
        self._check_open()
        method = getattr(self._stub, call.method)
        timeout = (self.endpoint.timeout + call.wait).total_seconds()
        try:
            response = method(call.request, timeout=timeout, metadata=self.endpoint.call_metadata())
        except grpc.RpcError as error:
            self._check_open()
            raise read_rpc_error(error) from error
        return call.read(response)

    def watch(self, operation_id: str, options: WatchOptions) -> Generator[Update]:
        """Yield the updates of an operation: the machine decides, this loop does it."""
        machine = Watching(operation_id, namespace=self.endpoint.namespace, options=options, clock=time.monotonic)
        stream = _Stream()
        try:
            while not isinstance(action := machine.next(), End):
                self._check_open()
                match action:
                    case Open(request):
                        stream.open(self._call(request))
                    case Read(seconds):
                        stream.read(machine, seconds)
                    case Pause(seconds):
                        stream.close()
                        action.report(options)
                        self._closed.wait(seconds)
                    case Show(update):
                        yield update
        finally:
            stream.close()

    def close(self) -> None:
        """End every call and watch, and close the channel."""
        self._closed.set()
        self._channel.close()

    def _call(self, request: WatchStatusRequest) -> Any:
        return self._stub.WatchStatus(request, metadata=self.endpoint.call_metadata())

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise client_closed()


class _Stream:
    """The WatchStatus call that a watch reads now, with a time limit for each read."""

    def __init__(self) -> None:
        self._call: Any = None
        self._watchdog: Watchdog | None = None

    def open(self, call: Any) -> None:
        """Read from this call from now on."""
        self.close()
        self._call, self._watchdog = call, Watchdog(call.cancel)

    def read(self, machine: Watching, seconds: float) -> None:
        """Read once and tell the machine what came of it."""
        if self._watchdog is None:
            raise RuntimeError("nothing is open")
        self._watchdog.expect(seconds)
        try:
            message: WatchStatusResponse | None = next(self._call, None)
        except grpc.RpcError as error:
            if self._watchdog.has_bitten:
                machine.silent()
            else:
                machine.ended(read_rpc_error(error))
        else:
            if message is None:
                machine.ended(None)
            else:
                machine.received(message)
        finally:
            self._watchdog.rest()

    def close(self) -> None:
        """Cancel the call, if it still runs, and end its watchdog."""
        if self._watchdog is not None:
            self._call.cancel()
            self._watchdog.close()
            self._watchdog = None
