"""From Python values to the contract's requests."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, cast

from google.protobuf.message import Message

from rejoinder.v1 import operation_pb2, operation_service_pb2
from rejoinder_client.errors import InvalidRequest
from rejoinder_client.payload import encode
from rejoinder_client.views import State


class SubmitOptions(TypedDict, total=False):
    """What a submit may say beside type and payload; what is left out is the handler's or the server's choice."""

    request_id: str
    """Idempotency key; made by the client when left out, so that its own retries make no second operation."""
    operation_id: str
    """Name of the operation; made by the server when left out."""
    correlation_id: str
    """The caller's id for matching replies."""
    labels: Mapping[str, str]
    """The caller's labels."""
    priority: int
    """From -100 to 100, higher first."""
    delay: timedelta
    """Wait this long before it may run; not together with due_time."""
    due_time: datetime
    """Do not run before; must know its time zone."""
    queue_timeout: timedelta
    """From due to the first grant."""
    attempt_timeout: timedelta
    """For one attempt."""
    total_timeout: timedelta
    """From accepted to terminal."""
    max_attempts: int
    """Attempts that may end in an error or an attempt timeout."""
    initial_backoff: timedelta
    """Wait before the second attempt."""
    backoff_multiplier: float
    """Factor from one wait to the next."""
    max_backoff: timedelta
    """Longest wait between attempts."""
    retention: timedelta
    """How long the operation is kept after its end."""
    wait_timeout: timedelta
    """Let the server wait this long for the end before it answers."""
    validate_only: bool
    """Check everything, store nothing."""


class ListOptions(TypedDict, total=False):
    """Filters of a listing; all that are given must match."""

    states: Iterable[State | str]
    """Any of these states."""
    types: Iterable[str]
    """Any of these types."""
    queues: Iterable[str]
    """Any of these queues."""
    correlation_id: str
    """This correlation id."""
    labels: Mapping[str, str]
    """All of these labels."""
    error_reason: str
    """This reason in the operation's error."""
    create_time_from: datetime
    """Created at or after."""
    create_time_before: datetime
    """Created before."""
    full: bool
    """With payloads and attempts."""
    page_size: int
    """Most operations that one call asks for; the iteration goes on over all pages."""


_OWNERS = {
    "queue_timeout": "timeouts",
    "attempt_timeout": "timeouts",
    "total_timeout": "timeouts",
    "max_attempts": "retry_policy",
    "initial_backoff": "retry_policy",
    "backoff_multiplier": "retry_policy",
    "max_backoff": "retry_policy",
}


def make_submit(
    type_name: str, payload: Any, *, namespace: str, options: SubmitOptions
) -> operation_service_pb2.SubmitRequest:
    """Return the request of a submit, with a request id in any case.

    Raises:
        InvalidRequest: A value cannot be put into the request.
    """
    if options.get("delay") is not None and options.get("due_time") is not None:
        raise _invalid("delay", "it and due_time exclude each other")
    request = operation_service_pb2.SubmitRequest(namespace=namespace, payload=encode(payload))
    _set_field(request, "type", type_name)
    _set_field(request, "request_id", uuid.uuid4().hex)
    _fill(request, options)
    return request


def make_list(*, namespace: str, options: ListOptions, page_token: str) -> operation_service_pb2.ListOperationsRequest:
    """Return the request of one page of a listing.

    Raises:
        InvalidRequest: A value cannot be put into the request.
    """
    views = operation_service_pb2.ListOperationsRequest
    request = operation_service_pb2.ListOperationsRequest(
        namespace=namespace,
        page_token=page_token,
        view=views.VIEW_FULL if options.get("full") else views.VIEW_BASIC,
        states=[_state_number(state) for state in options.get("states") or ()],
    )
    _fill(request, {name: value for name, value in options.items() if name not in {"full", "states"}})
    return request


def _fill(request: Message, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if value is not None:
            _set_field(getattr(request, _OWNERS[name]) if name in _OWNERS else request, name, value)


def _set_field(message: Message, name: str, value: Any) -> None:
    if name not in message.DESCRIPTOR.fields_by_name:
        raise TypeError(f"there is no option {name!r}")
    try:
        match value:
            case timedelta():
                getattr(message, name).FromTimedelta(value)
            case datetime():
                getattr(message, name).FromDatetime(_aware(name, value))
            case Mapping():
                getattr(message, name).update(value)
            case str() | int() | float():
                setattr(message, name, value)
            case _:
                getattr(message, name).extend(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise _invalid(name, str(error)) from error


def _aware(name: str, time: datetime) -> datetime:
    if time.tzinfo is None:
        raise _invalid(name, "the time must know its time zone")
    return time.astimezone(UTC)


def _state_number(state: str) -> operation_pb2.Operation.State:
    try:
        return cast("operation_pb2.Operation.State", operation_pb2.Operation.State.Value(f"STATE_{state.upper()}"))
    except ValueError as error:
        raise _invalid("states", f"there is no state {state!r}") from error


def _invalid(field: str, description: str) -> InvalidRequest:
    return InvalidRequest(
        f"{field}: {description} (INVALID_FIELD)",
        code="INVALID_ARGUMENT",
        reason="INVALID_FIELD",
        details=(
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": field, "description": description}],
            },
        ),
    )
