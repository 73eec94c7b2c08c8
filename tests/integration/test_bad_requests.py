"""Bad requests against real servers: each is refused in one clear line, and nothing is stored of it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from rejoinder.v1 import operation_service_pb2 as pb
from rejoinder.v1.operation_pb2 import Operation, Payload
from rejoinder_server.limits import Limits
from tests.support.deployment import Deployment
from tests.support.raw_calls import RawCaller, Refusal, raw_caller

LIMIT = Limits().max_payload_bytes
TYPE = "test.echo"
DAY = 24 * 3600
ABSURD = 10**11
NO_DURATION = 10**12


@dataclass(frozen=True)
class Place:
    """A namespace of the test's own, seen through the last server; requests go to the first."""

    namespace: str
    caller: RawCaller
    other: RawCaller

    def submit(self, type: str = TYPE, json: str = "null", **fields: Any) -> Operation:
        return self.caller.submit(type, json, namespace=self.namespace, **fields)

    def stored(self) -> list[str]:
        request = pb.ListOperationsRequest(namespace=self.namespace)
        return [operation.operation_id for operation in self.other.stub.ListOperations(request).operations]

    def named(self, request: Any, operation_id: str = "absent") -> Any:
        request.namespace, request.operation_id = self.namespace, operation_id
        return request


@pytest.fixture
def place(deployment: Deployment) -> Iterator[Place]:
    with raw_caller(deployment.first) as caller, raw_caller(deployment.last) as other:
        yield Place(f"bad-{uuid4().hex[:12]}", caller, other)


def assert_told_well(refusal: Refusal, code: str, reason: str, *fields: str) -> None:
    """Assert what holds for every refusal: the details, and one line that says the same to people."""
    expected = (code, "rejoinder", reason, fields)
    assert expected == (refusal.code, refusal.domain, refusal.reason, refusal.fields), refusal
    assert refusal.message.endswith(f" ({reason})")
    assert refusal.message.isprintable()
    assert all(field in refusal.message for field in fields)


def duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=round((seconds - whole) * 10**9))


def at(path: str, value: Any) -> Callable[[pb.SubmitRequest], None]:
    """Set a field, or a message, at a path."""

    def change(request: pb.SubmitRequest) -> None:
        *parents, last = path.split(".")
        message: Any = request
        for parent in parents:
            message = getattr(message, parent)
        if hasattr(value, "DESCRIPTOR"):
            getattr(message, last).CopyFrom(value)
        else:
            setattr(message, last, value)

    return change


def due(seconds_from_now: float) -> Callable[[pb.SubmitRequest], None]:
    def change(request: pb.SubmitRequest) -> None:
        request.due_time.FromSeconds(int(time.time() + seconds_from_now))

    return change


def labels(**given: str) -> Callable[[pb.SubmitRequest], None]:
    return lambda request: request.labels.update(given)


