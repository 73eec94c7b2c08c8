"""What must hold of every operation, whatever is done to it in whatever order."""

from itertools import pairwise
from random import Random

from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rejoinder_server.lifecycle import Edit, Rules, accept
from rejoinder_server.operation import (
    SECOND,
    Fence,
    Operation,
    RetryPolicy,
    Span,
    State,
    Timeouts,
    Transition,
    Watermark,
)
from tests.support.operations import BEGIN

RULES = Rules(lease=30 * SECOND, cancel_grace=10 * SECOND, tombstone_retention=100 * SECOND)
RETENTION = 60 * SECOND
ERROR = Status(code=code_pb2.INTERNAL, message="it broke").SerializeToString()
LEGAL = {
    (State.ACCEPTED, State.RUNNING),
    (State.ACCEPTED, State.CANCELLED),
    (State.ACCEPTED, State.TIMED_OUT),
    (State.RUNNING, State.RUNNING),  # the recorded wish to cancel
    (State.RUNNING, State.ACCEPTED),
    (State.RUNNING, State.SUCCEEDED),
    (State.RUNNING, State.FAILED),
    (State.RUNNING, State.CANCELLED),
    (State.RUNNING, State.TIMED_OUT),
}

spans = st.integers(1, 100).map(lambda seconds: seconds * SECOND)
maybe_spans = st.none() | spans


