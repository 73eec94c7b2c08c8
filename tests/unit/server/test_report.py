"""What workers may report."""

from collections.abc import Callable

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.status_pb2 import Status

from rejoinder.v1.operation_pb2 import Payload, Progress, RetryPolicy, Timeouts
from rejoinder.worker.v1.worker_pb2 import (
    Announcement,
    Event,
    Failure,
    ProgressReport,
    Success,
    TypeAnnouncement,
    WorkerHeartbeat,
)
from rejoinder_server.report import InvalidReport, check, check_announcement, check_heartbeat

LIMIT = 100
ERROR = Status(code=2)


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (ProgressReport(progress=Progress(completed=-1)), "progress.completed is -1"),
        (ProgressReport(progress=Progress(total=-1)), "progress.total is -1"),
        (ProgressReport(progress=Progress(unit="x" * 33)), "progress.unit has 33 characters, the limit is 32"),
        (ProgressReport(progress=Progress(message="x" * 513)), "progress.message has 513 characters"),
        (ProgressReport(progress=Progress(message="a\0b")), "progress.message is 'a\\x00b'"),
        (ProgressReport(progress=Progress(message="a\nb")), "progress.message is 'a\\nb'"),
        (Success(), "result is neither json nor data"),
        (Success(result=Payload(data=b"x" * 101)), "result has 101 bytes, the limit is 100"),
        (Success(result=Payload(json="é" * 51)), "result has 102 bytes, the limit is 100"),
        (Success(result=Payload(json="{")), "result.json is not valid JSON"),
        (Success(result=Payload(json="NaN")), "result.json is not valid JSON"),
        (Failure(), "error.code is 0"),
        (Failure(error=Status(code=2, message="x" * 70_000)), "error has 70006 bytes, the limit is 65536"),
        (Failure(error=ERROR, retry_delay=Duration(seconds=-1)), "retry_delay is negative"),
        (Failure(error=ERROR, retry_delay=Duration(seconds=10**10)), "retry_delay is 10000000000 s, the limit is"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_report_that_cannot_be_stored_is_refused_with_its_field(
    report: ProgressReport | Success | Failure, told: str
) -> None:
    with pytest.raises(InvalidReport) as caught:
        check(report, LIMIT)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    "report",
    [
        # What workers let pass must pass here, or a space without a break would fail an operation for good.
        ProgressReport(progress=Progress(message="12\u00a0%\u2009\u200d\U0001f600 \ue000", unit="\u00a0" * 32)),
        Success(result=Payload(json='"' + "x" * 98 + '"')),
        Failure(error=ERROR, retry_delay=Duration()),
    ],
    ids=["unusual spaces and letters", "at the limit", "no delay"],
)
def test_what_workers_let_pass_is_taken(report: ProgressReport | Success | Failure) -> None:
    check(report, LIMIT)


@pytest.mark.parametrize(
    ("announced", "told"),
    [
        (TypeAnnouncement(name="a\0b", queue="q"), "the announcement of type 'a\\x00b'…: name is 'a\\x00b'…"),
        (TypeAnnouncement(queue="q"), "the announcement of type '': name is empty"),
        (TypeAnnouncement(name="a", queue="a/b"), "the announcement of type 'a': queue is 'a/b'"),
        (TypeAnnouncement(name="a", queue=""), "the announcement of type 'a': queue is ''"),
        (TypeAnnouncement(name="a", queue="q", description="x\0"), "the announcement of type 'a': description is"),
        (
            TypeAnnouncement(name="a", queue="q", timeouts=Timeouts(attempt_timeout=Duration(seconds=10**11))),
            "the announcement of type 'a': timeouts.attempt_timeout is 100000000000 s, the limit is 31536000 s",
        ),
        (
            TypeAnnouncement(name="a", queue="q", retry_policy=RetryPolicy(max_attempts=-1)),
            "the announcement of type 'a': retry_policy.max_attempts is -1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_announced_type_that_cannot_be_stored_is_refused_with_its_name(
    announced: TypeAnnouncement, told: str
) -> None:
    with pytest.raises(InvalidReport) as caught:
        check_announcement(Announcement(types=[TypeAnnouncement(name="good", queue="q"), announced]))
    assert str(caught.value).replace("'…", "'").startswith(told.replace("'…", "'"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda event: event.ClearField("worker"), "worker is empty"),
        (lambda event: event.heartbeat.ClearField("connection_id"), "connection_id is empty"),
        (lambda event: setattr(event, "worker", "w\0"), "worker is 'w\\x00'"),
        (lambda event: event.heartbeat.types.append("A B"), "types is 'A B'"),
    ],
)
def test_a_heartbeat_with_names_that_cannot_be_stored_is_refused(change: Callable[[Event], None], told: str) -> None:
    event = Event(worker="worker", heartbeat=WorkerHeartbeat(connection_id="connection", types=["a"]))
    check_heartbeat(event)
    change(event)
    with pytest.raises(InvalidReport) as caught:
        check_heartbeat(event)
    assert str(caught.value).startswith(told)
