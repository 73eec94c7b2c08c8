"""Workers that are broken themselves, played by hand: what they report is refused one by one, and nothing stops."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from rejoinder.v1.operation_pb2 import Operation, Payload, Progress, RetryPolicy, Timeouts
from rejoinder.v1.operation_service_pb2 import ListTypesRequest
from rejoinder.worker.v1.worker_pb2 import (
    Announcement,
    Event,
    Failure,
    Fence,
    Grant,
    Marker,
    ProgressReport,
    Success,
    TypeAnnouncement,
    WorkerHeartbeat,
)
from tests.integration.conftest import Target
from tests.support.hand_made_worker import HandMadeWorker, hand_made_worker
from tests.support.raw_calls import reason_of
from tests.support.waiting import eventually_sync

TYPE = "made.by_hand"
REFUSED = "rejoinder_refused_reports_total"
LATE = "rejoinder_late_reports_dropped_total"
ANSWER = Payload(json='"answer"')


@pytest.fixture
def worker(target: Target) -> Iterator[HandMadeWorker]:
    """A worker by hand whose type every server knows."""
    with hand_made_worker(target.broker_url, TYPE) as worker:
        worker.introduce()
        eventually_sync(lambda: TYPE in types(target), timeout=20)
        yield worker


def types(target: Target) -> set[str]:
    return {known.name for known in target.caller.stub.ListTypes(ListTypesRequest()).types}


def running(target: Target, worker: HandMadeWorker) -> tuple[Operation, Grant]:
    """Submit an operation and take it."""
    operation = target.caller.submit(TYPE)
    grant = worker.grant()
    assert operation.operation_id == grant.fence.operation_id
    return operation, grant


def status_with_reason(reason: str) -> Status:
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=reason, domain="rejoinder"))
    return Status(code=2, message="no", details=[detail])


def progress(message: str) -> Callable[[Fence], dict[str, Any]]:
    return lambda fence: {"progress": ProgressReport(fence=fence, number=1, progress=Progress(message=message))}


def success(**payload: Any) -> Callable[[Fence], dict[str, Any]]:
    return lambda fence: {"succeeded": Success(fence=fence, number=1, result=Payload(**payload))}


def failure(**fields: Any) -> Callable[[Fence], dict[str, Any]]:
    return lambda fence: {"failed": Failure(fence=fence, number=1, **fields)}


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (progress("a\0b"), "progress.message is 'a\\x00b'"),
        (progress("x" * 513), "progress.message has 513 characters, the limit is 512"),
        (success(json="{"), "result.json is not valid JSON"),
        (success(json="NaN"), "result.json is not valid JSON"),
        (success(data=b"x" * 1048577), "result has 1048577 bytes, the limit is 1048576"),
        (success(), "result is neither json nor data"),
        (failure(), "error.code is 0, which means success"),
        (failure(error=Status(code=2, message="x" * 70_000)), "the limit is 65536"),
        (failure(error=Status(code=2), retry_delay=Duration(seconds=10**11)), "retry_delay is 100000000000 s"),
        (failure(error=status_with_reason("A\0B"), permanent=True), ""),
    ],
    ids=[
        "NUL in progress",
        "long progress",
        "broken JSON",
        "NaN",
        "large result",
        "no result",
        "no error code",
        "large error",
        "absurd delay",
        "NUL in a reason",
    ],
)
def test_a_report_that_cannot_be_recorded_fails_its_attempt_and_is_kept(
    target: Target, worker: HandMadeWorker, report: Callable[[Fence], dict[str, Any]], why: str
) -> None:
    target.dead_letters()
    pids, before = target.pids, target.count(REFUSED)
    operation, grant = running(target, worker)
    worker.report(**report(grant.fence))
    finished = target.caller.finished(operation)
    assert (Operation.STATE_FAILED, "INVALID_REPORT") == (finished.state, reason_of(finished.error))
    assert finished.error.message.startswith("the worker's report was refused: ")
    assert why in finished.error.message
    [letter] = target.await_dead_letters(1)
    assert "rejoinder.1.events" == letter.headers["rejoinder-source"]
    assert why in letter.headers["rejoinder-error"]
    assert before + 1 == target.count(REFUSED)
    target.assert_works()
    assert pids == target.pids


def announced(**fields: Any) -> dict[str, Any]:
    return {"announcement": Announcement(types=[TypeAnnouncement(**{"name": "made.wrongly", "queue": "q", **fields})])}


CENTURIES = Duration(seconds=10**11)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (announced(name="made\0wrongly"), "name is 'made\\x00wrongly'"),
        (announced(name="Made Wrongly"), "name is 'Made Wrongly'"),
        (announced(name=""), "name is empty"),
        (announced(queue="a/b"), "queue is 'a/b'; it takes 1 to 63 letters, digits, _ and -"),
        (announced(queue=""), "queue is ''"),
        (announced(description="a\0b"), "description is 'a\\x00b'"),
        (announced(timeouts=Timeouts(attempt_timeout=CENTURIES)), "timeouts.attempt_timeout is 100000000000 s"),
        (announced(timeouts=Timeouts(queue_timeout=Duration())), "timeouts.queue_timeout is 0 s"),
        (announced(timeouts=Timeouts(total_timeout=Duration(seconds=-1))), "timeouts.total_timeout is negative"),
        (announced(retry_policy=RetryPolicy(max_attempts=-1)), "retry_policy.max_attempts is -1"),
        (announced(retry_policy=RetryPolicy(max_backoff=CENTURIES)), "retry_policy.max_backoff is 100000000000 s"),
        ({"heartbeat": WorkerHeartbeat(connection_id="a\0b", number=1)}, "connection_id is 'a\\x00b'"),
        ({"heartbeat": WorkerHeartbeat(connection_id="a", types=["a\0b"])}, "types is 'a\\x00b'"),
        ({"marker": Marker(time=Timestamp(seconds=253_402_300_799))}, "marker.time is more than a lease ahead"),
        ({"marker": Marker(time=Timestamp(seconds=2**62))}, "marker.time is more than a lease ahead"),
        (success(json="1")(Fence(namespace="default", operation_id="a\0b", attempt=1)), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_event_that_cannot_be_recorded_is_refused_alone(
    target: Target, worker: HandMadeWorker, event: dict[str, Any], why: str
) -> None:
    target.dead_letters()
    pids, known, before = target.pids, types(target), target.count(REFUSED)
    worker.report(**event)
    [letter] = target.await_dead_letters(1)
    assert Event(worker=worker.name, **event) == Event.FromString(letter.body)
    assert why in letter.headers["rejoinder-error"]
    assert before + 1 == target.count(REFUSED)
    target.assert_works()
    assert (pids, known) == (target.pids, types(target))


def test_one_wrong_event_among_good_ones_costs_nobody_else_anything(target: Target, worker: HandMadeWorker) -> None:
    operations = []
    for _ in range(20):
        operation, grant = running(target, worker)
        operations.append(operation)
        worker.report(**announced(name="a\0b"))
        worker.report(succeeded=Success(fence=grant.fence, number=1, result=ANSWER))
    finished = [target.caller.finished(operation) for operation in operations]
    assert ['"answer"'] * 20 == [operation.result.json for operation in finished]


def test_reports_of_an_earlier_attempt_are_dropped_and_counted(target: Target, worker: HandMadeWorker) -> None:
    operation, grant = running(target, worker)
    old = Fence()
    old.CopyFrom(grant.fence)
    worker.report(failed=Failure(fence=old, number=1, error=Status(code=2), retry_delay=Duration()))
    later = worker.grant()
    before = target.count(LATE)
    worker.report(succeeded=Success(fence=old, number=9, result=Payload(json='"late"')))
    worker.report(progress=ProgressReport(fence=old, number=10, progress=Progress(message="a\0b")))
    eventually_sync(lambda: target.count(LATE) == before + 2)
    assert (Operation.STATE_RUNNING, 2) == (target.caller.status(operation).state, later.fence.attempt)
    worker.report(succeeded=Success(fence=later.fence, number=1, result=ANSWER))
    assert '"answer"' == target.caller.finished(operation).result.json


def test_reports_about_operations_that_never_were_are_dropped_and_counted(
    target: Target, worker: HandMadeWorker
) -> None:
    before = target.count(LATE)
    worker.report(succeeded=Success(fence=Fence(operation_id="none"), number=1, result=ANSWER))
    worker.report(succeeded=Success(number=1, result=ANSWER))
    eventually_sync(lambda: target.count(LATE) == before + 2)
    target.assert_works()


def test_a_report_with_a_guessed_nonce_is_dropped(target: Target, worker: HandMadeWorker) -> None:
    operation, grant = running(target, worker)
    guessed = Fence()
    guessed.CopyFrom(grant.fence)
    guessed.nonce = "0" * 16
    before = target.count(LATE)
    worker.report(succeeded=Success(fence=guessed, number=1, result=Payload(json='"forged"')))
    eventually_sync(lambda: target.count(LATE) == before + 1)
    worker.report(succeeded=Success(fence=grant.fence, number=1, result=ANSWER))
    assert '"answer"' == target.caller.finished(operation).result.json


@pytest.mark.parametrize(
    "wrong",
    [{"types": []}, {"free_slots": 0}, {"free_slots": -5}, {"worker": ""}, {"queue": "a\0b"}, {"types": ["a\0b"]}],
    ids=str,
)
def test_a_claim_that_asks_for_nothing_sensible_is_counted_and_hurts_no_other(
    target: Target, worker: HandMadeWorker, wrong: dict[str, Any]
) -> None:
    before = target.count("rejoinder_claims_total", answer="invalid")
    operation = target.caller.submit(TYPE)
    worker.claim(**wrong)
    grant = worker.grant()
    worker.report(succeeded=Success(fence=grant.fence, number=1, result=ANSWER))
    assert '"answer"' == target.caller.finished(operation).result.json
    eventually_sync(lambda: target.count("rejoinder_claims_total", answer="invalid") == before + 1)


def test_grants_to_a_connection_that_does_not_exist_are_released(target: Target, worker: HandMadeWorker) -> None:
    operation = target.caller.submit(TYPE)
    worker.claim(connection_id="nowhere", free_slots=2**31 - 1)
    grant = worker.grant()
    worker.report(succeeded=Success(fence=grant.fence, number=1, result=ANSWER))
    finished = target.caller.finished(operation)
    assert ('"answer"', 2) == (finished.result.json, len(finished.attempts))
