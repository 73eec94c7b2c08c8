"""Checks durations and times of requests, and what is made of them."""

import math

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from rejoinder.v1 import operation_pb2
from rejoinder_server import convert
from rejoinder_server.check_fields import Faults
from rejoinder_server.instants import rfc3339
from rejoinder_server.limits import DAY, Limits
from rejoinder_server.operation import SECOND, Instant, RetryPolicy, Span, Timeouts

MAX_MULTIPLIER = 1000
MAX_LATENESS: Span = DAY
"""How far in the past a due time may lie and still mean now."""

# The ranges that the definitions of Duration and Timestamp give.
_MAX_DURATION_SECONDS = 315_576_000_000
_TIMESTAMP_SECONDS = range(-62_135_596_800, 253_402_300_800)
_NANOS = range(1_000_000_000)


def span(message: Duration, field: str, faults: Faults, *, most: Span, least: Span = 0) -> Span:
    """Check a duration between two bounds; a longest span of 0 has no meaning and is never given."""
    value = _span(message, field, faults)
    if value is None:
        return least
    if value < least:
        faults.add(field, f"is {seconds(value)}; it takes at least {seconds(least)}, or leave it out for the default")
    elif value > most:
        faults.add(field, f"is {seconds(value)}, the limit is {seconds(most)}")
    return value


def wait(request: Message, faults: Faults, limits: Limits) -> Span:
    """Check a request's `wait_timeout`, and cut it to the limit."""
    message: Duration = getattr(request, "wait_timeout")  # noqa: B009 - several requests have it, with no type in common
    value = _span(message, "wait_timeout", faults)
    return min(value or 0, limits.max_wait_timeout)


def optional(parent: Message, name: str, faults: Faults, *, most: Span, path: str = "") -> Span | None:
    """Check a positive duration that may be absent.

    Args:
        parent: The message that has it.
        name: The field in that message.
        faults: What is wrong is noted here.
        most: The longest that is taken.
        path: What stands before the field's name in its path.
    """
    if not parent.HasField(name):
        return None
    return span(getattr(parent, name), path + name, faults, least=1, most=most)


def timeouts(message: operation_pb2.Timeouts, limits: Limits, faults: Faults) -> Timeouts:
    """Check a caller's layer of timeouts."""

    def one(name: str) -> Span | None:
        return optional(message, name, faults, most=limits.max_timeout, path="timeouts.")

    return Timeouts(queue=one("queue_timeout"), attempt=one("attempt_timeout"), total=one("total_timeout"))


def retry_policy(message: operation_pb2.RetryPolicy, limits: Limits, faults: Faults) -> RetryPolicy:
    """Check a caller's layer of a retry policy."""
    attempts, multiplier = message.max_attempts, message.backoff_multiplier
    if not 0 <= attempts <= limits.max_attempts:
        faults.add("retry_policy.max_attempts", f"is {attempts}; it takes 1 to {limits.max_attempts}")
    if multiplier and not (math.isfinite(multiplier) and 1 <= multiplier <= MAX_MULTIPLIER):
        faults.add("retry_policy.backoff_multiplier", f"is {multiplier:g}; it takes 1 to {MAX_MULTIPLIER}")
    path = "retry_policy."
    return RetryPolicy(
        max_attempts=attempts or None,
        initial_backoff=optional(message, "initial_backoff", faults, most=limits.max_timeout, path=path),
        backoff_multiplier=multiplier or None,
        max_backoff=optional(message, "max_backoff", faults, most=limits.max_timeout, path=path),
    )


def instant(message: Timestamp, field: str, faults: Faults) -> Instant | None:
    """Check a time; None when it is none."""
    if message.seconds in _TIMESTAMP_SECONDS and message.nanos in _NANOS:
        return convert.instant(message)
    faults.add(field, "is not a time; it takes the years 1 to 9999, and nanos from 0 to 999999999")
    return None


def due_time(message: Timestamp, limits: Limits, faults: Faults, *, now: Instant) -> Instant | None:
    """Check a due time against the present; one that has just passed is fine."""
    due = instant(message, "due_time", faults)
    if due is None:
        return None
    if due < now - MAX_LATENESS:
        faults.add("due_time", f"is {rfc3339(due)}, over a day past; leave it out for now, or check the caller's clock")
    elif due > now + limits.max_delay:
        faults.add("due_time", f"is {rfc3339(due)}, the limit is {seconds(limits.max_delay)} from now")
    return due


def seconds(value: Span) -> str:
    """Return a span as exact seconds in words."""
    whole, micros = divmod(abs(value), SECOND)
    fraction = f".{micros:06d}".rstrip("0") if micros else ""
    return f"{'-' if value < 0 else ''}{whole}{fraction} s"


def _span(message: Duration, field: str, faults: Faults) -> Span | None:
    """Check that a duration is one and not negative; None when it is wrong."""
    has_one_sign = message.seconds * message.nanos >= 0
    if abs(message.seconds) > _MAX_DURATION_SECONDS or abs(message.nanos) not in _NANOS or not has_one_sign:
        faults.add(field, f"is not a duration; it takes up to {_MAX_DURATION_SECONDS} s, and nanos of the same sign")
        return None
    if message.seconds < 0 or message.nanos < 0:
        faults.add(field, "is negative; give a positive duration, or leave it out")
        return None
    return convert.span(message)
