"""Turns the server's values into messages and back, exactly: times and spans by integers alone."""

from collections.abc import Sequence
from typing import TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from rejoinder.v1 import operation_pb2
from rejoinder.worker.v1 import worker_pb2
from rejoinder_server.instants import rfc3339
from rejoinder_server.lifecycle import CANCEL_REQUESTED, GRANTED
from rejoinder_server.limits import Limits
from rejoinder_server.operation import (
    SECOND,
    Fence,
    Instant,
    Operation,
    RetryPolicy,
    Span,
    State,
    Timeouts,
    Transition,
    TypeRecord,
    WorkerRecord,
)

OperationMessage: TypeAlias = operation_pb2.Operation
FenceMessage: TypeAlias = worker_pb2.Fence
WaitingReason: TypeAlias = operation_pb2.Operation.WaitingReason
Waiting: TypeAlias = tuple[WaitingReason, str]
"""Why an operation waits, and the same in words."""

NOT_WAITING: Waiting = (OperationMessage.WAITING_REASON_UNSPECIFIED, "")
MOST_ATTEMPTS = 20
"""Attempts of an operation that are shown."""

_NANOS = 1_000


def timestamp(instant: Instant) -> Timestamp:
    """Return an instant as a message."""
    seconds, micros = divmod(instant, SECOND)
    return Timestamp(seconds=seconds, nanos=micros * _NANOS)


def instant(message: Timestamp) -> Instant:
    """Return a message as an instant; what is finer than a microsecond is cut off."""
    return message.seconds * SECOND + message.nanos // _NANOS


def duration(span: Span) -> Duration:
    """Return a span as a message; both parts of it have the span's sign."""
    seconds, micros = divmod(abs(span), SECOND)
    sign = -1 if span < 0 else 1
    return Duration(seconds=sign * seconds, nanos=sign * micros * _NANOS)


def span(message: Duration) -> Span:
    """Return a message as a span; what is finer than a microsecond is cut off, towards zero."""
    nanos = message.seconds * SECOND * _NANOS + message.nanos
    return nanos // _NANOS if nanos >= 0 else -(-nanos // _NANOS)


def timeouts_message(timeouts: Timeouts) -> operation_pb2.Timeouts:
    """Return timeouts, or a layer of them, as a message."""
    return operation_pb2.Timeouts(
        queue_timeout=_duration_or_none(timeouts.queue),
        attempt_timeout=_duration_or_none(timeouts.attempt),
        total_timeout=_duration_or_none(timeouts.total),
    )


def timeouts(message: operation_pb2.Timeouts) -> Timeouts:
    """Return a message as a layer of timeouts."""
    return Timeouts(
        queue=span(message.queue_timeout) if message.HasField("queue_timeout") else None,
        attempt=span(message.attempt_timeout) if message.HasField("attempt_timeout") else None,
        total=span(message.total_timeout) if message.HasField("total_timeout") else None,
    )


def retry_policy_message(policy: RetryPolicy) -> operation_pb2.RetryPolicy:
    """Return a retry policy, or a layer of one, as a message."""
    return operation_pb2.RetryPolicy(
        max_attempts=policy.max_attempts or 0,
        initial_backoff=_duration_or_none(policy.initial_backoff),
        backoff_multiplier=policy.backoff_multiplier or 0.0,
        max_backoff=_duration_or_none(policy.max_backoff),
    )


def retry_policy(message: operation_pb2.RetryPolicy) -> RetryPolicy:
    """Return a message as a layer of a retry policy; numbers that are 0 say nothing."""
    return RetryPolicy(
        max_attempts=message.max_attempts or None,
        initial_backoff=span(message.initial_backoff) if message.HasField("initial_backoff") else None,
        backoff_multiplier=message.backoff_multiplier or None,
        max_backoff=span(message.max_backoff) if message.HasField("max_backoff") else None,
    )


