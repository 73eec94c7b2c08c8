"""Checks a SubmitRequest, whole."""

from dataclasses import dataclass

from rejoinder.v1.operation_service_pb2 import SubmitRequest
from rejoinder_server import check_fields, check_times
from rejoinder_server.check_fields import Faults
from rejoinder_server.check_payload import payload
from rejoinder_server.fingerprint import fingerprint
from rejoinder_server.limits import Limits
from rejoinder_server.operation import Instant, RetryPolicy, Span, Timeouts


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitDraft:
    """A checked request for an operation; what the caller left out is still left out.

    Attributes:
        request: Serialised `rejoinder.v1.Payload`, as it is stored.
        due_time: When it may run; None means at once.
        timeouts: The caller's layer.
        retry_policy: The caller's layer.
        wait_timeout: How long the answer may wait, within the limit; 0 answers at once.
    """

    namespace: str
    type: str
    request: bytes
    request_id: str | None
    operation_id: str | None
    correlation_id: str | None
    labels: dict[str, str]
    priority: int
    due_time: Instant | None
    timeouts: Timeouts
    retry_policy: RetryPolicy
    retention: Span | None
    wait_timeout: Span
    validate_only: bool
    fingerprint: str


def submission(request: SubmitRequest, limits: Limits, now: Instant) -> SubmitDraft:
    """Check a request for an operation.

    Raises:
        InvalidField: With everything that is wrong.
    """
    faults = Faults()
    namespace = check_fields.namespace(request.namespace, faults)
    name = check_fields.type_name(request.type, faults)
    body = payload(request.payload, faults, most_bytes=limits.max_payload_bytes)
    request_id = check_fields.foreign_id("request_id", request.request_id, faults)
    operation_id = request.operation_id and check_fields.operation_id(request.operation_id, faults)
    correlation_id = check_fields.foreign_id("correlation_id", request.correlation_id, faults)
    labels = check_fields.labels(request.labels, limits, faults)
    priority = check_fields.priority(request.priority, faults)
    delay, due_time = _due(request, limits, faults, now=now)
    timeouts = check_times.timeouts(request.timeouts, limits, faults)
    retry_policy = check_times.retry_policy(request.retry_policy, limits, faults)
    retention = check_times.optional(request, "retention", faults, most=limits.max_retention)
    wait_timeout = check_times.wait(request, faults, limits)
    faults.raise_any()
    run_time = due_time if delay is None else now + delay
    return SubmitDraft(
        namespace=namespace,
        type=name,
        request=body.SerializeToString(deterministic=True),
        request_id=request_id or None,
        operation_id=operation_id or None,
        correlation_id=correlation_id or None,
        labels=labels,
        priority=priority,
        due_time=None if run_time is None or run_time <= now else run_time,
        timeouts=timeouts,
        retry_policy=retry_policy,
        retention=retention,
        wait_timeout=wait_timeout,
        validate_only=request.validate_only,
        fingerprint=fingerprint(
            body,
            type=name,
            operation_id=operation_id,
            correlation_id=correlation_id,
            labels=labels,
            priority=priority,
            delay=delay,
            due_time=due_time,
            timeouts=timeouts,
            retry_policy=retry_policy,
            retention=retention,
        ),
    )


def _due(request: SubmitRequest, limits: Limits, faults: Faults, *, now: Instant) -> tuple[Span | None, Instant | None]:
    """Return the delay and the due time, of which a request has one at most."""
    match request.WhichOneof("due"):
        case "delay":
            return check_times.span(request.delay, "delay", faults, most=limits.max_delay), None
        case "due_time":
            return None, check_times.due_time(request.due_time, limits, faults, now=now)
        case _:
            return None, None