WRONG: list[tuple[str, Callable[[pb.SubmitRequest], None], str, str]] = [
    ("empty type", at("type", ""), "type", "is empty; name the work"),
    ("type with capitals", at("type", "Reports.Generate"), "type", "it takes lower-case words"),
    ("type with spaces", at("type", "a b"), "type", "'a b'"),
    ("type with NUL", at("type", "a\0"), "type", "'a\\x00'"),
    ("long type", at("type", "a" * 129), "type", "has 129 characters, the limit is 128"),
    ("broken JSON", at("payload.json", '{"rows": '), "payload.json", "is not JSON: Expecting value at line 1"),
    ("empty JSON", at("payload.json", ""), "payload.json", "is not JSON"),
    ("NaN", at("payload.json", "[NaN]"), "payload.json", "NaN"),
    ("value beyond 2^53", at("payload.value", Value(number_value=2**53 + 1)), "payload.value", "send json instead"),
    ("value without kind", at("payload.value", Value()), "payload.value", "set null_value"),
    ("long JSON", at("payload.json", f'"{"x" * (LIMIT - 1)}"'), "payload.json", f"{LIMIT + 1} bytes, the limit is"),
    ("long data", at("payload.data", b"x" * (LIMIT + 1)), "payload.data", f"{LIMIT + 1} bytes, the limit is {LIMIT}"),
    ("message type without data", at("payload.message_type", "a.B"), "payload.message_type", "without data"),
    ("content type with line end", at("payload.content_type", "a\nb"), "payload.content_type", "image/png"),
    ("negative delay", at("delay", duration(-1)), "delay", "is negative; give a positive duration"),
    ("long delay", at("delay", duration(366 * DAY)), "delay", "is 31622400 s, the limit is 31536000 s"),
    ("delay that is none", at("delay", duration(NO_DURATION)), "delay", "is not a duration"),
    ("delay of two signs", at("delay", Duration(seconds=1, nanos=-1)), "delay", "nanos of the same sign"),
    ("due two days ago", due(-2 * DAY), "due_time", "over a day past; leave it out for now"),
    ("due in two years", due(730 * DAY), "due_time", "the limit is 31536000 s from now"),
    ("due in no year", at("due_time", Timestamp(seconds=10**15)), "due_time", "is not a time"),
    ("priority 101", at("priority", 101), "priority", "is 101; it takes -100 to 100"),
    ("priority -101", at("priority", -101), "priority", "is -101; it takes -100 to 100"),
    ("17 labels", labels(**{f"key{n}": "" for n in range(17)}), "labels", "has 17 labels, the limit is 16"),
    ("long label key", labels(**{"k" * 64: ""}), f"labels['{'k' * 39}…]", "a key of 64 characters, the limit is 63"),
    ("long label value", labels(key="v" * 129), "labels['key']", "has 129 characters, the limit is 128"),
    ("NUL in a label", labels(key="a\0b"), "labels['key']", "takes no control characters"),
    ("label without key", labels(**{"": "value"}), "labels", "empty key; name the label"),
    ("control in a label key", labels(**{"a\nb": ""}), "labels['a\\nb']", "control character in its key"),
    ("slash in operation_id", at("operation_id", "a/b"), "operation_id", "'a/b'; it takes 1 to 128 letters"),
    ("control in operation_id", at("operation_id", "a\x07"), "operation_id", "begins with a letter or digit"),
    ("long operation_id", at("operation_id", "a" * 129), "operation_id", "1 to 128"),
    ("slash in request_id", at("request_id", "a/b"), "request_id", "'a/b'; it takes printable characters but no"),
    ("control in request_id", at("request_id", "a\nb"), "request_id", "'a\\nb'"),
    ("long request_id", at("request_id", "a" * 129), "request_id", "has 129 characters, the limit is 128"),
    ("slash in correlation_id", at("correlation_id", "a/b"), "correlation_id", "no slashes"),
    ("control in correlation_id", at("correlation_id", "a\0"), "correlation_id", "printable"),
    ("attempts below 0", at("retry_policy.max_attempts", -1), "retry_policy.max_attempts", "takes 1 to 1000"),
    ("too many attempts", at("retry_policy.max_attempts", 1001), "retry_policy.max_attempts", "takes 1 to 1000"),
    ("factor below 1", at("retry_policy.backoff_multiplier", 0.5), "retry_policy.backoff_multiplier", "1 to 1000"),
    ("no factor", at("retry_policy.backoff_multiplier", float("nan")), "retry_policy.backoff_multiplier", "is nan"),
    ("negative wait", at("wait_timeout", duration(-1)), "wait_timeout", "is negative"),
    ("wait that is none", at("wait_timeout", duration(NO_DURATION)), "wait_timeout", "is not a duration"),
    *(
        (f"{kind} {field}", at(field, duration(seconds)), field, told)
        for field in (
            "timeouts.queue_timeout",
            "timeouts.attempt_timeout",
            "timeouts.total_timeout",
            "retry_policy.initial_backoff",
            "retry_policy.max_backoff",
            "retention",
        )
        for kind, seconds, told in (
            ("zero", 0, "is 0 s; it takes at least 0.000001 s, or leave it out for the default"),
            ("negative", -0.5, "is negative; give a positive duration, or leave it out"),
            ("absurd", ABSURD, f"is {ABSURD} s, the limit is 31536000 s"),
            ("impossible", NO_DURATION, "is not a duration; it takes up to"),
        )
    ),
]