def type_record(message: worker_pb2.TypeAnnouncement, *, last_seen_time: Instant) -> TypeRecord:
    """Return an announced type as the store keeps it."""
    return TypeRecord(
        name=message.name,
        queue=message.queue,
        description=message.description,
        timeouts=timeouts(message.timeouts),
        retry_policy=retry_policy(message.retry_policy),
        last_seen_time=last_seen_time,
    )


def type_message(
    record: TypeRecord, *, workers: Sequence[WorkerRecord], waiting_count: int
) -> operation_pb2.OperationType:
    """Return a type as ListTypes tells it, with the live workers that serve it and what waits for them."""
    return operation_pb2.OperationType(
        name=record.name,
        queue=record.queue,
        description=record.description,
        timeouts=timeouts_message(record.timeouts),
        retry_policy=retry_policy_message(record.retry_policy),
        live_workers=len(workers),
        free_slots=sum(worker.free_slots for worker in workers),
        total_slots=sum(worker.total_slots for worker in workers),
        waiting_count=waiting_count,
        last_seen_time=timestamp(record.last_seen_time),
    )


def fence_message(fence: Fence) -> FenceMessage:
    """Return a fence as a message."""
    return FenceMessage(
        namespace=fence.namespace,
        operation_id=fence.operation_id,
        uid=fence.uid,
        attempt=fence.attempt,
        nonce=fence.nonce,
    )


def fence(message: FenceMessage) -> Fence:
    """Return a message as a fence."""
    return Fence(message.namespace, message.operation_id, message.uid, message.attempt, message.nonce)


def grant_message(operation: Operation, request: bytes, claim_id: str, lease: Span) -> worker_pb2.Grant:
    """Return the running attempt as what is handed to its worker.

    Args:
        operation: The operation, just granted.
        request: Serialised `rejoinder.v1.Payload`.
        claim_id: The claim that it answers.
        lease: How long the lease lasts.
    """
    return worker_pb2.Grant(
        claim_id=claim_id,
        fence=fence_message(operation.fence),
        type=operation.type,
        queue=operation.queue,
        request=operation_pb2.Payload.FromString(request),
        correlation_id=operation.correlation_id,
        labels=operation.labels,
        lease=duration(lease),
        attempt_timeout=_duration_or_none(_time_left(operation)),
        deadline_time=_timestamp_or_none(operation.attempt_deadline),
        headers=operation.headers,
    )


def operation_message(
    operation: Operation,
    *,
    request: bytes | None = None,
    attempts: Sequence[Transition] = (),
    waiting: Waiting = NOT_WAITING,
    with_outcome: bool = True,
) -> OperationMessage:
    """Return an operation as its callers see it.

    Args:
        operation: The stored row.
        request: Serialised `rejoinder.v1.Payload` to show, or None.
        attempts: The transitions, in order, from which the attempts are derived.
        waiting: Why it waits; see `waiting_of`.
        with_outcome: Whether to show the result; an error is always shown.
    """
    reason, detail = waiting
    message = OperationMessage(
        namespace=operation.namespace,
        operation_id=operation.operation_id,
        uid=operation.uid,
        type=operation.type,
        queue=operation.queue,
        state=f"STATE_{operation.state.name}",
        waiting_reason=reason,
        waiting_detail=detail,
        revision=operation.revision,
        attempt=operation.attempt,
        request=None if request is None else operation_pb2.Payload.FromString(request),
        progress=None if operation.progress is None else progress_message(operation.progress),
        attempts=attempts_of(attempts),
        correlation_id=operation.correlation_id,
        labels=operation.labels,
        priority=operation.priority,
        create_time=timestamp(operation.create_time),
        update_time=timestamp(operation.update_time),
        due_time=timestamp(operation.due_time),
        start_time=_timestamp_or_none(operation.start_time),
        end_time=_timestamp_or_none(operation.end_time),
        deadline_time=_timestamp_or_none(operation.deadline_time),
        purge_time=_timestamp_or_none(operation.expire_time if operation.state.is_terminal else None),
        cancel_request_time=_timestamp_or_none(operation.cancel_request_time),
        cancel_reason=operation.cancel_reason,
        timeouts=timeouts_message(operation.timeouts),
        retry_policy=retry_policy_message(operation.retry_policy),
    )
    if operation.error is not None:
        message.error.MergeFromString(operation.error)
    elif operation.result is not None and with_outcome:
        message.result.MergeFromString(operation.result)
    return message


