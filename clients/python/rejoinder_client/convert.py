"""From the contract's messages to views."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from google.protobuf.message import Message
from google.rpc import status_pb2

from rejoinder.v1 import operation_pb2
from rejoinder_client import views
from rejoinder_client.payload import Payload, read_payload
from rejoinder_client.status import code_name, plain_details, read_reason


def read_operation(message: operation_pb2.Operation) -> views.Operation:
    """Return the view of an operation."""
    return views.Operation(
        operation_id=message.operation_id,
        namespace=message.namespace,
        uid=message.uid,
        type=message.type,
        queue=message.queue,
        state=read_state(message.state),
        waiting_reason=read_waiting_reason(message.waiting_reason),
        waiting_detail=message.waiting_detail,
        revision=message.revision,
        attempt=message.attempt,
        request=_payload(message, "request"),
        result=_payload(message, "result"),
        error=_failure(message),
        progress=read_progress(message.progress) if message.HasField("progress") else None,
        attempts=tuple(map(_read_attempt, message.attempts)),
        correlation_id=message.correlation_id,
        labels=dict(message.labels),
        priority=message.priority,
        create_time=_time(message, "create_time"),
        update_time=_time(message, "update_time"),
        due_time=_time(message, "due_time"),
        start_time=_time(message, "start_time"),
        end_time=_time(message, "end_time"),
        deadline_time=_time(message, "deadline_time"),
        purge_time=_time(message, "purge_time"),
        cancel_request_time=_time(message, "cancel_request_time"),
        cancel_reason=message.cancel_reason,
        timeouts=_read_timeouts(message.timeouts),
        retry_policy=_read_retry_policy(message.retry_policy),
        retry_of=message.retry_of,
        retried_by=message.retried_by,
    )


def read_transition(message: operation_pb2.Transition) -> views.Transition:
    """Return the view of a transition; its operation has a view of its own."""
    return views.Transition(
        sequence=message.sequence,
        state=read_state(message.state),
        attempt=message.attempt,
        time=_time(message, "time"),
        error=_failure(message),
        worker=message.worker,
        reason=message.reason,
    )


def read_progress(message: operation_pb2.Progress) -> views.Progress:
    """Return the view of a progress."""
    return views.Progress(completed=message.completed, total=message.total, unit=message.unit, message=message.message)


def read_type(message: operation_pb2.OperationType) -> views.OperationType:
    """Return the view of a type."""
    return views.OperationType(
        name=message.name,
        queue=message.queue,
        description=message.description,
        timeouts=_read_timeouts(message.timeouts),
        retry_policy=_read_retry_policy(message.retry_policy),
        live_workers=message.live_workers,
        free_slots=message.free_slots,
        total_slots=message.total_slots,
        waiting_count=message.waiting_count,
        last_seen_time=_time(message, "last_seen_time"),
    )


def read_limits(message: operation_pb2.Limits) -> views.Limits:
    """Return the view of the limits in force."""
    return views.Limits(
        max_payload_bytes=message.max_payload_bytes,
        max_labels=message.max_labels,
        max_label_key_length=message.max_label_key_length,
        max_label_value_length=message.max_label_value_length,
        max_wait_timeout=_duration(message, "max_wait_timeout"),
        max_delay=_duration(message, "max_delay"),
        max_timeout=_duration(message, "max_timeout"),
        max_retention=_duration(message, "max_retention"),
        max_attempts=message.max_attempts,
        max_page_size=message.max_page_size,
    )


def read_state(number: int) -> views.State:
    """Return the state; UNSPECIFIED for one that a newer server added."""
    try:
        name = operation_pb2.Operation.State.Name(cast("Any", number))
        return views.State(name.removeprefix("STATE_"))
    except ValueError:
        return views.State.UNSPECIFIED


def read_waiting_reason(number: int) -> views.WaitingReason | None:
    """Return the waiting reason; None when it does not wait, or for a reason that a newer server added."""
    try:
        name = operation_pb2.Operation.WaitingReason.Name(cast("Any", number))
        return views.WaitingReason(name.removeprefix("WAITING_REASON_"))
    except ValueError:
        return None


def _read_attempt(message: operation_pb2.Attempt) -> views.Attempt:
    return views.Attempt(
        number=message.number,
        worker=message.worker,
        start_time=_time(message, "start_time"),
        end_time=_time(message, "end_time"),
        error=_failure(message),
    )


def _read_timeouts(message: operation_pb2.Timeouts) -> views.Timeouts:
    return views.Timeouts(
        queue_timeout=_duration(message, "queue_timeout"),
        attempt_timeout=_duration(message, "attempt_timeout"),
        total_timeout=_duration(message, "total_timeout"),
    )


def _read_retry_policy(message: operation_pb2.RetryPolicy) -> views.RetryPolicy:
    return views.RetryPolicy(
        max_attempts=message.max_attempts,
        initial_backoff=_duration(message, "initial_backoff"),
        backoff_multiplier=message.backoff_multiplier,
        max_backoff=_duration(message, "max_backoff"),
    )


def _failure(message: Message) -> views.Failure | None:
    if not message.HasField("error"):
        return None
    error: status_pb2.Status = getattr(message, "error")  # noqa: B009 -- three message types have this field
    code = code_name(error.code)
    return views.Failure(
        code=code,
        reason=read_reason(error.details) or code,
        message=error.message,
        details=plain_details(error.details),
    )


def _payload(message: Message, name: str) -> Payload | None:
    return read_payload(getattr(message, name)) if message.HasField(name) else None


def _time(message: Message, name: str) -> datetime | None:
    return cast("datetime", getattr(message, name).ToDatetime(tzinfo=UTC)) if message.HasField(name) else None


def _duration(message: Message, name: str) -> timedelta | None:
    return cast("timedelta", getattr(message, name).ToTimedelta()) if message.HasField(name) else None
