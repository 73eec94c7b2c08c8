import math

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from rejoinder.v1.operation_service_pb2 import (
    CancelOperationRequest,
    DeleteOperationRequest,
    GetStatusRequest,
    ListOperationsRequest,
    ListTypesRequest,
    WatchStatusRequest,
)
from rejoinder_server import check, check_times
from rejoinder_server.cursor import Cursor, PageToken, encode, encode_page_token
from rejoinder_server.errors import InvalidField
from rejoinder_server.limits import Limits
from rejoinder_server.operation import SECOND, Key, State
from rejoinder_server.store.port import Query
from rejoinder_server.watch import WatchRequest

LIMITS = Limits()
KEY = Key("default", "report-7")
CURSOR = Cursor("default", "report-7", "9f2c", 3, "00ff", 12)
FOREIGN = encode(Cursor("default", "report-8", "9f2c", 3, "00ff", 12))


def checked(request: Message) -> object:
    match request:
        case GetStatusRequest():
            return check.status_request(request, LIMITS)
        case WatchStatusRequest():
            return check.watch_request(request)
        case ListOperationsRequest():
            return check.listing(request, LIMITS)
        case CancelOperationRequest():
            return check.operation_key(request), check.cancel_reason(request)
        case DeleteOperationRequest():
            return check.operation_key(request)
        case ListTypesRequest():
            return check.namespace(request)
        case _:
            raise AssertionError(request)


def refuse(request: Message) -> InvalidField:
    with pytest.raises(InvalidField) as caught:
        checked(request)
    return caught.value


BAD: list[tuple[str, str, Message]] = [
    ("INVALID_FIELD", "operation_id", GetStatusRequest()),
    ("INVALID_FIELD", "operation_id", GetStatusRequest(operation_id="a/b")),
    ("INVALID_FIELD", "namespace", GetStatusRequest(namespace="A", operation_id="a")),
    ("INVALID_FIELD", "wait_timeout", GetStatusRequest(operation_id="a", wait_timeout=Duration(seconds=-1))),
    ("INVALID_FIELD", "view", GetStatusRequest(operation_id="a", view=9)),  # type: ignore[arg-type]
    ("INVALID_FIELD", "wait_for", GetStatusRequest(operation_id="a", wait_for=9)),  # type: ignore[arg-type]
    ("MALFORMED_CURSOR", "cursor", GetStatusRequest(operation_id="a", cursor="?")),
    ("FOREIGN_CURSOR", "cursor", GetStatusRequest(operation_id="a", cursor=FOREIGN)),
    ("INVALID_FIELD", "operation_id", WatchStatusRequest(operation_id="\x00")),
    ("MALFORMED_CURSOR", "cursor", WatchStatusRequest(operation_id="a", cursor="?")),
    ("FOREIGN_CURSOR", "cursor", WatchStatusRequest(operation_id="a", cursor=FOREIGN)),
    ("INVALID_FIELD", "from_start", WatchStatusRequest(operation_id="report-8", cursor=FOREIGN, from_start=True)),
    *(
        ("INVALID_FIELD", "heartbeat_interval", WatchStatusRequest(operation_id="a", heartbeat_interval=interval))
        for interval in (
            Duration(),
            Duration(seconds=-1),
            Duration(nanos=999_999_999),
            Duration(seconds=301),
            Duration(seconds=2**62),
        )
    ),
    ("INVALID_FIELD", "reason", CancelOperationRequest(operation_id="a", reason="a" * 513)),
    ("INVALID_FIELD", "reason", CancelOperationRequest(operation_id="a", reason="a\x00")),
    ("INVALID_FIELD", "operation_id", CancelOperationRequest()),
    ("INVALID_FIELD", "operation_id", DeleteOperationRequest()),
    ("INVALID_FIELD", "namespace", ListTypesRequest(namespace="a_b")),
    ("INVALID_FIELD", "namespace", ListOperationsRequest(namespace="a_b")),
    ("INVALID_FIELD", "states", ListOperationsRequest(states=[0])),  # type: ignore[list-item]
    ("INVALID_FIELD", "states", ListOperationsRequest(states=[7])),  # type: ignore[list-item]
    ("INVALID_FIELD", "types", ListOperationsRequest(types=["\x00"])),
    ("INVALID_FIELD", "types", ListOperationsRequest(types=["a"] * 101)),
    ("INVALID_FIELD", "queues", ListOperationsRequest(queues=["\x00"])),
    ("INVALID_FIELD", "correlation_id", ListOperationsRequest(correlation_id="\x00")),
    ("INVALID_FIELD", "error_reason", ListOperationsRequest(error_reason="\x00")),
    ("INVALID_FIELD", "labels['a']", ListOperationsRequest(labels={"a": "\x00"})),
    ("INVALID_FIELD", "create_time_from", ListOperationsRequest(create_time_from=Timestamp(nanos=-1))),
    ("INVALID_FIELD", "create_time_before", ListOperationsRequest(create_time_before=Timestamp(seconds=2**62))),
    ("INVALID_FIELD", "page_size", ListOperationsRequest(page_size=-1)),
    ("INVALID_FIELD", "view", ListOperationsRequest(view=9)),  # type: ignore[arg-type]
    ("MALFORMED_PAGE_TOKEN", "page_token", ListOperationsRequest(page_token="?")),
    ("PAGE_TOKEN_MISMATCH", "page_token", ListOperationsRequest(page_token=encode_page_token(PageToken(1, "a", "b")))),
]


