"""The values that the server thinks in: operations, their transitions, and what the store keeps beside them.

Instants are `int` microseconds since the epoch, spans are `int` microseconds. Payloads and errors are serialised
messages (`rejoinder.v1.Payload`, `google.rpc.Status`) that only `convert` and `failure` look into.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from types import MappingProxyType
from typing import TypeAlias, TypeVar

Instant: TypeAlias = int
Span: TypeAlias = int

SECOND: Span = 1_000_000

NO_LABELS: Mapping[str, str] = MappingProxyType({})


class State(IntEnum):
    """Where an operation stands; the numbers are those of `rejoinder.v1.Operation.State`."""

    ACCEPTED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5
    TIMED_OUT = 6

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows it."""
        return self >= State.SUCCEEDED


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What names an operation for its callers."""

    namespace: str
    operation_id: str


@dataclass(frozen=True, slots=True)
class Fence:
    """What names one attempt of one operation."""

    namespace: str
    operation_id: str
    uid: str
    attempt: int
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """The timeouts in effect, or a layer of them; None means none, or that the layer says nothing."""

    queue: Span | None = None
    attempt: Span | None = None
    total: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The retry policy in effect, or a layer of it; None means that the layer says nothing."""

    max_attempts: int | None = None
    initial_backoff: Span | None = None
    backoff_multiplier: float | None = None
    max_backoff: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One submitted request and all that is known about it, but for the request payload.

    Attributes:
        sequence: Sequence of the latest transition.
        nonce: Nonce of the latest transition; part of cursors.
        progress: Serialised `rejoinder.v1.Progress` of the latest attempt that reported any, or None.
        progress_revision: Revision at which `progress` was committed; 0 without progress.
        failures: Attempts that ended in a handler's error or an attempt timeout.
        expire_time: When the sweeper must look at it next: the nearest deadline of a waiting or running operation,
            the purge time of a terminal one, the removal time of a tombstone; None when never.
        purged_time: When its content was purged; what remains is its tombstone.
        grant_nonce: Nonce of the latest grant, part of its fence; empty before the first.
        worker: Worker process of the latest grant.
        connection_id: Worker connection of the latest grant.
        grant_time: When the latest attempt was granted; None before the first.
        lease_time: Until when the latest attempt's worker is believed to live, by the watermark; None unless RUNNING.
        reported: Number of the latest report that was applied to the latest attempt.
        fingerprint: Versioned digest of the content that a request id stands for.
        headers: Trace context and other context that travels to the handler.
    """

    namespace: str
    operation_id: str
    uid: str
    type: str
    queue: str
    state: State
    revision: int
    sequence: int
    nonce: str
    attempt: int = 0
    result: bytes | None = None
    error: bytes | None = None
    error_reason: str = ""
    progress: bytes | None = None
    progress_revision: int = 0
    progress_time: Instant | None = None
    correlation_id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    request_id: str
    fingerprint: str
    headers: Mapping[str, str] = field(default_factory=dict)
    create_time: Instant
    update_time: Instant
    due_time: Instant
    start_time: Instant | None = None
    end_time: Instant | None = None
    expire_time: Instant | None = None
    purged_time: Instant | None = None
    cancel_request_time: Instant | None = None
    cancel_reason: str = ""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    retention: Span
    failures: int = 0
    grant_nonce: str = ""
    worker: str = ""
    connection_id: str = ""
    grant_time: Instant | None = None
    lease_time: Instant | None = None
    reported: int = 0

    @property
    def key(self) -> Key:
        """What names it for its callers."""
        return Key(self.namespace, self.operation_id)

    @property
    def fence(self) -> Fence:
        """What names its latest attempt."""
        return Fence(self.namespace, self.operation_id, self.uid, self.attempt, self.grant_nonce)

    @property
    def deadline_time(self) -> Instant | None:
        """When its total timeout ends it."""
        return None if self.timeouts.total is None else self.create_time + self.timeouts.total

    @property
    def attempt_deadline(self) -> Instant | None:
        """When the running attempt times out, or the whole operation, whichever is first."""
        return earliest(
            self.deadline_time,
            None
            if self.grant_time is None or self.timeouts.attempt is None
            else self.grant_time + self.timeouts.attempt,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A committed change of state or attempt, or a recorded wish to cancel.

    Attributes:
        revision: The operation's revision after it.
        nonce: Random text stored with it, which proves that a cursor names this very transition.
        error: Serialised `google.rpc.Status`, or None.
        reason: Why it happened, in UPPER_SNAKE.
    """

    uid: str
    namespace: str
    sequence: int
    revision: int
    nonce: str
    state: State
    attempt: int
    time: Instant
    error: bytes | None = None
    worker: str = ""
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one operation in one commit.

    Attributes:
        before: The operation as it was read under the transaction's lock.
        after: The operation as it will be; None removes it without a trace.
        transitions: What is added to its history, dense after `before.sequence`.
    """

    before: Operation
    after: Operation | None
    transitions: tuple[Transition, ...] = ()


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An operation as it is first stored.

    Attributes:
        operation: The operation, at sequence and revision 1.
        transition: Its first transition.
        request: Serialised `rejoinder.v1.Payload`.
    """

    operation: Operation
    transition: Transition
    request: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRecord:
    """A type as its workers announced it last.

    Attributes:
        last_seen_time: When a worker that serves it was last heard of, by the watermark's clock.
    """

    name: str
    queue: str
    description: str = ""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    last_seen_time: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker process as its latest heartbeat told.

    Attributes:
        lease_time: Until when it is believed to live, by the watermark.
    """

    worker: str
    connection_id: str
    types: tuple[str, ...]
    free_slots: int
    total_slots: int
    zombies: int
    unreadable_messages: int
    lease_time: Instant


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far the events queue has been recorded.

    Attributes:
        time: The newest marker that was recorded; 0 before the first.
        judge_from: Leases and running deadlines are judged only once `time` has reached this.
    """

    time: Instant = 0
    judge_from: Instant = 0


Layer = TypeVar("Layer", Timeouts, RetryPolicy)


def layered(first: Layer, *others: Layer) -> Layer:
    """Return the first layer, with each field that it leaves open taken from the next layer that says something."""
    for layer in others:
        gaps = {entry.name: getattr(layer, entry.name) for entry in fields(first) if getattr(first, entry.name) is None}
        first = replace(first, **gaps)
    return first


def earliest(*instants: Instant | None) -> Instant | None:
    """Return the earliest of the instants that are there."""
    return min((instant for instant in instants if instant is not None), default=None)
