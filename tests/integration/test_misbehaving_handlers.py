"""Handlers that do what they must not: the operation says what was wrong, and its worker goes on."""

from collections.abc import Iterator

import pytest

from rejoinder.v1 import operation_service_pb2 as pb
from rejoinder.v1.operation_pb2 import Operation, Payload
from tests.support.deployment import Deployment
from tests.support.raw_calls import RawCaller, raw_caller, reason_of


@pytest.fixture
def caller(deployment: Deployment) -> Iterator[RawCaller]:
    with raw_caller(deployment.first) as caller:
        yield caller


@pytest.mark.parametrize(
    ("type", "json", "reason", "message", "attempts"),
    [
        ("test.fail", "null", "LOOKUP_ERROR", "it is not there", 2),
        ("test.fail_for_good", "null", "PERMANENT_ERROR", "never like this", 1),
        (
            "test.unencodable",
            "null",
            "INVALID_RESULT",
            "result.when.deep: a value of type object cannot be encoded as JSON",
            1,
        ),
        (
            "test.large",
            '{"bytes": 1048577}',
            "RESULT_TOO_LARGE",
            "the result has 1048577 bytes, and the limit is 1048576",
            1,
        ),
        (
            "test.nul_progress",
            "null",
            "VALUE_ERROR",
            "progress: message must not contain control characters: 'a\\x00b'",
            1,
        ),
        ("test.typed", '{"rows": 3}', "INVALID_REQUEST", "request.customer: the field is missing", 1),
        (
            "test.typed",
            '{"customer": "Ada", "rows": "many"}',
            "INVALID_REQUEST",
            "request.rows: expected a whole number, but it is a string",
            1,
        ),
        ("test.typed", "[]", "INVALID_REQUEST", "request: expected an object, but it is an array", 1),
        ("test.ugly_error", '"broken"', "BROKEN_MESSAGE_ERROR", "BrokenMessageError", 1),
        ("test.ugly_error", "null", "VALUE_ERROR", "a\ufffd\ufffd[2J\ufffd" + "x" * 4089, 1),
    ],
)
def test_what_a_handler_did_wrong_is_the_operations_error(
    caller: RawCaller, type: str, json: str, reason: str, message: str, attempts: int
) -> None:
    finished = caller.finished(caller.submit(type, json))
    assert Operation.STATE_FAILED == finished.state
    assert (reason, message) == (reason_of(finished.error), finished.error.message)
    assert attempts == len(finished.attempts)


def test_data_for_a_handler_that_takes_json_is_the_callers_mistake(caller: RawCaller) -> None:
    request = pb.SubmitRequest(type="test.typed", payload=Payload(data=b"\xff", content_type="image/png"))
    finished = caller.finished(caller.stub.Submit(request).operation)
    assert "INVALID_REQUEST" == reason_of(finished.error)
    assert "request: the handler takes JSON, but the request is data (image/png)" == finished.error.message


def test_a_handler_that_asks_its_process_to_exit_fails_alone(caller: RawCaller) -> None:
    finished = caller.finished(caller.submit("test.exit"))
    assert (Operation.STATE_FAILED, 1) == (finished.state, len(finished.attempts))


def test_after_all_of_them_the_worker_answers(caller: RawCaller) -> None:
    for type in ("test.fail_for_good", "test.unencodable", "test.nul_progress", "test.exit"):
        caller.finished(caller.submit(type))
    assert '{"rows":10}' == caller.finished(caller.submit("test.echo", '{"rows":10}')).result.json