@pytest.mark.parametrize(
    ("reason", "field", "request_message"), BAD, ids=[f"{n}-{row[1]}" for n, row in enumerate(BAD)]
)
def test_a_bad_field_is_refused_by_name(reason: str, field: str, request_message: Message) -> None:
    error = refuse(request_message)
    assert (reason, [field]) == (error.reason, [name for name, _ in error.violations])


def test_a_status_request_without_anything_asks_for_the_present() -> None:
    assert check.StatusDraft(
        key=KEY, is_full=False, wait_timeout=0, wait_for_change=False, cursor=None
    ) == check.status_request(GetStatusRequest(operation_id="report-7"), LIMITS)


def test_a_status_request_is_taken_whole() -> None:
    request = GetStatusRequest(
        namespace="default",
        operation_id="report-7",
        view=GetStatusRequest.VIEW_FULL,
        wait_timeout=Duration(seconds=90),
        wait_for=GetStatusRequest.WAIT_FOR_CHANGE,
        cursor=encode(CURSOR),
    )
    expected = check.StatusDraft(key=KEY, is_full=True, wait_timeout=60 * SECOND, wait_for_change=True, cursor=CURSOR)
    assert expected == check.status_request(request, LIMITS)


def test_a_watch_beats_every_fifteen_seconds_by_default() -> None:
    request = WatchStatusRequest(operation_id="report-7")
    assert WatchRequest(KEY, None, False, 15 * SECOND) == check.watch_request(request)


@pytest.mark.parametrize("seconds", [1, 300])
def test_a_watch_takes_its_interval_and_cursor(seconds: int) -> None:
    request = WatchStatusRequest(
        operation_id="report-7", cursor=encode(CURSOR), heartbeat_interval=Duration(seconds=seconds)
    )
    assert WatchRequest(KEY, CURSOR, False, seconds * SECOND) == check.watch_request(request)


def test_a_cancel_reason_may_have_512_characters() -> None:
    assert "é" * 512 == check.cancel_reason(CancelOperationRequest(reason="é" * 512))


def test_a_listing_without_filters_asks_for_a_hundred_of_the_namespace() -> None:
    draft = check.listing(ListOperationsRequest(), LIMITS)
    assert (Query(namespace="default", states=[], types=[], queues=[], labels={}, limit=100), False) == (
        draft.query,
        draft.is_full,
    )


def test_a_listing_is_taken_whole() -> None:
    request = ListOperationsRequest(
        namespace="team",
        states=[State.FAILED, State.ACCEPTED, State.FAILED],  # type: ignore[list-item]
        types=["b", "a"],
        queues=["slow"],
        correlation_id="order-1",
        labels={"k": "v"},
        error_reason="BAD_ROW",
        create_time_from=Timestamp(seconds=1),
        create_time_before=Timestamp(seconds=2, nanos=3000),
        view=ListOperationsRequest.VIEW_FULL,
        page_size=5000,
    )
    draft = check.listing(request, LIMITS)
    expected = Query(
        namespace="team",
        states=[State.ACCEPTED, State.FAILED],
        types=["a", "b"],
        queues=["slow"],
        correlation_id="order-1",
        labels={"k": "v"},
        error_reason="BAD_ROW",
        create_time_from=SECOND,
        create_time_before=2 * SECOND + 3,
        limit=1000,
    )
    assert (expected, True) == (draft.query, draft.is_full)


def token_after_one(request: ListOperationsRequest) -> str:
    digest = check.listing(request, LIMITS).query_digest
    return encode_page_token(PageToken(77, "report-7", digest))


def test_a_page_token_goes_on_with_the_same_filters_in_any_order() -> None:
    token = token_after_one(ListOperationsRequest(types=["a", "b"], labels={"x": "1", "y": "2"}))
    next_page = ListOperationsRequest(types=["b", "a"], labels={"y": "2", "x": "1"}, page_size=7, page_token=token)
    assert (77, "report-7") == check.listing(next_page, LIMITS).query.before


@pytest.mark.parametrize(
    "other",
    [
        ListOperationsRequest(namespace="other", types=["a"]),
        ListOperationsRequest(types=["b"]),
        ListOperationsRequest(queues=["a"]),
        ListOperationsRequest(types=["a"], states=[1]),  # type: ignore[list-item]
        ListOperationsRequest(types=["a"], correlation_id="x"),
        ListOperationsRequest(types=["a"], labels={"x": ""}),
        ListOperationsRequest(types=["a"], error_reason="X"),
        ListOperationsRequest(types=["a"], create_time_from=Timestamp()),
        ListOperationsRequest(types=["a"], create_time_before=Timestamp()),
    ],
)
def test_a_page_token_does_not_go_with_other_filters(other: ListOperationsRequest) -> None:
    other.page_token = token_after_one(ListOperationsRequest(types=["a"]))
    assert "PAGE_TOKEN_MISMATCH" == refuse(other).reason


def test_spans_are_told_exactly() -> None:
    spans = [0, 1, -1, 1_500_000, 60 * SECOND]
    assert ["0 s", "0.000001 s", "-0.000001 s", "1.5 s", "60 s"] == [check_times.seconds(span) for span in spans]


def test_the_largest_multiplier_cannot_overflow_a_backoff() -> None:
    assert math.isfinite(LIMITS.max_timeout * float(check_times.MAX_MULTIPLIER) ** 60)
