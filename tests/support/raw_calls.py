"""Calls through plain gRPC stubs, as a program in any language makes them, and what is refused of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from rejoinder.v1.operation_pb2 import Operation, Payload
from rejoinder.v1.operation_service_pb2 import GetStatusRequest, SubmitRequest
from rejoinder.v1.operation_service_pb2_grpc import OperationServiceStub

SECONDS = 20


@dataclass(frozen=True)
class Refusal:
    """How a call was refused.

    Attributes:
        fields: The fields of the BadRequest detail, in order.
        retry_seconds: The wait of the RetryInfo detail; None without one.
    """

    code: str
    message: str
    domain: str
    reason: str
    fields: tuple[str, ...]
    retry_seconds: float | None


class RawCaller:
    """One channel to one server."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        # The generated stubs are typed for both kinds of channel.
        self.stub: Any = OperationServiceStub(self.channel)

    def submit(self, type: str, json: str = "null", **fields: Any) -> Operation:
        """Submit and return the operation as it is then."""
        request = SubmitRequest(type=type, payload=Payload(json=json), **fields)
        operation: Operation = self.stub.Submit(request, timeout=SECONDS).operation
        return operation

    def finished(self, operation: Operation) -> Operation:
        """Wait for an operation's end."""
        request = GetStatusRequest(namespace=operation.namespace, operation_id=operation.operation_id)
        request.wait_timeout.FromSeconds(SECONDS)
        response = self.stub.GetStatus(request, timeout=2 * SECONDS)
        assert not response.timed_out, response
        answered: Operation = response.operation
        return answered

    def status(self, operation: Operation, **fields: Any) -> Operation:
        """Read an operation."""
        request = GetStatusRequest(namespace=operation.namespace, operation_id=operation.operation_id, **fields)
        answered: Operation = self.stub.GetStatus(request, timeout=SECONDS).operation
        return answered

    def refused(self, method: str, request: Any) -> Refusal:
        """Make a call that must be refused; of a stream, the first message."""
        call = getattr(self.stub, method)
        return refusal_of(lambda: _first(call(request, timeout=SECONDS)))

    def refused_bytes(self, method: str, body: bytes) -> Refusal:
        """Send bytes that are perhaps no message at all."""
        call: Any = self.channel.unary_unary(f"/rejoinder.v1.OperationService/{method}")
        return refusal_of(lambda: call(body, timeout=SECONDS))

    def health(self, part: str = "") -> str:
        """Return what a part of the server says of itself."""
        request = health_pb2.HealthCheckRequest(service=part)
        answer = health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=SECONDS)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def refusal_of(call: Callable[[], object]) -> Refusal:
    """Run a call that must fail and return its rich status."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return _refusal(error)
    raise AssertionError(f"it was not refused: {answer}")


@contextmanager
def raw_caller(address: str) -> Iterator[RawCaller]:
    """Open a channel for a while."""
    caller = RawCaller(address)
    try:
        yield caller
    finally:
        caller.channel.close()


def sample(address: str, name: str, **labels: str) -> float:
    """Read one series of a server's metrics; 0 when it has none yet."""
    with urlopen(f"http://{address}/metrics", timeout=SECONDS) as page:
        text = page.read().decode()
    samples = (found for family in text_string_to_metric_families(text) for found in family.samples)
    return sum(found.value for found in samples if found.name == name and labels.items() <= found.labels.items())


def reason_of(status: Any) -> str:
    """Return the ErrorInfo reason of an operation's error."""
    info = ErrorInfo()
    return next((info.reason for detail in status.details if detail.Unpack(info)), "")


def _first(answer: Any) -> object:
    return next(answer, None) if isinstance(answer, grpc.Call) and hasattr(answer, "__next__") else answer


def _refusal(error: grpc.RpcError) -> Refusal:
    assert isinstance(error, grpc.Call)
    trailers = {entry.key: entry.value for entry in error.trailing_metadata() or ()}
    status = Status.FromString(trailers.get("grpc-status-details-bin", b""))
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        for message in (info, bad, retry):
            detail.Unpack(message)
    has_retry = any(detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details)
    return Refusal(
        code=error.code().name,
        message=error.details() or "",
        domain=info.domain,
        reason=info.reason,
        fields=tuple(violation.field for violation in bad.field_violations),
        retry_seconds=retry.retry_delay.ToTimedelta().total_seconds() if has_retry else None,
    )
