import pickle
import re
from datetime import timedelta

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2

import rejoinder_client
from rejoinder_client import (
    AlreadyExists,
    BackPressure,
    InvalidRequest,
    NotFound,
    Operation,
    OperationCancelled,
    OperationError,
    OperationFailed,
    OperationTimedOut,
    PermissionDenied,
    RejoinderError,
    State,
    Unauthenticated,
    Unavailable,
    WaitTimeout,
)
from rejoinder_client.outcome import unwrap
from rejoinder_client.status import make_error
from rejoinder_client.views import Failure
from tests.support.scripted_service import error_info, retry_info


def pack(*messages: Message) -> list[AnyMessage]:
    packed = [AnyMessage() for _ in messages]
    for each, message in zip(packed, messages, strict=True):
        each.Pack(message)
    return packed


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("NOT_FOUND", NotFound),
        ("INVALID_ARGUMENT", InvalidRequest),
        ("FAILED_PRECONDITION", InvalidRequest),
        ("UNIMPLEMENTED", InvalidRequest),
        ("ALREADY_EXISTS", AlreadyExists),
        ("RESOURCE_EXHAUSTED", BackPressure),
        ("UNAVAILABLE", Unavailable),
        ("CANCELLED", Unavailable),
        ("DEADLINE_EXCEEDED", Unavailable),
        ("UNAUTHENTICATED", Unauthenticated),
        ("PERMISSION_DENIED", PermissionDenied),
        ("INTERNAL", RejoinderError),
    ],
)
def test_each_code_has_its_class(code: str, expected: type[RejoinderError]) -> None:
    assert expected is type(make_error(code, message="m"))


def test_an_error_carries_reason_details_violations_and_retry_after() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="priority", description="too high")
    error = make_error(
        "INVALID_ARGUMENT",
        message="m",
        details=pack(
            error_info("INVALID_FIELD"),
            error_details_pb2.BadRequest(field_violations=[violation]),
            retry_info(timedelta(seconds=3)),
        ),
    )
    assert ("INVALID_FIELD", {"priority": "too high"}, timedelta(seconds=3)) == (
        error.reason,
        error.violations,
        error.retry_after,
    )
    assert "type.googleapis.com/google.rpc.ErrorInfo" == error.details[0]["@type"]


def test_a_detail_of_unknown_type_is_kept_as_base64() -> None:
    detail = AnyMessage(type_url="type.googleapis.com/acme.Unknown", value=b"\x00\xff")
    expected = {"@type": "type.googleapis.com/acme.Unknown", "value": "AP8="}
    assert (expected,) == make_error("UNKNOWN", message="m", details=[detail]).details


def test_a_garbled_detail_does_not_hide_the_error() -> None:
    detail = AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
    assert NotFound is type(make_error("NOT_FOUND", message="m", details=[detail]))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.FAILED, OperationFailed),
        (State.CANCELLED, OperationCancelled),
        (State.TIMED_OUT, OperationTimedOut),
    ],
)
def test_an_end_without_success_raises_its_class_with_the_operation(
    state: State, expected: type[OperationError]
) -> None:
    failure = Failure(code="ABORTED", reason="BROKEN", message="it broke", details=({"@type": "t"},))
    operation = Operation(operation_id="op", state=state, error=failure)
    with pytest.raises(expected) as caught:
        unwrap(operation, None)
    error = caught.value
    assert ("ABORTED", "BROKEN", "it broke", operation) == (error.code, error.reason, error.message, error.operation)
    assert failure.details == error.details


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(WaitTimeout("op", seconds=5)))
    assert ("op", "WAIT_TIMEOUT") == (error.operation_id, error.reason)


def test_the_tree_is_as_the_docstring_draws_it() -> None:
    drawn = rejoinder_client.errors.__doc__ or ""
    classes = {name for name in rejoinder_client.__all__ if re.search(rf"^ +[├└│─ ]*{name}\b", drawn, re.MULTILINE)}
    actual = {
        name
        for name in rejoinder_client.__all__
        if isinstance(cls := getattr(rejoinder_client, name), type) and issubclass(cls, RejoinderError)
    }
    assert actual == classes
    assert {OperationFailed, OperationCancelled, OperationTimedOut} == set(OperationError.__subclasses__())
