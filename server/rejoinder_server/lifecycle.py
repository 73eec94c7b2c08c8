"""The state machine: what may become of an operation, and nothing about how that is stored.

    ACCEPTED ── grant ──▶ RUNNING ── succeed ──▶ SUCCEEDED
       ▲ │                 │ │ │
       │ │                 │ │ └─ fail, for good ──▶ FAILED
       │ └─ cancel ──▶ CANCELLED ◀── any end but success, once a cancel was asked for
       │ └─ time_out ─▶ TIMED_OUT ◀─┘
       └──── fail with a retry, release, lose ──── RUNNING

Nothing leaves a terminal state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from rejoinder_server import failure
from rejoinder_server.operation import (
    NO_LABELS,
    SECOND,
    Acceptance,
    Change,
    Fence,
    Instant,
    Operation,
    RetryPolicy,
    Span,
    State,
    Timeouts,
    Transition,
    Watermark,
    earliest,
)

SUBMITTED = "SUBMITTED"
GRANTED = "GRANTED"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
RETRY = "RETRY"
RELEASED = "RELEASED"
CANCEL_REQUESTED = "CANCEL_REQUESTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The server's bounds on how long things last.

    Attributes:
        lease: How long a worker is believed to live after its grant or heartbeat, by the watermark.
        cancel_grace: How long a running handler may go on after its cancel was asked for, before it is fenced.
        tombstone_retention: How long the tombstone of a purged operation keeps its id and key from being used again.
    """

    lease: Span = 30 * SECOND
    cancel_grace: Span = 30 * SECOND
    tombstone_retention: Span = 7 * 24 * 3600 * SECOND

    def lease_time(self, now: Instant, watermark: Watermark) -> Instant:
        """Return until when a worker that was heard of just now is believed to live."""
        return max(now, watermark.time) + self.lease


def new_nonce(random: Random) -> str:
    """Make the random text that tells one transition or grant from all others."""
    return f"{random.getrandbits(64):016x}"


def accept(
    *,
    namespace: str,
    operation_id: str,
    uid: str,
    type: str,
    queue: str,
    request: bytes,
    request_id: str,
    fingerprint: str,
    correlation_id: str,
    labels: Mapping[str, str],
    priority: int,
    headers: Mapping[str, str],
    due_time: Instant,
    timeouts: Timeouts,
    retry_policy: RetryPolicy,
    retention: Span,
    now: Instant,
    random: Random,
) -> Acceptance:
    """Begin an operation."""
    nonce = new_nonce(random)
    operation = Operation(
        namespace=namespace,
        operation_id=operation_id,
        uid=uid,
        type=type,
        queue=queue,
        state=State.ACCEPTED,
        revision=1,
        sequence=1,
        nonce=nonce,
        correlation_id=correlation_id,
        labels=labels,
        priority=priority,
        request_id=request_id,
        fingerprint=fingerprint,
        headers=headers,
        create_time=now,
        update_time=now,
        due_time=due_time,
        timeouts=timeouts,
        retry_policy=retry_policy,
        retention=retention,
    )
    operation = replace(operation, expire_time=_waiting_deadline(operation))
    transition = Transition(
        uid=uid,
        namespace=namespace,
        sequence=1,
        revision=1,
        nonce=nonce,
        state=State.ACCEPTED,
        attempt=0,
        time=now,
        reason=SUBMITTED,
    )
    return Acceptance(operation, transition, request)