class OneOperation(RuleBasedStateMachine):
    """One operation under verbs at random times, each in an edit of its own, as transactions do it."""

    @initialize(
        queue=maybe_spans,
        attempt=maybe_spans,
        total=maybe_spans,
        delay=st.none() | st.integers(0, 50),
        max_attempts=st.integers(1, 4),
        seed=st.integers(0, 2**32),
    )
    def accept(
        self,
        queue: Span | None,
        attempt: Span | None,
        total: Span | None,
        delay: int | None,
        max_attempts: int,
        seed: int,
    ) -> None:
        self.random = Random(seed)
        self.now = BEGIN
        accepted = accept(
            namespace="default",
            operation_id="one",
            uid="uid",
            type="reports.generate",
            queue="reports",
            request=b"",
            request_id="request",
            fingerprint="1:fingerprint",
            correlation_id="one",
            labels={"tenant": "acme"},
            priority=0,
            headers={},
            due_time=self.now + (delay or 0) * SECOND,
            timeouts=Timeouts(queue=queue, attempt=attempt, total=total),
            retry_policy=RetryPolicy(
                max_attempts=max_attempts,
                initial_backoff=SECOND,
                backoff_multiplier=2.0,
                max_backoff=5 * SECOND,
            ),
            retention=RETENTION,
            now=self.now,
            random=self.random,
        )
        self.operation = accepted.operation
        self.history: list[Transition] = [accepted.transition]
        self.fences: list[Fence] = []
        self.is_removed = False

    @rule(seconds=st.integers(0, 40))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @precondition(lambda self: self.is_waiting)
    @rule(ahead=st.integers(-60, 60))
    def grant(self, ahead: int) -> None:
        watermark = Watermark(self.now + ahead * SECOND, 0)
        edit = self.edit()
        edit.grant(worker="worker", connection_id="connection", watermark=watermark)
        self.take(edit)
        assert self.operation.attempt == len(self.fences) + 1
        assert self.operation.fence not in self.fences
        assert self.operation.lease_time == max(self.now, watermark.time) + RULES.lease
        assert self.operation.progress is None
        self.fences.append(self.operation.fence)

    @precondition(lambda self: self.is_running)
    @rule()
    def report_progress(self) -> None:
        edit, number = self.edit(), self.operation.reported + 1
        edit.progress(number, b"progress")
        self.take(edit)
        assert (self.operation.progress, self.operation.reported) == (b"progress", number)
        assert self.operation.progress_revision == self.operation.revision

    @precondition(lambda self: self.is_running)
    @rule(seconds=st.integers(1, 60))
    def beat(self, seconds: int) -> None:
        edit, revision = self.edit(), self.operation.revision
        edit.believe_until(self.now + seconds * SECOND)
        self.take(edit)
        assert self.operation.revision == revision

    @precondition(lambda self: self.is_running)
    @rule()
    def succeed(self) -> None:
        edit = self.edit()
        edit.succeed(self.operation.reported + 1, b"result")
        self.take(edit)
        assert (State.SUCCEEDED, b"result", None) == (
            self.operation.state,
            self.operation.result,
            self.operation.error,
        )

    @precondition(lambda self: self.is_running)
    @rule(permanent=st.booleans(), delay=maybe_spans)
    def fail(self, permanent: bool, delay: Span | None) -> None:
        before, edit = self.operation, self.edit()
        edit.fail(ERROR, permanent=permanent, delay=delay)
        self.take(edit)
        if before.cancel_request_time is not None:
            assert self.operation.state is State.CANCELLED
            return
        assert self.operation.failures == before.failures + 1
        is_last = permanent or self.operation.failures == before.retry_policy.max_attempts
        assert self.operation.state is (State.FAILED if is_last else State.ACCEPTED)
        if not is_last:
            longest = 5 * SECOND if delay is None else delay
            assert 0 < self.operation.due_time - self.now <= longest

    @precondition(lambda self: self.is_running)
    @rule(is_lost=st.booleans())
    def take_back(self, is_lost: bool) -> None:
        before, edit = self.operation, self.edit()
        if is_lost:
            edit.lose()
        else:
            edit.release()
        self.take(edit)
        wished = before.cancel_request_time is not None
        assert self.operation.state is (State.CANCELLED if wished else State.ACCEPTED)
        assert self.operation.failures == before.failures

    @precondition(lambda self: not self.is_removed)
    @rule(reason=st.sampled_from(["", "first", "second"]))
    def cancel(self, reason: str) -> None:
        before, edit = self.operation, self.edit()
        edit.cancel(reason)
        self.take(edit)
        if before.state.is_terminal or before.cancel_request_time is not None:
            assert self.operation is before
        else:
            assert (self.now, reason) == (self.operation.cancel_request_time, self.operation.cancel_reason)
            assert self.operation.state is (State.CANCELLED if before.state is State.ACCEPTED else State.RUNNING)

    @precondition(lambda self: not self.is_removed)
    @rule(is_judged=st.booleans())
    def expire(self, is_judged: bool) -> None:
        before, edit = self.operation, self.edit()
        edit.expire(running_before=self.now if is_judged else None)
        self.take(edit)
        is_past = before.expire_time is not None and before.expire_time <= self.now
        if is_past and (is_judged or before.state is not State.RUNNING):
            assert self.is_removed or self.operation != before
            if before.cancel_request_time is not None and not before.state.is_terminal:
                assert self.operation.state is State.CANCELLED
        else:
            assert self.operation is before

    @precondition(lambda self: self.operation.state.is_terminal and self.operation.purged_time is None)
    @rule()
    def purge(self) -> None:
        edit = self.edit()
        edit.purge()
        self.take(edit)
        assert self.operation.purged_time == self.now

    @invariant()
    def history_is_dense_and_revisions_grow(self) -> None:
        assert [each.sequence for each in self.history] == list(range(1, len(self.history) + 1))
        revisions = [each.revision for each in self.history]
        assert sorted(set(revisions)) == revisions
        assert self.operation.sequence == len(self.history)
        assert self.operation.revision >= revisions[-1]
        last = self.history[-1]
        assert (last.state, last.nonce, last.attempt) == (
            self.operation.state,
            self.operation.nonce,
            self.operation.attempt,
        )

    @invariant()
    def only_legal_steps_were_made(self) -> None:
        states = [each.state for each in self.history]
        assert set(pairwise(states)) <= LEGAL
        assert len({each.nonce for each in self.history}) == len(self.history)

    @invariant()
    def outcome_and_lease_go_with_the_state(self) -> None:
        operation = self.operation
        assert (operation.lease_time is not None) == (operation.state is State.RUNNING)
        assert (operation.end_time is not None) == operation.state.is_terminal
        if operation.purged_time is None:
            assert (operation.result is not None) == (operation.state is State.SUCCEEDED)
            is_unlucky = operation.state.is_terminal and operation.state is not State.SUCCEEDED
            assert (operation.error is not None) == is_unlucky

    @invariant()
    def whatever_has_a_deadline_will_be_looked_at(self) -> None:
        assert self.operation.expire_time == deadline(self.operation)

    @property
    def is_waiting(self) -> bool:
        return self.operation.state is State.ACCEPTED

    @property
    def is_running(self) -> bool:
        return self.operation.state is State.RUNNING

    def edit(self) -> Edit:
        return Edit(self.operation, now=self.now, rules=RULES, random=self.random)

    def take(self, edit: Edit) -> None:
        """Commit an edit, and check what no verb may do."""
        before, change = self.operation, edit.change()
        if change is None:
            assert edit.operation == before
            assert not edit.transitions
            return
        assert change.before is before
        if change.after is None:
            assert before.purged_time is not None
            self.is_removed = True
            return
        after = change.after
        assert after.revision - before.revision >= len(change.transitions)
        assert before.purged_time is None
        if before.state.is_terminal:
            # A purge empties it, and says nothing else about it.
            assert after.purged_time == self.now
            assert (before.state, before.revision, before.sequence, before.end_time) == (
                after.state,
                after.revision,
                after.sequence,
                after.end_time,
            )
        self.operation = after
        self.history.extend(change.transitions)


def deadline(operation: Operation) -> int | None:
    """Return when time alone changes an operation next, as the contract tells it."""
    timeouts = operation.timeouts
    total = None if timeouts.total is None else operation.create_time + timeouts.total
    candidates: list[int | None]
    if operation.purged_time is not None:
        return operation.purged_time + RULES.tombstone_retention
    if operation.end_time is not None:
        return operation.end_time + RETENTION
    if operation.state is State.ACCEPTED:
        is_untried = operation.attempt == 0 and timeouts.queue is not None
        candidates = [total, operation.due_time + (timeouts.queue or 0) if is_untried else None]
    else:
        granted, asked = operation.grant_time or 0, operation.cancel_request_time
        candidates = [
            total,
            None if timeouts.attempt is None else granted + timeouts.attempt,
            None if asked is None else asked + RULES.cancel_grace,
        ]
    return min((each for each in candidates if each is not None), default=None)


TestOneOperation = OneOperation.TestCase
TestOneOperation.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
