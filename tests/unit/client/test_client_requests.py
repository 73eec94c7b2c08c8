from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from rejoinder.v1 import operation_pb2, operation_service_pb2
from rejoinder_client import InvalidRequest, State, SubmitOptions
from rejoinder_client.requests import make_list, make_submit


def submit(**options: Any) -> operation_service_pb2.SubmitRequest:
    return make_submit("a.b", {"n": 1}, namespace="team", options=cast("SubmitOptions", options))


def test_every_option_of_a_submit_reaches_its_field() -> None:
    seconds = [timedelta(seconds=n) for n in range(8)]
    request = submit(
        request_id="r",
        operation_id="o",
        correlation_id="c",
        labels={"k": "v"},
        priority=-5,
        delay=seconds[1],
        queue_timeout=seconds[2],
        attempt_timeout=seconds[3],
        total_timeout=seconds[4],
        max_attempts=7,
        initial_backoff=seconds[5],
        backoff_multiplier=1.5,
        max_backoff=seconds[6],
        retention=seconds[7],
        wait_timeout=seconds[1],
        validate_only=True,
    )
    expected = operation_service_pb2.SubmitRequest(
        namespace="team",
        type="a.b",
        payload=operation_pb2.Payload(json='{"n":1}'),
        request_id="r",
        operation_id="o",
        correlation_id="c",
        labels={"k": "v"},
        priority=-5,
        delay=Duration(seconds=1),
        timeouts=operation_pb2.Timeouts(
            queue_timeout=Duration(seconds=2),
            attempt_timeout=Duration(seconds=3),
            total_timeout=Duration(seconds=4),
        ),
        retry_policy=operation_pb2.RetryPolicy(
            max_attempts=7,
            initial_backoff=Duration(seconds=5),
            backoff_multiplier=1.5,
            max_backoff=Duration(seconds=6),
        ),
        retention=Duration(seconds=7),
        wait_timeout=Duration(seconds=1),
        validate_only=True,
    )
    assert expected == request


def test_a_due_time_of_another_zone_is_the_same_instant() -> None:
    due = datetime.fromisoformat("2030-01-01T02:00:00+02:00")
    expected = Timestamp()
    expected.FromDatetime(datetime(2030, 1, 1, tzinfo=UTC))
    assert expected == submit(due_time=due).due_time


def test_a_request_id_is_made_when_none_is_given_and_differs_each_time() -> None:
    assert 3 == len({submit().request_id, submit(request_id=None).request_id, ""})


def test_what_is_left_out_stays_absent() -> None:
    request = submit(queue_timeout=None)
    assert [] == [name for name in ("timeouts", "retry_policy", "delay", "retention") if request.HasField(name)]


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("priority", {"priority": 2**40}),
        ("priority", {"priority": "high"}),
        ("delay", {"delay": 5}),
        ("due_time", {"due_time": datetime(2030, 1, 1)}),  # noqa: DTZ001 -- naive on purpose
        ("delay", {"delay": timedelta(1), "due_time": datetime.now(UTC)}),
        ("labels", {"labels": {"a": 1}}),
        ("operation_id", {"operation_id": "\ud800"}),
    ],
)
def test_a_value_that_does_not_fit_names_its_field(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        submit(**options)
    assert [field] == list(caught.value.violations)


def test_an_option_that_does_not_exist_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="no option 'colour'"):
        submit(colour="red")


def test_every_filter_of_a_listing_reaches_its_field() -> None:
    request = make_list(
        namespace="team",
        options={
            "states": [State.FAILED, "running"],
            "types": ["a"],
            "queues": ("q",),
            "correlation_id": "c",
            "labels": {"k": "v"},
            "error_reason": "POISON",
            "create_time_from": datetime(2030, 1, 1, tzinfo=UTC),
            "full": True,
            "page_size": 3,
        },
        page_token="t",
    )
    expected = operation_service_pb2.ListOperationsRequest(
        namespace="team",
        states=[operation_pb2.Operation.STATE_FAILED, operation_pb2.Operation.STATE_RUNNING],
        types=["a"],
        queues=["q"],
        correlation_id="c",
        labels={"k": "v"},
        error_reason="POISON",
        create_time_from=request.create_time_from,
        view=operation_service_pb2.ListOperationsRequest.VIEW_FULL,
        page_size=3,
        page_token="t",
    )
    assert expected == request


def test_an_unknown_state_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest, match="no state 'asleep'"):
        make_list(namespace="", options={"states": ["asleep"]}, page_token="")
