"""Each unary call as a value: what to send, how long it may take, how to read the answer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from rejoinder.v1 import operation_service_pb2
from rejoinder_client import views
from rejoinder_client.convert import read_limits, read_operation, read_type
from rejoinder_client.requests import ListOptions, SubmitOptions, make_list, make_submit

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Call(Generic[AnswerT]):
    """One unary call.

    Attributes:
        method: Name of the rpc.
        request: Message to send.
        read: Turns the response into what the caller gets.
        wait: How long the server was asked to wait; the deadline grows by it.
    """

    method: str
    request: Message
    read: Callable[[Any], AnswerT]
    wait: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; the last has no token."""

    operations: tuple[views.Operation, ...]
    next_page_token: str | None


def submit(type_name: str, payload: Any, *, namespace: str, options: SubmitOptions) -> Call[views.Submission]:
    """Submit an operation."""
    request = make_submit(type_name, payload, namespace=namespace, options=options)

    def read(response: operation_service_pb2.SubmitResponse) -> views.Submission:
        return views.Submission(read_operation(response.operation), response.deduplicated, response.cursor)

    return Call("Submit", request, read, wait=options.get("wait_timeout") or timedelta())


def get_status(
    operation_id: str, *, namespace: str, full: bool, wait_timeout: timedelta | None
) -> Call[views.Operation]:
    """Read an operation, perhaps after waiting for its end."""
    request = operation_service_pb2.GetStatusRequest(
        namespace=namespace,
        operation_id=operation_id,
        view=operation_service_pb2.GetStatusRequest.VIEW_FULL
        if full
        else operation_service_pb2.GetStatusRequest.VIEW_BASIC,
    )
    if wait_timeout is not None:
        request.wait_timeout.FromTimedelta(wait_timeout)
    return Call("GetStatus", request, _read_answered, wait=wait_timeout or timedelta())


def cancel(operation_id: str, *, namespace: str, reason: str) -> Call[views.Operation]:
    """Ask for an operation's cancel."""
    request = operation_service_pb2.CancelOperationRequest(
        namespace=namespace, operation_id=operation_id, reason=reason
    )
    return Call("CancelOperation", request, _read_answered)


def delete(operation_id: str, *, namespace: str) -> Call[None]:
    """Purge a terminal operation."""
    request = operation_service_pb2.DeleteOperationRequest(namespace=namespace, operation_id=operation_id)
    return Call("DeleteOperation", request, lambda _: None)


def list_page(*, namespace: str, options: ListOptions, page_token: str) -> Call[Page]:
    """Read one page of a listing."""
    request = make_list(namespace=namespace, options=options, page_token=page_token)

    def read(response: operation_service_pb2.ListOperationsResponse) -> Page:
        return Page(tuple(map(read_operation, response.operations)), response.next_page_token or None)

    return Call("ListOperations", request, read)


def list_types(*, namespace: str) -> Call[tuple[views.OperationType, ...]]:
    """Read the types and who serves them."""
    request = operation_service_pb2.ListTypesRequest(namespace=namespace)
    return Call("ListTypes", request, lambda response: tuple(map(read_type, response.types)))


def list_limits(*, namespace: str) -> Call[views.Limits]:
    """Read the limits in force."""
    request = operation_service_pb2.ListTypesRequest(namespace=namespace)
    return Call("ListTypes", request, lambda response: read_limits(response.limits))


def _read_answered(
    response: operation_service_pb2.GetStatusResponse | operation_service_pb2.CancelOperationResponse,
) -> views.Operation:
    return read_operation(response.operation)