@pytest.mark.parametrize(("change", "field", "told"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_submit_with_a_wrong_field_is_refused_and_stores_nothing(
    place: Place, change: Callable[[pb.SubmitRequest], None], field: str, told: str
) -> None:
    request = pb.SubmitRequest(namespace=place.namespace, type=TYPE)
    change(request)
    refusal = place.caller.refused("Submit", request)
    assert_told_well(refusal, "INVALID_ARGUMENT", "INVALID_FIELD", field)
    assert told in refusal.message
    assert [] == place.stored()


@pytest.mark.parametrize("namespace", ["a/b", "Upper", "-a", "a" * 64, "a\0"])
def test_a_wrong_namespace_is_refused(place: Place, namespace: str) -> None:
    refusal = place.caller.refused("Submit", pb.SubmitRequest(namespace=namespace, type=TYPE))
    assert_told_well(refusal, "INVALID_ARGUMENT", "INVALID_FIELD", "namespace")
    assert "1 to 63 lower-case letters" in refusal.message


def test_all_that_is_wrong_with_a_request_is_told_at_once(place: Place) -> None:
    refusal = place.caller.refused("Submit", pb.SubmitRequest(namespace=place.namespace, priority=101))
    assert_told_well(refusal, "INVALID_ARGUMENT", "INVALID_FIELD", "type", "priority")


def test_an_unknown_type_is_refused_with_one_that_looks_alike(place: Place) -> None:
    refusal = place.caller.refused("Submit", pb.SubmitRequest(namespace=place.namespace, type="test.ehco"))
    assert_told_well(refusal, "FAILED_PRECONDITION", "UNKNOWN_TYPE")
    assert "no worker has announced type test.ehco; did you mean test.echo" in refusal.message
    assert [] == place.stored()


def test_bytes_that_are_no_request_are_refused(place: Place) -> None:
    refusal = place.caller.refused_bytes("Submit", b"\xff\xff\xff")
    assert ("INVALID_ARGUMENT", "MALFORMED_REQUEST") == (refusal.code, refusal.reason)
    assert refusal.message == (
        "the request cannot be read; send the contract's message, and texts as UTF-8 (MALFORMED_REQUEST)"
    )


def test_a_text_that_is_not_utf8_is_refused(place: Place) -> None:
    refusal = place.caller.refused_bytes("Submit", b"\x12\x02\xc3\x28")  # `type` of two bytes
    assert ("INVALID_ARGUMENT", "MALFORMED_REQUEST") == (refusal.code, refusal.reason)


@pytest.mark.parametrize(
    "payload",
    [Payload(json=f'"{"x" * (LIMIT - 2)}"'), Payload(data=b"x" * LIMIT)],
    ids=["json", "data"],
)
def test_a_payload_exactly_at_the_limit_is_taken_and_answered(place: Place, payload: Payload) -> None:
    request = pb.SubmitRequest(namespace=place.namespace, type=TYPE, payload=payload)
    finished = place.other.finished(place.caller.stub.Submit(request).operation)
    assert Operation.STATE_SUCCEEDED == finished.state
    assert payload.WhichOneof("body") == finished.result.WhichOneof("body")
    assert (payload.json, payload.data) == (finished.result.json, finished.result.data)


def test_an_absent_payload_is_null(place: Place) -> None:
    operation = place.caller.stub.Submit(pb.SubmitRequest(namespace=place.namespace, type=TYPE)).operation
    assert "null" == place.other.finished(operation).result.json


@pytest.mark.parametrize("seconds", [-3600, 0])
def test_a_due_time_that_has_just_passed_means_now(place: Place, seconds: int) -> None:
    request = pb.SubmitRequest(namespace=place.namespace, type=TYPE)
    due(seconds)(request)
    operation = place.caller.stub.Submit(request).operation
    assert operation.create_time.ToNanoseconds() == operation.due_time.ToNanoseconds()


def test_a_delay_of_zero_means_now(place: Place) -> None:
    operation = place.submit(delay=Duration())
    assert operation.create_time.ToNanoseconds() == operation.due_time.ToNanoseconds()


def test_a_request_id_with_another_payload_is_refused_with_the_operation_that_has_it(place: Place) -> None:
    first = place.submit(json="1", request_id="once")
    request = pb.SubmitRequest(
        namespace=place.namespace, type=TYPE, payload=Payload(json="2"), request_id="once", operation_id="second"
    )
    refusal = place.other.refused("Submit", request)
    assert_told_well(refusal, "ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert f"used with other content by operation {first.operation_id}" in refusal.message
    assert "or take a new request_id" in refusal.message
    assert [first.operation_id] == place.stored()


def test_an_operation_id_that_is_taken_is_refused(place: Place) -> None:
    place.submit(json="1", operation_id="mine")
    request = pb.SubmitRequest(namespace=place.namespace, type=TYPE, operation_id="mine")
    refusal = place.other.refused("Submit", request)
    assert_told_well(refusal, "ALREADY_EXISTS", "OPERATION_ID_TAKEN")
    assert "operation_id mine is taken in this namespace; choose another, or leave it out" in refusal.message
    assert ["mine"] == place.stored()


@pytest.mark.parametrize(
    ("method", "request_of"),
    [
        ("GetStatus", pb.GetStatusRequest),
        ("WatchStatus", pb.WatchStatusRequest),
        ("CancelOperation", pb.CancelOperationRequest),
        ("DeleteOperation", pb.DeleteOperationRequest),
    ],
)
class TestOneOperation:
    """What all calls about one operation refuse."""

    def test_an_unknown_operation_is_not_found(self, place: Place, method: str, request_of: Callable[..., Any]) -> None:
        refusal = place.caller.refused(method, place.named(request_of()))
        assert_told_well(refusal, "NOT_FOUND", "UNKNOWN")
        assert "there is no operation absent in this namespace; check both names" in refusal.message

    def test_a_purged_operation_is_not_found_and_the_time_is_told(
        self, place: Place, method: str, request_of: Callable[..., Any]
    ) -> None:
        operation = place.other.finished(place.submit())
        place.caller.stub.DeleteOperation(place.named(pb.DeleteOperationRequest(), operation.operation_id))
        refusal = place.other.refused(method, place.named(request_of(), operation.operation_id))
        assert_told_well(refusal, "NOT_FOUND", "PURGED")
        assert f"operation {operation.operation_id} was purged at 20" in refusal.message

    @pytest.mark.parametrize("operation_id", ["", "a/b", "a\x00", "~a", "a" * 129])
    def test_a_wrong_operation_id_is_refused(
        self, place: Place, method: str, request_of: Callable[..., Any], operation_id: str
    ) -> None:
        refusal = place.caller.refused(method, place.named(request_of(), operation_id))
        assert_told_well(refusal, "INVALID_ARGUMENT", "INVALID_FIELD", "operation_id")


@pytest.mark.parametrize(
    ("method", "request_of"), [("GetStatus", pb.GetStatusRequest), ("WatchStatus", pb.WatchStatusRequest)]
)
class TestCursors:
    """What calls that take a cursor refuse."""

    @pytest.mark.parametrize("cursor", ["x", "c1", "c1!!!!", "c1AAAA", "p1AAAA", "a" * 5000, "\x00"])
    def test_a_malformed_cursor_is_refused(
        self, place: Place, method: str, request_of: Callable[..., Any], cursor: str
    ) -> None:
        operation = place.submit()
        refusal = place.caller.refused(method, place.named(request_of(cursor=cursor), operation.operation_id))
        assert_told_well(refusal, "INVALID_ARGUMENT", "MALFORMED_CURSOR", "cursor")
        assert "send one back exactly as it was received, or leave it out" in refusal.message

    def test_another_operations_cursor_is_refused(
        self, place: Place, method: str, request_of: Callable[..., Any]
    ) -> None:
        cursor = place.caller.stub.Submit(pb.SubmitRequest(namespace=place.namespace, type=TYPE)).cursor
        operation = place.submit()
        refusal = place.other.refused(method, place.named(request_of(cursor=cursor), operation.operation_id))
        assert_told_well(refusal, "INVALID_ARGUMENT", "FOREIGN_CURSOR", "cursor")
        assert "belongs to another operation; send one of this operation, or leave it out" in refusal.message


def test_the_ids_of_a_purged_operation_cannot_be_used_again(place: Place) -> None:
    operation = place.other.finished(place.submit(operation_id="once", request_id="once"))
    place.caller.stub.DeleteOperation(place.named(pb.DeleteOperationRequest(), operation.operation_id))
    for field in ("operation_id", "request_id"):
        request = pb.SubmitRequest(namespace=place.namespace, type=TYPE, **{field: "once"})  # type: ignore[arg-type]
        refusal = place.caller.refused("Submit", request)
        assert_told_well(refusal, "ALREADY_EXISTS", "PURGED")
        assert f"this {field} is that of operation once" in refusal.message
        assert f"choose another {field}" in refusal.message


def test_an_unfinished_operation_cannot_be_deleted(place: Place) -> None:
    operation = place.submit(delay=duration(3600))
    refusal = place.other.refused("DeleteOperation", place.named(pb.DeleteOperationRequest(), operation.operation_id))
    assert_told_well(refusal, "FAILED_PRECONDITION", "UNFINISHED")
    assert "is not finished; cancel it and wait for its end first" in refusal.message
    assert [operation.operation_id] == place.stored()


def test_from_start_does_not_go_with_a_cursor(place: Place) -> None:
    response = place.caller.stub.Submit(pb.SubmitRequest(namespace=place.namespace, type=TYPE))
    request = place.named(pb.WatchStatusRequest(cursor=response.cursor, from_start=True))
    refusal = place.caller.refused("WatchStatus", request)
    assert_told_well(refusal, "INVALID_ARGUMENT", "INVALID_FIELD", "from_start")
    assert "is given together with a cursor; leave one of them out" in refusal.message


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "is 0 s; it takes at least 1 s, or leave it out for the default"),
        (0.5, "is 0.5 s; it takes at least 1 s"),
        (-1, "is negative"),
        (301, "is 301 s, the limit is 300 s"),
        (NO_DURATION, "is not a duration"),
    ],
)
def test_a_heartbeat_interval_out_of_its_range_is_refused(place: Place, seconds: float, told: str) -> None:
    request = place.named(pb.WatchStatusRequest(heartbeat_interval=duration(seconds)))
    refusal = place.caller.refused("WatchStatus", request)
    assert_told_well(refusal, "INVALID_ARGUMENT", "INVALID_FIELD", "heartbeat_interval")
    assert told in refusal.message


