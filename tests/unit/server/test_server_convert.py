from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from rejoinder.v1 import operation_pb2
from rejoinder.v1.operation_pb2 import Payload, Progress
from rejoinder.worker.v1.worker_pb2 import Grant, TypeAnnouncement
from rejoinder_server import convert
from rejoinder_server.limits import Limits
from rejoinder_server.operation import (
    SECOND,
    Fence,
    Operation,
    RetryPolicy,
    State,
    Timeouts,
    Transition,
    TypeRecord,
    WorkerRecord,
)

T0 = 1_700_000_000 * SECOND
ERROR = Status(code=13, message="no").SerializeToString()
RESULT = Payload(json="[1]", content_type="application/json")
REQUEST = Payload(json='{"a":1}', content_type="application/json")

spans = st.integers(-315_576_000_000 * SECOND, 315_576_000_000 * SECOND)
positive = st.none() | st.integers(1, 10**15)


def operation(**fields: object) -> Operation:
    known: dict[str, object] = {
        "namespace": "default",
        "operation_id": "report-7",
        "uid": "u1",
        "type": "reports.generate",
        "queue": "reports",
        "state": State.ACCEPTED,
        "revision": 1,
        "sequence": 1,
        "nonce": "n1",
        "correlation_id": "c1",
        "request_id": "r1",
        "fingerprint": "1:f",
        "create_time": T0,
        "update_time": T0,
        "due_time": T0,
        "retention": 60 * SECOND,
    }
    return Operation(**(known | fields))  # type: ignore[arg-type]


def transition(
    sequence: int, reason: str, state: State, attempt: int, *, error: bytes | None = None, worker: str = "w1"
) -> Transition:
    return Transition(
        uid="u1",
        namespace="default",
        sequence=sequence,
        revision=sequence,
        nonce=f"n{sequence}",
        state=state,
        attempt=attempt,
        time=T0 + sequence * SECOND,
        error=error,
        worker=worker,
        reason=reason,
    )


@given(st.integers(-62_135_596_800 * SECOND, 253_402_300_800 * SECOND - 1))
def test_an_instant_survives_its_message(instant: int) -> None:
    message = convert.timestamp(instant)
    assert instant == convert.instant(message)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant) == message.ToDatetime(tzinfo=UTC)


@given(spans)
def test_a_span_survives_its_message(span: int) -> None:
    message = convert.duration(span)
    assert span == convert.span(message)
    assert timedelta(microseconds=span) == message.ToTimedelta()


@pytest.mark.parametrize(
    ("message", "expected"),
    [(Duration(nanos=999), 0), (Duration(nanos=-999), 0), (Duration(seconds=-1, nanos=-1999), -SECOND - 1)],
)
def test_less_than_a_microsecond_is_cut_off(message: Duration, expected: int) -> None:
    assert expected == convert.span(message)


@given(st.builds(Timeouts, queue=positive, attempt=positive, total=positive))
def test_timeouts_survive_their_message(timeouts: Timeouts) -> None:
    assert timeouts == convert.timeouts(convert.timeouts_message(timeouts))


@given(
    st.builds(
        RetryPolicy,
        max_attempts=st.none() | st.integers(1, 1000),
        initial_backoff=positive,
        backoff_multiplier=st.none() | st.floats(1, 1000),
        max_backoff=positive,
    )
)
def test_a_retry_policy_survives_its_message(policy: RetryPolicy) -> None:
    assert policy == convert.retry_policy(convert.retry_policy_message(policy))


@given(st.builds(Fence, st.text(), st.text(), st.text(), st.integers(0, 2**31 - 1), st.text()))
def test_a_fence_survives_its_message(fence: Fence) -> None:
    assert fence == convert.fence(convert.fence_message(fence))


@pytest.mark.parametrize("state", State)
def test_every_state_keeps_its_number(state: State) -> None:
    message = convert.operation_message(operation(state=state))
    assert (int(state), f"STATE_{state.name}") == (message.state, operation_pb2.Operation.State.Name(message.state))