class Edit:
    """What one transaction makes of one operation: verbs that each check the state, then `change`.

    Args:
        operation: The operation as it was read under the transaction's lock.
        now: The store's time.
        rules: The server's bounds.
        random: Source of nonces and jitter.
    """

    def __init__(self, operation: Operation, *, now: Instant, rules: Rules, random: Random) -> None:
        self.before = operation
        self._now = now
        self._rules = rules
        self._random = random
        self._transitions: list[Transition] = []
        self._is_removed = False
        self.operation = operation

    def change(self) -> Change | None:
        """Return what has become of the operation; None when nothing has."""
        if self._is_removed:
            return Change(self.before, None)
        if self.operation is self.before:
            return None
        return Change(self.before, self.operation, self.transitions)

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """What was added to the history."""
        return tuple(self._transitions)

    def is_current(self, fence: Fence) -> bool:
        """Whether the fence's attempt is the one that runs now."""
        return self.operation.state is State.RUNNING and self.operation.fence == fence

    def takes(self, fence: Fence, number: int) -> bool:
        """Whether a report counts: its attempt runs now and no later report of it was applied."""
        return self.is_current(fence) and number > self.operation.reported

    def grant(self, *, worker: str, connection_id: str, watermark: Watermark) -> None:
        """Hand the waiting operation to a worker process as its next attempt."""
        self._expect(State.ACCEPTED)
        self._enter(
            State.RUNNING,
            GRANTED,
            worker=worker,
            fields={
                "attempt": self.operation.attempt + 1,
                "grant_nonce": new_nonce(self._random),
                "worker": worker,
                "connection_id": connection_id,
                "grant_time": self._now,
                "start_time": self.operation.start_time or self._now,
                "lease_time": self._rules.lease_time(self._now, watermark),
                "reported": 0,
                "progress": None,
                "progress_revision": 0,
                "progress_time": None,
            },
        )

    def move(self, queue: str) -> None:
        """Put the waiting operation into another queue; no visible change."""
        self._expect(State.ACCEPTED)
        self.operation = replace(self.operation, queue=queue)

    def progress(self, number: int, progress: bytes) -> None:
        """Note how far the running attempt has come."""
        self._expect(State.RUNNING)
        revision = self.operation.revision + 1
        self.operation = replace(
            self.operation,
            revision=revision,
            update_time=self._now,
            progress=progress,
            progress_revision=revision,
            progress_time=self._now,
            reported=number,
        )

    def believe_until(self, lease_time: Instant) -> None:
        """Set until when the running attempt's worker is believed to live; no visible change."""
        self._expect(State.RUNNING)
        self.operation = replace(self.operation, lease_time=lease_time)

    def succeed(self, number: int, result: bytes) -> None:
        """End the operation with the running attempt's answer."""
        self._expect(State.RUNNING)
        self._enter(State.SUCCEEDED, SUCCEEDED, fields={"result": result, "reported": number})

    def fail(self, error: bytes, *, permanent: bool = False, delay: Span | None = None) -> None:
        """End the running attempt with an error that counts: try again later, or end the operation.

        Args:
            error: Serialised `google.rpc.Status`.
            permanent: Whether trying again cannot help.
            delay: Wait that the handler asked for, instead of the policy's.
        """
        self._expect(State.RUNNING)
        if self._cancelled_instead():
            return
        failures = self.operation.failures + 1
        limit = self.operation.retry_policy.max_attempts or 1
        if permanent or failures >= limit:
            self._end(State.FAILED, FAILED, error, fields={"failures": failures})
            return
        wait = self._backoff(failures) if delay is None else delay
        self._enter(
            State.ACCEPTED, RETRY, error=error, fields={"failures": failures, "due_time": self._now + wait, **_NO_LEASE}
        )

    def release(self) -> None:
        """Take the running attempt back from its worker; it counts towards nothing."""
        self._expect(State.RUNNING)
        if not self._cancelled_instead():
            self._enter(State.ACCEPTED, RELEASED, fields=_NO_LEASE)

    def lose(self) -> None:
        """Give up on the running attempt, whose worker was not heard of for a lease."""
        self._expect(State.RUNNING)
        if not self._cancelled_instead():
            error = failure.worker_lost(self.operation)
            self._enter(State.ACCEPTED, failure.WORKER_LOST, error=error, fields=_NO_LEASE)

    def cancel(self, reason: str) -> None:
        """End the operation if it waits, ask for its end if it runs; the first wish counts, a terminal state stays."""
        if self.operation.state.is_terminal or self.operation.cancel_request_time is not None:
            return
        wish: dict[str, Any] = {"cancel_request_time": self._now, "cancel_reason": reason}
        if self.operation.state is State.ACCEPTED:
            self.operation = replace(self.operation, **wish)
            self._cancelled_instead()
        else:
            self._enter(State.RUNNING, CANCEL_REQUESTED, worker=self.operation.worker, fields=wish)

    def expire(self, *, running_before: Instant | None) -> None:
        """Do what the passed deadline asks for; nothing when none has passed.

        Args:
            running_before: The instant that a running attempt's deadlines are judged against; None judges none.
        """
        operation = self.operation
        judged = self._now if operation.state is not State.RUNNING else running_before
        if judged is None or operation.expire_time is None or operation.expire_time > judged:
            return
        if operation.purged_time is not None:
            self._is_removed = True
        elif operation.state.is_terminal:
            self.purge()
        elif operation.deadline_time is not None and operation.deadline_time <= judged:
            self._time_out(failure.TOTAL_TIMEOUT, failure.total_timeout())
        elif operation.state is State.ACCEPTED:
            self._time_out(failure.QUEUE_TIMEOUT, failure.queue_timeout())
        else:  # of the attempt, or the grace of a cancel, which `fail` looks for
            self.fail(failure.attempt_timeout(operation))

    def purge(self) -> None:
        """Empty the terminal operation and leave its tombstone."""
        if not self.operation.state.is_terminal:
            raise ValueError("only a terminal operation is purged")
        self.operation = replace(
            self.operation,
            result=None,
            error=None,
            error_reason="",
            progress=None,
            progress_revision=0,
            progress_time=None,
            correlation_id="",
            labels=NO_LABELS,
            headers=NO_LABELS,
            cancel_reason="",
            purged_time=self._now,
            expire_time=self._now + self._rules.tombstone_retention,
        )

    def _time_out(self, reason: str, error: bytes) -> None:
        if not self._cancelled_instead():
            self._end(State.TIMED_OUT, reason, error)

    def _cancelled_instead(self) -> bool:
        """End the operation as CANCELLED if that was asked for."""
        if self.operation.cancel_request_time is None:
            return False
        self._end(State.CANCELLED, failure.CANCELLED, failure.cancelled(self.operation))
        return True

    def _backoff(self, failures: int) -> Span:
        policy = self.operation.retry_policy
        longest = policy.max_backoff or 0
        # Capped before the multiplication overflows: a float holds the product, an int of it might not fit a column.
        wait = min((policy.initial_backoff or 0) * (policy.backoff_multiplier or 1.0) ** min(failures - 1, 60), longest)
        return round(wait * self._random.uniform(0.5, 1.0))

    def _end(self, state: State, reason: str, error: bytes, *, fields: dict[str, Any] | None = None) -> None:
        outcome = {"error": error, "error_reason": failure.reason_of(error)}
        self._enter(state, reason, error=error, fields=outcome | (fields or {}))

    def _enter(
        self,
        state: State,
        reason: str,
        *,
        error: bytes | None = None,
        worker: str | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        """Add a transition; `worker` defaults to that of the attempt that ends here."""
        before = self.operation
        if worker is None:
            worker = before.worker if before.state is State.RUNNING else ""
        transition = Transition(
            uid=before.uid,
            namespace=before.namespace,
            sequence=before.sequence + 1,
            revision=before.revision + 1,
            nonce=new_nonce(self._random),
            state=state,
            attempt=before.attempt + (reason == GRANTED),
            time=self._now,
            error=error,
            worker=worker,
            reason=reason,
        )
        fields = dict(fields or {})
        if state.is_terminal:
            fields |= {"end_time": self._now, **_NO_LEASE}
        after = replace(
            before,
            state=state,
            sequence=transition.sequence,
            revision=transition.revision,
            nonce=transition.nonce,
            update_time=self._now,
            **fields,
        )
        self.operation = replace(after, expire_time=self._expire_time(after))
        self._transitions.append(transition)

    def _expire_time(self, operation: Operation) -> Instant | None:
        if operation.state is State.ACCEPTED:
            return _waiting_deadline(operation)
        if operation.state is State.RUNNING:
            asked = operation.cancel_request_time
            return earliest(operation.attempt_deadline, None if asked is None else asked + self._rules.cancel_grace)
        return (operation.end_time or self._now) + operation.retention

    def _expect(self, state: State) -> None:
        if self.operation.state is not state:
            raise ValueError(f"the operation is {self.operation.state.name}, not {state.name}")


_NO_LEASE: dict[str, Any] = {"lease_time": None}


def _waiting_deadline(operation: Operation) -> Instant | None:
    """Return when a waiting operation times out."""
    queue = operation.timeouts.queue
    if queue is None or operation.attempt:
        return operation.deadline_time
    return earliest(operation.deadline_time, operation.due_time + queue)