def test_a_cancel_with_a_control_character_in_its_reason_is_refused_and_changes_nothing(place: Place) -> None:
    operation = place.submit(delay=duration(3600))
    request = place.named(pb.CancelOperationRequest(reason="a\x1b[2J"), operation.operation_id)
    refusal = place.caller.refused("CancelOperation", request)
    assert_told_well(refusal, "INVALID_ARGUMENT", "INVALID_FIELD", "reason")
    assert (Operation.STATE_ACCEPTED, "") == (
        place.other.status(operation).state,
        place.other.status(operation).cancel_reason,
    )


def test_a_cancel_with_a_long_reason_is_refused(place: Place) -> None:
    request = place.named(pb.CancelOperationRequest(reason="a" * 513))
    refusal = place.caller.refused("CancelOperation", request)
    assert_told_well(refusal, "INVALID_ARGUMENT", "INVALID_FIELD", "reason")
    assert "has 513 characters, the limit is 512" in refusal.message


def test_a_page_token_of_another_query_is_refused(place: Place) -> None:
    for _ in range(2):
        place.submit(delay=duration(3600))
    page = place.caller.stub.ListOperations(pb.ListOperationsRequest(namespace=place.namespace, page_size=1))
    request = pb.ListOperationsRequest(namespace=place.namespace, types=["test.work"], page_token=page.next_page_token)
    refusal = place.other.refused("ListOperations", request)
    assert_told_well(refusal, "INVALID_ARGUMENT", "PAGE_TOKEN_MISMATCH", "page_token")
    assert "belongs to a listing with other filters; repeat those, or leave it out" in refusal.message