def test_a_waiting_operation_is_shown_whole() -> None:
    waiting = operation(
        labels={"k": "v"},
        priority=5,
        timeouts=Timeouts(total=10 * SECOND),
        retry_policy=RetryPolicy(max_attempts=3),
        expire_time=T0 + 10 * SECOND,
        cancel_reason="why",
        cancel_request_time=T0 + 1,
    )
    reason = operation_pb2.Operation.WAITING_REASON_QUEUED
    expected = operation_pb2.Operation(
        namespace="default",
        operation_id="report-7",
        uid="u1",
        type="reports.generate",
        queue="reports",
        state=operation_pb2.Operation.STATE_ACCEPTED,
        waiting_reason=reason,
        waiting_detail="soon",
        revision=1,
        request=REQUEST,
        correlation_id="c1",
        labels={"k": "v"},
        priority=5,
        create_time=Timestamp(seconds=T0 // SECOND),
        update_time=Timestamp(seconds=T0 // SECOND),
        due_time=Timestamp(seconds=T0 // SECOND),
        deadline_time=Timestamp(seconds=T0 // SECOND + 10),
        cancel_request_time=Timestamp(seconds=T0 // SECOND, nanos=1000),
        cancel_reason="why",
        timeouts=operation_pb2.Timeouts(total_timeout=Duration(seconds=10)),
        retry_policy=operation_pb2.RetryPolicy(max_attempts=3),
    )
    assert expected == convert.operation_message(waiting, request=REQUEST.SerializeToString(), waiting=(reason, "soon"))


FINISHED = operation(
    state=State.SUCCEEDED,
    result=RESULT.SerializeToString(),
    progress=Progress(completed=3).SerializeToString(),
    start_time=T0 + 1 * SECOND,
    end_time=T0 + 2 * SECOND,
    expire_time=T0 + 62 * SECOND,
)


def test_a_succeeded_operation_shows_its_result_and_its_purge_time() -> None:
    message = convert.operation_message(FINISHED)
    assert (RESULT, T0 // SECOND + 62, 3) == (message.result, message.purge_time.seconds, message.progress.completed)


def test_a_result_is_left_out_when_it_is_not_wanted() -> None:
    assert convert.operation_message(FINISHED, with_outcome=False).WhichOneof("outcome") is None


def test_an_error_is_always_shown() -> None:
    failed = operation(state=State.FAILED, error=ERROR)
    assert Status.FromString(ERROR) == convert.operation_message(failed, with_outcome=False).error


def test_the_purge_time_of_an_unfinished_operation_is_unset() -> None:
    assert not convert.operation_message(operation(expire_time=T0)).HasField("purge_time")


HISTORY = [
    transition(1, "SUBMITTED", State.ACCEPTED, 0, worker=""),
    transition(2, "GRANTED", State.RUNNING, 1),
    transition(3, "RETRY", State.ACCEPTED, 1, error=ERROR),
    transition(4, "GRANTED", State.RUNNING, 2, worker="w2"),
    transition(5, "RELEASED", State.ACCEPTED, 2, worker="w2"),
    transition(6, "GRANTED", State.RUNNING, 3, worker="w3"),
    transition(7, "CANCEL_REQUESTED", State.RUNNING, 3, worker="w3"),
]


def test_attempts_are_derived_from_the_history() -> None:
    def time(sequence: int) -> Timestamp:
        return Timestamp(seconds=T0 // SECOND + sequence)

    expected = [
        operation_pb2.Attempt(
            number=1, worker="w1", start_time=time(2), end_time=time(3), error=Status.FromString(ERROR)
        ),
        operation_pb2.Attempt(number=2, worker="w2", start_time=time(4), end_time=time(5)),
        operation_pb2.Attempt(number=3, worker="w3", start_time=time(6)),
    ]
    assert expected == convert.attempts_of(HISTORY)


def test_the_end_of_an_attempt_whose_beginning_is_cut_off_is_ignored() -> None:
    assert [2, 3] == [attempt.number for attempt in convert.attempts_of(HISTORY[2:])]


def test_at_most_twenty_attempts_are_shown() -> None:
    history = [
        step
        for number in range(1, 31)
        for step in (
            transition(2 * number, "GRANTED", State.RUNNING, number),
            transition(2 * number + 1, "RELEASED", State.ACCEPTED, number),
        )
    ]
    assert list(range(11, 31)) == [attempt.number for attempt in convert.attempts_of(history)]


def test_a_transition_is_shown_with_its_operation() -> None:
    shown = operation_pb2.Operation(uid="u1")
    expected = operation_pb2.Transition(
        sequence=3,
        state=operation_pb2.Operation.STATE_ACCEPTED,
        attempt=1,
        time=Timestamp(seconds=T0 // SECOND + 3),
        error=Status.FromString(ERROR),
        worker="w1",
        reason="RETRY",
        operation=shown,
    )
    assert expected == convert.transition_message(HISTORY[2], shown)


def test_a_grant_carries_what_the_handler_needs() -> None:
    granted = operation(
        state=State.RUNNING,
        attempt=2,
        grant_nonce="g2",
        grant_time=T0,
        labels={"k": "v"},
        headers={"traceparent": "00"},
        timeouts=Timeouts(attempt=30 * SECOND, total=20 * SECOND),
    )
    expected = Grant(
        claim_id="claim",
        fence=convert.fence_message(Fence("default", "report-7", "u1", 2, "g2")),
        type="reports.generate",
        queue="reports",
        request=REQUEST,
        correlation_id="c1",
        labels={"k": "v"},
        lease=Duration(seconds=15),
        attempt_timeout=Duration(seconds=20),
        deadline_time=Timestamp(seconds=T0 // SECOND + 20),
        headers={"traceparent": "00"},
    )
    assert expected == convert.grant_message(granted, REQUEST.SerializeToString(), "claim", 15 * SECOND)


def test_an_announced_type_is_shown_with_its_workers() -> None:
    announced = TypeAnnouncement(
        name="a.b",
        queue="q",
        description="d",
        timeouts=operation_pb2.Timeouts(attempt_timeout=Duration(seconds=3)),
        retry_policy=operation_pb2.RetryPolicy(max_attempts=2),
    )
    record = convert.type_record(announced, last_seen_time=T0)
    worker = WorkerRecord(
        worker="w",
        connection_id="c",
        types=("a.b",),
        free_slots=1,
        total_slots=4,
        zombies=0,
        unreadable_messages=0,
        lease_time=T0,
    )
    assert record == TypeRecord(
        name="a.b",
        queue="q",
        description="d",
        timeouts=Timeouts(attempt=3 * SECOND),
        retry_policy=RetryPolicy(max_attempts=2),
        last_seen_time=T0,
    )
    expected = operation_pb2.OperationType(
        name="a.b",
        queue="q",
        description="d",
        timeouts=announced.timeouts,
        retry_policy=announced.retry_policy,
        live_workers=2,
        free_slots=2,
        total_slots=8,
        waiting_count=9,
        last_seen_time=Timestamp(seconds=T0 // SECOND),
    )
    assert expected == convert.type_message(record, workers=[worker, worker], waiting_count=9)


def test_the_limits_are_told_in_the_contracts_units() -> None:
    message = convert.limits_message(Limits())
    assert (1024 * 1024, 16, 60, 365 * 86400) == (
        message.max_payload_bytes,
        message.max_labels,
        message.max_wait_timeout.seconds,
        message.max_retention.seconds,
    )


LATER = T0 + 5 * SECOND


@pytest.mark.parametrize(
    ("waiting", "has_worker", "reason", "text"),
    [
        (operation(due_time=LATER), False, "SCHEDULED", "2023-11-14T22:13:25Z"),
        (operation(due_time=LATER, failures=1, attempt=1), True, "BACKOFF", "attempt 1 failed"),
        (operation(failures=1, attempt=1), True, "QUEUED", "queue reports"),
        (operation(), True, "QUEUED", "queue reports"),
        (operation(), False, "NO_WORKER", "type reports.generate"),
        (operation(state=State.RUNNING), False, "UNSPECIFIED", ""),
    ],
)
def test_the_waiting_reason_is_derived(waiting: Operation, has_worker: bool, reason: str, text: str) -> None:
    value, detail = convert.waiting_of(waiting, T0, has_worker)
    assert f"WAITING_REASON_{reason}" == operation_pb2.Operation.WaitingReason.Name(value)
    assert text in detail


def test_a_tombstone_can_still_be_shown() -> None:
    tombstone = replace(FINISHED, result=None, progress=None, purged_time=T0)
    assert "report-7" == convert.operation_message(tombstone).operation_id
