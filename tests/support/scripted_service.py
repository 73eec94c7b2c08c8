"""An OperationService that does what a test wrote down, on a free port of this process."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from rejoinder.v1 import operation_pb2, operation_service_pb2
from rejoinder.v1.operation_service_pb2_grpc import OperationServiceServicer, add_OperationServiceServicer_to_server

State = operation_pb2.Operation.State
WatchStatusResponse = operation_service_pb2.WatchStatusResponse

_TERMINAL = {State.STATE_SUCCEEDED, State.STATE_FAILED, State.STATE_CANCELLED, State.STATE_TIMED_OUT}


@dataclass(frozen=True)
class Fail:
    """End the call with this status."""

    code: grpc.StatusCode
    message: str = "scripted"
    details: Sequence[Message] = ()


class Hang:
    """Send nothing until the client goes away."""


Step = WatchStatusResponse | Fail | Hang


class ScriptedService(OperationServiceServicer):
    """Answers each call with the next line of its script and keeps every request.

    Attributes:
        streams: One script for each WatchStatus call to come: messages, then perhaps Fail or Hang, else an end with OK.
        answers: For each unary method, responses or Fail, one for each call to come.
        requests: Requests that arrived, by method.
        metadata: Metadata of the last call.
        hung_up: Set when a client has left a hanging stream.
    """

    def __init__(self) -> None:
        self.streams: deque[Sequence[Step]] = deque()
        self.answers: dict[str, deque[Message | Fail]] = {}
        self.requests: dict[str, list[Any]] = {}
        self.metadata: dict[str, str | bytes] = {}
        self.hung_up = threading.Event()
        self.address = ""

    def answer(self, method: str, *answers: Message | Fail) -> None:
        """Add answers of a unary method."""
        self.answers.setdefault(method, deque()).extend(answers)

    def stream(self, *steps: Step) -> None:
        """Add the script of one WatchStatus call."""
        self.streams.append(steps)

    def seen(self, method: str) -> list[Any]:
        """Return the requests of a method so far."""
        return self.requests.get(method, [])

    def _unary(self, method: str, request: Message, context: grpc.ServicerContext) -> Any:
        self._note(method, request, context)
        answer = self.answers[method].popleft()
        if isinstance(answer, Fail):
            abort(context, answer)
        return answer

    def _note(self, method: str, request: Message, context: grpc.ServicerContext) -> None:
        self.requests.setdefault(method, []).append(request)
        self.metadata = dict(context.invocation_metadata())

    def Submit(self, request: Any, context: Any) -> Any:  # noqa: N802 -- the generated name
        return self._unary("Submit", request, context)

    def GetStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._unary("GetStatus", request, context)

    def CancelOperation(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._unary("CancelOperation", request, context)

    def ListOperations(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._unary("ListOperations", request, context)

    def DeleteOperation(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._unary("DeleteOperation", request, context)

    def ListTypes(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._unary("ListTypes", request, context)

    def WatchStatus(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self._note("WatchStatus", request, context)
        script, gone = self.streams.popleft(), threading.Event()

        def leave() -> None:
            gone.set()
            # Also when the client leaves before its hang is reached: gRPC does not ask for the next step then.
            if any(isinstance(step, Hang) for step in script):
                self.hung_up.set()

        if not context.add_callback(leave):
            leave()
        for step in script:
            if isinstance(step, Fail):
                abort(context, step)
            elif isinstance(step, Hang):
                gone.wait(30)
            else:
                yield step


def abort(context: grpc.ServicerContext, failure: Fail) -> None:
    """End a call with a status and its google.rpc details."""
    packed = []
    for detail in failure.details:
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    status = status_pb2.Status(code=failure.code.value[0], message=failure.message, details=packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(failure.code, failure.message)


@contextmanager
def serve(*, port: int = 0) -> Iterator[ScriptedService]:
    """Run a scripted service; its `address` says where."""
    service = ScriptedService()
    with ThreadPoolExecutor(max_workers=8) as pool:
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        add_OperationServiceServicer_to_server(service, server)
        service.address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        server.start()
        try:
            yield service
        finally:
            server.stop(grace=None).wait(10)


def error_info(reason: str) -> error_details_pb2.ErrorInfo:
    """Return the detail that every error of the contract carries."""
    return error_details_pb2.ErrorInfo(domain="rejoinder", reason=reason)


def retry_info(delay: timedelta) -> error_details_pb2.RetryInfo:
    """Return the detail that says when to try again."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromTimedelta(delay)
    return info


def operation(state: State = State.STATE_RUNNING, **fields: Any) -> operation_pb2.Operation:
    """Return an operation named `op` of type `demo.work`; a succeeded one has the result {"n":1}."""
    defaults = {"operation_id": "op", "namespace": "default", "type": "demo.work", "uid": "u1"}
    message = operation_pb2.Operation(state=state, **(defaults | fields))
    if state == State.STATE_SUCCEEDED and message.WhichOneof("outcome") is None:
        message.result.json = '{"n":1}'
    if state in _TERMINAL - {State.STATE_SUCCEEDED}:
        message.error.message = message.error.message or "it went wrong"
        message.error.code = message.error.code or 10
    return message


def snapshot(revision: int, state: State = State.STATE_RUNNING, *, gap: bool = False) -> WatchStatusResponse:
    """Return a snapshot message whose cursor is `c<revision>`."""
    return WatchStatusResponse(
        cursor=f"c{revision}", revision=revision, gap=gap, snapshot=operation(state, revision=revision)
    )


def transition(
    revision: int,
    sequence: int,
    state: State = State.STATE_RUNNING,
    *,
    reason: str = "GRANTED",
    sent_as: operation_pb2.Operation | None = None,
) -> WatchStatusResponse:
    """Return a transition message whose cursor is `c<revision>`; `sent_as` is an operation that is further by now."""
    return WatchStatusResponse(
        cursor=f"c{revision}",
        revision=revision,
        transition=operation_pb2.Transition(
            sequence=sequence,
            state=state,
            attempt=1,
            reason=reason,
            operation=sent_as or operation(state, revision=revision, attempt=1),
        ),
    )


def progress(revision: int, completed: int = 1, total: int = 10) -> WatchStatusResponse:
    """Return a progress message whose cursor is `c<revision>`."""
    return WatchStatusResponse(
        cursor=f"c{revision}",
        revision=revision,
        progress=operation_pb2.ProgressUpdate(
            attempt=1,
            progress=operation_pb2.Progress(completed=completed, total=total, unit="pages", message="reading"),
        ),
    )


def heartbeat(revision: int, *, interval: timedelta = timedelta(seconds=15)) -> WatchStatusResponse:
    """Return a heartbeat whose cursor is `c<revision>`."""
    message = WatchStatusResponse(cursor=f"c{revision}", revision=revision)
    message.heartbeat.interval.FromTimedelta(interval)
    return message


def drain(revision: int, *, retry_after: timedelta = timedelta()) -> WatchStatusResponse:
    """Return a drain whose cursor is `c<revision>`."""
    message = WatchStatusResponse(cursor=f"c{revision}", revision=revision)
    message.drain.retry_after.FromTimedelta(retry_after)
    return message