def attempts_of(transitions: Sequence[Transition]) -> list[operation_pb2.Attempt]:
    """Derive the latest attempts from a history, or from the latest part of one, oldest first.

    An attempt begins when it is granted and ends with the next transition that is more than a wish to cancel.
    """
    attempts: list[operation_pb2.Attempt] = []
    is_open = False
    for transition in transitions:
        if transition.reason == GRANTED:
            start_time = timestamp(transition.time)
            attempts.append(
                operation_pb2.Attempt(number=transition.attempt, worker=transition.worker, start_time=start_time)
            )
            is_open = True
        elif is_open and transition.reason != CANCEL_REQUESTED:
            attempts[-1].end_time.CopyFrom(timestamp(transition.time))
            if transition.error is not None:
                attempts[-1].error.MergeFromString(transition.error)
            is_open = False
    return attempts[-MOST_ATTEMPTS:]


def transition_message(transition: Transition, operation: OperationMessage) -> operation_pb2.Transition:
    """Return a transition as its watchers see it, with the operation as of sending."""
    return operation_pb2.Transition(
        sequence=transition.sequence,
        state=f"STATE_{transition.state.name}",
        attempt=transition.attempt,
        time=timestamp(transition.time),
        error=None if transition.error is None else Status.FromString(transition.error),
        worker=transition.worker,
        reason=transition.reason,
        operation=operation,
    )


def progress_message(progress: bytes) -> operation_pb2.Progress:
    """Return progress as the store keeps it as a message."""
    return operation_pb2.Progress.FromString(progress)


def limits_message(limits: Limits) -> operation_pb2.Limits:
    """Return the limits as ListTypes tells them."""
    return operation_pb2.Limits(
        max_payload_bytes=limits.max_payload_bytes,
        max_labels=limits.max_labels,
        max_label_key_length=limits.max_label_key_length,
        max_label_value_length=limits.max_label_value_length,
        max_wait_timeout=duration(limits.max_wait_timeout),
        max_delay=duration(limits.max_delay),
        max_timeout=duration(limits.max_timeout),
        max_retention=duration(limits.max_retention),
        max_attempts=limits.max_attempts,
        max_page_size=limits.max_page_size,
    )


def waiting_of(operation: Operation, now: Instant, has_worker: bool) -> Waiting:
    """Tell why an operation waits.

    Args:
        operation: Any; one that is not ACCEPTED does not wait.
        now: The store's time.
        has_worker: Whether a live worker has announced its type.
    """
    if operation.state is not State.ACCEPTED:
        return NOT_WAITING
    if operation.due_time > now:
        due = rfc3339(operation.due_time)
        if operation.failures:
            return (
                OperationMessage.WAITING_REASON_BACKOFF,
                f"attempt {operation.attempt} failed, the next is due at {due}",
            )
        return OperationMessage.WAITING_REASON_SCHEDULED, f"due at {due}"
    if not has_worker:
        return OperationMessage.WAITING_REASON_NO_WORKER, f"no live worker has announced type {operation.type}"
    return OperationMessage.WAITING_REASON_QUEUED, f"due; a free worker of queue {operation.queue} takes it next"


def _time_left(operation: Operation) -> Span | None:
    """Return how long an attempt that was just granted may take, the total timeout included."""
    if operation.attempt_deadline is None or operation.grant_time is None:
        return None
    return max(operation.attempt_deadline - operation.grant_time, 1)


def _duration_or_none(span: Span | None) -> Duration | None:
    return None if span is None else duration(span)


def _timestamp_or_none(instant: Instant | None) -> Timestamp | None:
    return None if instant is None else timestamp(instant)
