"""What the SDK answers: frozen values, each with a JSON-safe `to_dict()`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from rejoinder_client.payload import Payload
from rejoinder_client.plain import View


class State(StrEnum):
    """Where an operation stands; the last four are terminal."""

    UNSPECIFIED = "UNSPECIFIED"
    """A state that this version of the client does not know."""
    ACCEPTED = "ACCEPTED"
    """Stored durably and waiting; the waiting reason says for what."""
    RUNNING = "RUNNING"
    """Granted to a worker process."""
    SUCCEEDED = "SUCCEEDED"
    """Ended with a result."""
    FAILED = "FAILED"
    """Ended with an error."""
    CANCELLED = "CANCELLED"
    """Ended by a cancel."""
    TIMED_OUT = "TIMED_OUT"
    """Ended by its queue or total timeout."""

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will change any more."""
        return self in _TERMINAL


_TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.TIMED_OUT})


class WaitingReason(StrEnum):
    """Why an ACCEPTED operation is not running."""

    SCHEDULED = "SCHEDULED"
    """Its due time has not come."""
    QUEUED = "QUEUED"
    """Every worker that could run it is busy."""
    BACKOFF = "BACKOFF"
    """An attempt failed; the next is due later."""
    NO_WORKER = "NO_WORKER"
    """No live worker has announced its type."""


@dataclass(frozen=True, slots=True)
class Progress(View):
    """How far an attempt has come; a total of 0 means unknown."""

    completed: int = 0
    total: int = 0
    unit: str = ""
    message: str = ""

    @property
    def fraction(self) -> float | None:
        """Part that is done, from 0 to 1; None while the total is unknown."""
        return min(max(self.completed / self.total, 0.0), 1.0) if self.total > 0 else None


@dataclass(frozen=True, slots=True)
class Failure(View):
    """Why an attempt or an operation did not succeed: data, not an exception."""

    code: str
    reason: str
    message: str
    details: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt(View):
    """One grant of the operation to one worker process."""

    number: int
    worker: str
    start_time: datetime | None = None
    end_time: datetime | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Timeouts(View):
    """Bounds of an operation's phases; None means none."""

    queue_timeout: timedelta | None = None
    attempt_timeout: timedelta | None = None
    total_timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy(View):
    """How failed attempts are tried again."""

    max_attempts: int = 0
    initial_backoff: timedelta | None = None
    backoff_multiplier: float = 0.0
    max_backoff: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(View):
    """One submitted request and everything that the server told about it.

    The contract (`rejoinder/v1/operation.proto`) describes each field. `request` and `attempts` are left out of most
    answers; `result` is set when SUCCEEDED, `error` when it ended otherwise.
    """

    operation_id: str
    namespace: str = ""
    uid: str = ""
    type: str = ""
    queue: str = ""
    state: State = State.UNSPECIFIED
    waiting_reason: WaitingReason | None = None
    waiting_detail: str = ""
    revision: int = 0
    attempt: int = 0
    request: Payload | None = None
    result: Payload | None = None
    error: Failure | None = None
    progress: Progress | None = None
    attempts: tuple[Attempt, ...] = ()
    correlation_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None
    due_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    deadline_time: datetime | None = None
    purge_time: datetime | None = None
    cancel_request_time: datetime | None = None
    cancel_reason: str = ""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    retry_of: str = ""
    retried_by: str = ""


@dataclass(frozen=True, slots=True)
class Submission(View):
    """The server's answer to a submit."""

    operation: Operation
    deduplicated: bool
    cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(View):
    """A committed change of state or attempt, or a recorded wish to cancel."""

    sequence: int
    state: State
    attempt: int = 0
    time: datetime | None = None
    error: Failure | None = None
    worker: str = ""
    reason: str = ""


class UpdateKind(StrEnum):
    """What an update of a watch tells."""

    SNAPSHOT = "snapshot"
    """The whole operation; first without a cursor, and after a gap."""
    TRANSITION = "transition"
    """The next transition."""
    PROGRESS = "progress"
    """The latest progress."""
    HEARTBEAT = "heartbeat"
    """Nothing new up to the cursor, but perhaps why it waits; only on request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(View):
    """One update of a watch.

    Attributes:
        kind: What it tells.
        cursor: Watch from here to get what follows; keep it to resume in another process.
        revision: Grows strictly from one update to the next; heartbeats repeat it.
        operation: The operation as far as this watch knows; None after a resume until the first transition.
        transition: Set for `transition`.
        progress: Set for `progress`.
        gap: The history that this watch followed is lost, and this snapshot starts anew.
    """

    kind: UpdateKind
    cursor: str
    revision: int
    operation: Operation | None = None
    transition: Transition | None = None
    progress: Progress | None = None
    gap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationType(View):
    """A type of work, and who serves it now."""

    name: str
    queue: str = ""
    description: str = ""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    live_workers: int = 0
    free_slots: int = 0
    total_slots: int = 0
    waiting_count: int = 0
    last_seen_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(View):
    """Bounds that the server checks before it stores anything."""

    max_payload_bytes: int = 0
    max_labels: int = 0
    max_label_key_length: int = 0
    max_label_value_length: int = 0
    max_wait_timeout: timedelta | None = None
    max_delay: timedelta | None = None
    max_timeout: timedelta | None = None
    max_retention: timedelta | None = None
    max_attempts: int = 0
    max_page_size: int = 0