@pytest.mark.parametrize("token", ["x", "p1", "p1AAAA", "c1AAAA", "\x00"])
def test_a_malformed_page_token_is_refused(place: Place, token: str) -> None:
    refusal = place.caller.refused("ListOperations", pb.ListOperationsRequest(page_token=token))
    assert_told_well(refusal, "INVALID_ARGUMENT", "MALFORMED_PAGE_TOKEN", "page_token")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListOperationsRequest(page_size=-1), "page_size"),
        (pb.ListOperationsRequest(states=[99]), "states"),  # type: ignore[list-item]
        (pb.ListOperationsRequest(types=["A B"]), "types"),
        (pb.ListOperationsRequest(queues=["a/b"]), "queues"),
        (pb.ListOperationsRequest(queues=["a"] * 101), "queues"),
        (pb.ListOperationsRequest(correlation_id="a\0"), "correlation_id"),
        (pb.ListOperationsRequest(error_reason="a\0"), "error_reason"),
        (pb.ListOperationsRequest(labels={"a": "\0"}), "labels['a']"),
        (pb.ListOperationsRequest(view=9), "view"),  # type: ignore[arg-type]
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_listing_with_a_wrong_field_is_refused(place: Place, request_: pb.ListOperationsRequest, field: str) -> None:
    refusal = place.caller.refused("ListOperations", request_)
    assert_told_well(refusal, "INVALID_ARGUMENT", "INVALID_FIELD", field)
