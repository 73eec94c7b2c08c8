import json
import math
from collections.abc import Callable

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import Parse
from google.protobuf.struct_pb2 import ListValue, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from rejoinder.v1.operation_pb2 import Payload, RetryPolicy, Timeouts
from rejoinder.v1.operation_service_pb2 import SubmitRequest
from rejoinder_server import operation
from rejoinder_server.check import Limits, submission
from rejoinder_server.errors import InvalidField
from rejoinder_server.limits import DAY
from rejoinder_server.operation import SECOND

NOW = 1_700_000_000 * SECOND
LIMITS = Limits()


def request(**fields: object) -> SubmitRequest:
    return SubmitRequest(**({"type": "reports.generate"} | fields))  # type: ignore[arg-type]


def stored(payload: Payload) -> Payload:
    return Payload.FromString(submission(request(payload=payload), LIMITS, NOW).request)


def at(instant: int) -> Timestamp:
    return Timestamp(seconds=instant // SECOND, nanos=instant % SECOND * 1000)


def numbers(*given: float) -> Value:
    return Value(list_value=ListValue(values=[Value(number_value=number) for number in given]))


MEGABYTE = 1024 * 1024
BAD: list[tuple[str, dict[str, object], str]] = [
    ("namespace", {"namespace": "Upper"}, "Upper"),
    ("namespace", {"namespace": "-a"}, "-a"),
    ("namespace", {"namespace": "a-"}, "a-"),
    ("namespace", {"namespace": "a\n"}, r"a\n"),
    ("namespace", {"namespace": "a" * 64}, "63"),
    ("type", {"type": ""}, "empty"),
    ("type", {"type": "Reports"}, "lower-case"),
    ("type", {"type": "a..b"}, "lower-case"),
    ("type", {"type": "a.1b"}, "lower-case"),
    ("type", {"type": "a/b"}, "lower-case"),
    ("type", {"type": "a\n"}, "lower-case"),
    ("type", {"type": "a" * 129}, "128"),
    ("operation_id", {"operation_id": "a/b"}, "letters"),
    ("operation_id", {"operation_id": "-a"}, "begins"),
    ("operation_id", {"operation_id": "a\x00"}, "letters"),
    ("operation_id", {"operation_id": "a" * 129}, "128"),
    ("request_id", {"request_id": "a/b"}, "slashes"),
    ("request_id", {"request_id": "a\x07"}, "printable"),
    ("request_id", {"request_id": "a" * 129}, "128"),
    ("correlation_id", {"correlation_id": "a/b"}, "slashes"),
    ("correlation_id", {"correlation_id": "\x00"}, "printable"),
    ("correlation_id", {"correlation_id": "a" * 129}, "128"),
    ("labels", {"labels": {f"k{n}": "" for n in range(17)}}, "16"),
    ("labels", {"labels": {"": "v"}}, "empty key"),
    ("labels['k']", {"labels": {"k": "v" * 129}}, "128"),
    ("labels['k']", {"labels": {"k": "a\nb"}}, "control"),
    ("labels['k\\n']", {"labels": {"k\n": "v"}}, "control"),
    (f"labels['{'k' * 39}…]", {"labels": {"k" * 64: "v"}}, "63"),
    ("priority", {"priority": 101}, "100"),
    ("priority", {"priority": -101}, "-100"),
    ("payload.json", {"payload": Payload(json="{")}, "line 1, column 2"),
    ("payload.json", {"payload": Payload(json="")}, "not JSON"),
    ("payload.json", {"payload": Payload(json="\ufeff1")}, "not JSON"),
    ("payload.json", {"payload": Payload(json="1 2")}, "not JSON"),
    ("payload.json", {"payload": Payload(json="[NaN]")}, "NaN"),
    ("payload.json", {"payload": Payload(json="-Infinity")}, "Infinity"),
    ("payload.json", {"payload": Payload(json='"\x01"')}, "not JSON"),
    ("payload.json", {"payload": Payload(json="[" * 201 + "]" * 201)}, "200"),
    ("payload.json", {"payload": Payload(json="[" * 100_000)}, "200"),
    ("payload.json", {"payload": Payload(json='{"a":' * 201 + "1" + "}" * 201)}, "200"),
    ("payload.json", {"payload": Payload(json="1" * 4301)}, "4300"),
    ("payload.json", {"payload": Payload(json='"' + "a" * (MEGABYTE - 1) + '"')}, "limit is 1048576"),
    ("payload.json", {"payload": Payload(json='"' + "é" * (MEGABYTE // 2) + '"')}, "1048578 bytes"),
    ("payload.data", {"payload": Payload(data=b"a" * (MEGABYTE + 1))}, "1048577 bytes"),
    ("payload.value", {"payload": Payload(value=Value(string_value="a" * (MEGABYTE - 1)))}, "1048577 bytes"),
    ("payload.value", {"payload": Payload(value=numbers(2**53))}, "send json"),
    ("payload.value", {"payload": Payload(value=numbers(-(2**53)))}, "send json"),
    ("payload.value", {"payload": Payload(value=numbers(1e300))}, "send json"),
    ("payload.value", {"payload": Payload(value=numbers(math.nan))}, "does not know"),
    ("payload.value", {"payload": Payload(value=numbers(math.inf))}, "does not know"),
    ("payload.value", {"payload": Payload(value=Value())}, "null_value"),
    ("payload.content_type", {"payload": Payload(data=b"", content_type="a\n")}, "image/png"),
    ("payload.content_type", {"payload": Payload(data=b"", content_type="a" * 256)}, "255"),
    ("payload.message_type", {"payload": Payload(data=b"", message_type="a..b")}, "acme"),
    ("payload.message_type", {"payload": Payload(json="1", message_type="a.B")}, "data"),
    ("delay", {"delay": Duration(seconds=-1)}, "negative"),
    ("delay", {"delay": Duration(nanos=-1)}, "negative"),
    ("delay", {"delay": Duration(seconds=365 * 86400, nanos=1000)}, "31536000 s"),
    ("delay", {"delay": Duration(seconds=2**62)}, "not a duration"),
    ("delay", {"delay": Duration(seconds=1, nanos=-1)}, "not a duration"),
    ("delay", {"delay": Duration(nanos=1_000_000_000)}, "not a duration"),
    ("due_time", {"due_time": at(NOW - 2 * DAY)}, "past"),
    ("due_time", {"due_time": at(NOW - DAY - 1)}, "past"),
    ("due_time", {"due_time": at(NOW + 365 * DAY + 1)}, "31536000 s"),
    ("due_time", {"due_time": Timestamp(seconds=2**62)}, "not a time"),
    ("due_time", {"due_time": Timestamp(seconds=-(2**62))}, "not a time"),
    ("due_time", {"due_time": Timestamp(nanos=-1)}, "not a time"),
    ("retry_policy.max_attempts", {"retry_policy": RetryPolicy(max_attempts=-1)}, "1000"),
    ("retry_policy.max_attempts", {"retry_policy": RetryPolicy(max_attempts=1001)}, "1000"),
    ("retry_policy.backoff_multiplier", {"retry_policy": RetryPolicy(backoff_multiplier=0.5)}, "1 to"),
    ("retry_policy.backoff_multiplier", {"retry_policy": RetryPolicy(backoff_multiplier=1001)}, "1 to"),
    ("retry_policy.backoff_multiplier", {"retry_policy": RetryPolicy(backoff_multiplier=-2)}, "1 to"),
    ("retry_policy.backoff_multiplier", {"retry_policy": RetryPolicy(backoff_multiplier=math.nan)}, "1 to"),
    ("retry_policy.backoff_multiplier", {"retry_policy": RetryPolicy(backoff_multiplier=math.inf)}, "1 to"),
    ("retry_policy.initial_backoff", {"retry_policy": RetryPolicy(initial_backoff=Duration())}, "is 0 s"),
    ("retry_policy.max_backoff", {"retry_policy": RetryPolicy(max_backoff=Duration(seconds=-1))}, "negative"),
    ("retention", {"retention": Duration()}, "is 0 s"),
    ("retention", {"retention": Duration(seconds=-1)}, "negative"),
    ("retention", {"retention": Duration(seconds=366 * 86400)}, "limit"),
    ("wait_timeout", {"wait_timeout": Duration(seconds=-1)}, "negative"),
    ("wait_timeout", {"wait_timeout": Duration(nanos=-1_000_000_000)}, "not a duration"),
]


BAD += [
    (f"timeouts.{name}", {"timeouts": Timeouts(**{name: value})}, text)
    for name in ("queue_timeout", "attempt_timeout", "total_timeout")
    for value, text in (
        (Duration(seconds=-5), "negative"),
        (Duration(), "is 0 s"),
        (Duration(nanos=1), "is 0 s"),
        (Duration(seconds=366 * 86400), "limit is 31536000 s"),
        (Duration(seconds=-(2**63)), "not a duration"),
    )
]


@pytest.mark.parametrize(("field", "fields", "text"), BAD, ids=[f"{n}-{row[0]}" for n, row in enumerate(BAD)])
def test_a_bad_field_is_refused_by_name(field: str, fields: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        submission(request(**fields), LIMITS, NOW)
    [(named, description)] = caught.value.violations
    assert ("INVALID_FIELD", field) == (caught.value.reason, named)
    assert text in description
    assert caught.value.message == f"{named} {description}"


def test_all_bad_fields_are_told_together() -> None:
    bad = request(type="", priority=500, operation_id="/", request_id="/", timeouts=Timeouts(queue_timeout=Duration()))
    with pytest.raises(InvalidField) as caught:
        submission(bad, LIMITS, NOW)
    named = [field for field, _ in caught.value.violations]
    assert ["type", "request_id", "operation_id", "priority", "timeouts.queue_timeout"] == named
    assert caught.value.message.endswith("; and 2 more")


def test_the_barest_request_leaves_everything_to_the_defaults() -> None:
    draft = submission(request(), LIMITS, NOW)
    assert (
        "default",
        "reports.generate",
        None,
        None,
        None,
        {},
        0,
        None,
        operation.Timeouts(),
        operation.RetryPolicy(),
        None,
        0,
        False,
    ) == (
        draft.namespace,
        draft.type,
        draft.request_id,
        draft.operation_id,
        draft.correlation_id,
        draft.labels,
        draft.priority,
        draft.due_time,
        draft.timeouts,
        draft.retry_policy,
        draft.retention,
        draft.wait_timeout,
        draft.validate_only,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"namespace": "a"},
        {"namespace": "a" * 63},
        {"type": "a" * 128},
        {"type": "a.b_c.d9"},
        {"operation_id": "A.b_c~d-9"},
        {"operation_id": "a" * 128},
        {"request_id": "é" * 128},
        {"correlation_id": "order 17: (ü)"},
        {"labels": {f"{n:063}": "v" * 128 for n in range(16)}},
        {"priority": 100},
        {"priority": -100},
        {"payload": Payload(json='"' + "a" * (MEGABYTE - 2) + '"')},
        {"payload": Payload(json="[" * 200 + "]" * 200)},
        {"payload": Payload(json='"' + "[" * 500 + '"')},
        {"payload": Payload(json="[" + "{}," * 500 + "1]")},
        {"payload": Payload(json=r'"\u0000\ud800"')},
        {"payload": Payload(data=b"a" * MEGABYTE)},
        {"timeouts": Timeouts(queue_timeout=Duration(nanos=1000), total_timeout=Duration(seconds=365 * 86400))},
        {"retry_policy": RetryPolicy(max_attempts=1000, backoff_multiplier=1)},
        {"delay": Duration(seconds=365 * 86400)},
        {"due_time": at(NOW - DAY)},
        {"due_time": at(NOW + 365 * DAY)},
        {"wait_timeout": Duration(seconds=315_576_000_000)},
    ],
)
def test_what_lies_at_a_limit_is_accepted(fields: dict[str, object]) -> None:
    submission(request(**fields), LIMITS, NOW)


def test_unknown_fields_are_ignored() -> None:
    newer = SubmitRequest.FromString(request().SerializeToString() + b"\xf8\x3f\x01")
    assert submission(request(), LIMITS, NOW) == submission(newer, LIMITS, NOW)


def test_a_json_text_is_kept_verbatim() -> None:
    text = ' {"b": 9007199254740993, "a": 1.0, "a": "\\u0000"}\n'
    assert Payload(json=text, content_type="application/json") == stored(Payload(json=text))


def test_an_absent_payload_is_json_null() -> None:
    assert Payload(json="null", content_type="application/json") == stored(Payload())


def test_data_without_a_content_type_is_octets() -> None:
    assert Payload(data=b"\xff\x00", content_type="application/octet-stream") == stored(Payload(data=b"\xff\x00"))


def test_a_given_content_type_stays() -> None:
    given = Payload(data=b"", content_type="application/protobuf", message_type="acme.v1.Report")
    assert given == stored(given)


def test_a_value_becomes_compact_sorted_json() -> None:
    value = Parse('{"b": [1, 2.5, -0.0, true, null, "é"], "a": {}}', Value())
    assert '{"a":{},"b":[1,2.5,0,true,null,"é"]}' == stored(Payload(value=value)).json


def test_two_to_the_53_plus_one_is_refused_as_a_value() -> None:
    value = Parse("9007199254740993", Value())
    with pytest.raises(InvalidField) as caught:
        stored(Payload(value=value))
    assert "payload.value" == caught.value.violations[0][0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_a_value_means_the_same_as_its_json(value: object) -> None:
    message = Parse(json.dumps(value), Value())
    assert value == json.loads(stored(Payload(value=message)).json)


@given(st.floats(-(2.0**53), 2.0**53, exclude_min=True, exclude_max=True))
def test_a_number_of_a_value_is_exact(number: float) -> None:
    assert number == json.loads(stored(Payload(value=Value(number_value=number))).json)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"delay": Duration()}, None),
        ({"delay": Duration(seconds=5)}, NOW + 5 * SECOND),
        ({"due_time": at(NOW - 1)}, None),
        ({"due_time": at(NOW)}, None),
        ({"due_time": at(NOW + 1)}, NOW + 1),
    ],
)
def test_delay_and_due_time_come_to_an_instant(fields: dict[str, object], expected: int | None) -> None:
    assert expected == submission(request(**fields), LIMITS, NOW).due_time


def test_a_long_wait_is_cut_to_the_limit() -> None:
    draft = submission(request(wait_timeout=Duration(seconds=3600)), LIMITS, NOW)
    assert LIMITS.max_wait_timeout == draft.wait_timeout


def test_timeouts_and_policy_are_taken_field_by_field() -> None:
    draft = submission(
        request(
            timeouts=Timeouts(attempt_timeout=Duration(seconds=2, nanos=5000)),
            retry_policy=RetryPolicy(max_attempts=4, backoff_multiplier=1.5),
            retention=Duration(seconds=9),
        ),
        LIMITS,
        NOW,
    )
    assert operation.Timeouts(attempt=2 * SECOND + 5) == draft.timeouts
    assert operation.RetryPolicy(max_attempts=4, backoff_multiplier=1.5) == draft.retry_policy
    assert 9 * SECOND == draft.retention


FULL: dict[str, object] = {
    "payload": Payload(json='{"a": 1}'),
    "request_id": "once",
    "operation_id": "mine",
    "correlation_id": "theirs",
    "labels": {"a": "1", "b": "2"},
    "priority": 3,
    "delay": Duration(seconds=5),
    "timeouts": Timeouts(queue_timeout=Duration(seconds=1)),
    "retry_policy": RetryPolicy(max_attempts=2),
    "retention": Duration(seconds=60),
}


def fingerprint(**changes: object) -> str:
    return submission(request(**(FULL | changes)), LIMITS, NOW).fingerprint


def test_a_fingerprint_names_its_version() -> None:
    version, digest = fingerprint().split(":")
    assert ("1", 40) == (version, len(digest))


SAME: list[Callable[[], str]] = [
    lambda: submission(request(**FULL), LIMITS, NOW + 60 * SECOND).fingerprint,
    lambda: fingerprint(labels={"b": "2", "a": "1"}),
    lambda: fingerprint(wait_timeout=Duration(seconds=5)),
    lambda: fingerprint(validate_only=True),
    lambda: fingerprint(namespace="other"),
    lambda: fingerprint(payload=Payload(json='{"a": 1}', content_type="application/json")),
]


@pytest.mark.parametrize("same", SAME)
def test_what_does_not_change_the_content_keeps_the_fingerprint(same: Callable[[], str]) -> None:
    assert fingerprint() == same()


@pytest.mark.parametrize(
    "change",
    [
        {"type": "reports.other"},
        {"payload": Payload(json='{"a":1}')},
        {"payload": Payload(data=b'{"a": 1}')},
        {"payload": Payload(data=b'{"a": 1}', content_type="application/json")},
        {"payload": Payload(json='{"a": 1}', content_type="text/json")},
        {"operation_id": ""},
        {"correlation_id": ""},
        {"labels": {"a": "1"}},
        {"priority": 4},
        {"delay": Duration(seconds=6)},
        {"delay": None, "due_time": at(NOW + 5 * SECOND)},
        {"timeouts": Timeouts(attempt_timeout=Duration(seconds=1))},
        {"retry_policy": RetryPolicy(max_attempts=3)},
        {"retention": None},
    ],
)
def test_other_content_has_another_fingerprint(change: dict[str, object]) -> None:
    assert fingerprint() != fingerprint(**change)


def test_a_value_has_the_fingerprint_of_its_json() -> None:
    value = Parse('{"b": 1, "a": 2}', Value())
    assert fingerprint(payload=Payload(json='{"a":2,"b":1}')) == fingerprint(payload=Payload(value=value))
