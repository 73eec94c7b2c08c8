"""How requests are decoded and answers are encoded."""

import enum
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional

import pytest
from google.protobuf import duration_pb2, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from rejoinder.v1.operation_pb2 import Payload
from rejoinder_worker.decoding import decoder
from rejoinder_worker.encoding import encode
from rejoinder_worker.errors import InvalidRequest, InvalidResult, RegistrationError, ResultTooLarge

Duration = duration_pb2.Duration


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Address:
    city: str
    zip: int | None = None


@dataclass
class Customer:
    name: str
    address: Address
    tags: list[str] = field(default_factory=list)
    colour: Colour = Colour.RED
    parent: Optional["Customer"] = None


@dataclass
class Checked:
    rows: int

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError("rows must be positive")


class Options(typing.TypedDict, total=False):
    depth: typing.Required[int]
    name: str


def decode(hint: Any, payload: Payload | str) -> Any:
    def function(context: Any, request: Any) -> None: ...

    function.__annotations__["request"] = hint
    return decoder(function, type_name="t")(Payload(json=payload) if isinstance(payload, str) else payload)


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (Any, '{"a": [1, null]}', {"a": [1, None]}),
        (object, "[1]", [1]),
        (dict, '{"a": 1}', {"a": 1}),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (dict[str, Any], '{"a": 1}', {"a": 1}),
        (list, "[1, 2]", [1, 2]),
        (list[str], '["a"]', ["a"]),
        (str, '"text"', "text"),
        (int, "9223372036854775807", 2**63 - 1),
        (float, "2", 2.0),
        (bool, "true", True),
        (None, "null", None),
        (int | None, "null", None),
        (Optional[int], "3", 3),  # noqa: UP045 - a hint that users write
        (Annotated[int, "rows"], "3", 3),
        (Literal["a", "b"], '"b"', "b"),
        (Colour, '"blue"', Colour.BLUE),
        (Options, '{"depth": 1, "other": 2}', {"depth": 1, "other": 2}),
        (Address, '{"city": "Ulm", "unknown": 1}', Address("Ulm")),
        (
            Customer,
            '{"name": "A", "address": {"city": "Ulm", "zip": 1}, "tags": ["x"], "colour": "blue",'
            ' "parent": {"name": "B", "address": {"city": "Bonn"}}}',
            Customer("A", Address("Ulm", 1), ["x"], Colour.BLUE, Customer("B", Address("Bonn"))),
        ),
        ("dict[str, int]", '{"a": 1}', {"a": 1}),
        (Duration, '"90s"', Duration(seconds=90)),
    ],
)
def test_a_request_becomes_what_the_hint_asks_for(hint: Any, text: str, value: Any) -> None:
    assert decode(hint, text) == value


@pytest.mark.parametrize(
    ("hint", "text", "message"),
    [
        (dict, "[]", "request: expected an object, but it is an array"),
        (dict, "null", "request: expected an object, but it is null"),
        (int, "1.5", "request: expected a whole number, but it is the number 1.5"),
        (int, "true", "request: expected a whole number, but it is true or false"),
        (float, '"1"', "request: expected a number, but it is a string"),
        (dict[str, int], '{"a": "x"}', "request.a: expected a whole number, but it is a string"),
        (list[list[str]], "[[], [1]]", "request[1][0]: expected a string, but it is the number 1"),
        (Customer, '{"name": "A"}', "request.address: the field is missing"),
        (Customer, '{"name": "A", "address": {"city": 3}}', "request.address.city: expected a string"),
        (
            Customer,
            '{"name": "A", "address": {"city": "U"}, "parent": {"name": 1}}',
            "request.parent.address: the field is missing",
        ),
        (
            Customer,
            '{"name": "A", "address": {"city": "U"}, "colour": "green"}',
            'request.colour: expected one of "red", "blue"',
        ),
        (Checked, '{"rows": 0}', "request: rows must be positive"),
        (Options, "{}", "request.depth: the field is missing"),
        (Any, "{", "request: it is no valid JSON"),
        (Any, "NaN", "request: it is no valid JSON: NaN is no JSON number"),
        pytest.param(Any, "[" * 100_000, "request: it is no valid JSON", id="deep"),
        pytest.param(Any, "1" * 5000, "request: it is no valid JSON", id="a huge number"),
        (bytes, '"text"', "request: the handler takes bytes, sent as `data`, but the request is JSON"),
        (Duration, '{"nope": 1}', "request: it is no google.protobuf.Duration"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_the_name_of_the_field(hint: Any, text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(hint, text)
    assert str(refused.value).startswith(message)
    assert "INVALID_REQUEST" == refused.value.reason


def test_an_absent_request_is_null() -> None:
    assert decode(None, Payload()) is None


def test_a_request_sent_as_a_value_is_json() -> None:
    assert {"a": 1} == decode(dict, Payload(value=struct_pb2.Value(struct_value={"a": 1})))  # type: ignore[arg-type]


def test_bytes_come_from_data() -> None:
    assert b"\0x" == decode(bytes, Payload(data=b"\0x"))
    assert b"\0x" == decode(Any, Payload(data=b"\0x"))


def test_a_message_comes_from_data_of_its_type() -> None:
    data = Duration(seconds=3).SerializeToString()
    assert decode(Duration, Payload(data=data, message_type="google.protobuf.Duration")) == Duration(seconds=3)


@pytest.mark.parametrize(
    ("hint", "payload", "message"),
    [
        (Duration, Payload(data=b"", message_type="a.B"), "the handler takes a google.protobuf.Duration, but"),
        (Duration, Payload(data=b""), "but the request is data without a message_type"),
        (Duration, Payload(data=b"\xff", message_type="google.protobuf.Duration"), "the data is no google"),
        (dict, Payload(data=b"{}", content_type="text/plain"), "the handler takes JSON, but the request is data"),
    ],
)
def test_data_that_does_not_fit_is_refused(hint: Any, payload: Payload, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decode(hint, payload)


@pytest.mark.parametrize("hint", [set, complex, dict[int, str], Callable[[], None], "NoSuchName", list[set[int]]])
def test_a_hint_of_no_use_is_refused_before_anything_runs(hint: Any) -> None:
    with pytest.raises(RegistrationError, match="type 't'"):
        decode(hint, "null")


def test_a_handler_without_a_hint_takes_any_json() -> None:
    assert [1] == decoder(lambda context, request: None, type_name="t")(Payload(json="[1]"))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, "null"),
        ({"a": [1, 2.5, True, "ü"]}, '{"a":[1,2.5,true,"ü"]}'),
        (2**63 - 1, "9223372036854775807"),
        ((1, 2), "[1,2]"),
        ({200: 5}, '{"200":5}'),
        (Address("Ulm", 1), '{"city":"Ulm","zip":1}'),
        ({"customers": [Address("Ulm")]}, '{"customers":[{"city":"Ulm","zip":null}]}'),
    ],
)
def test_an_answer_becomes_compact_json(answer: Any, text: str) -> None:
    assert encode(answer, max_bytes=1000) == Payload(json=text, content_type="application/json")


def test_bytes_and_messages_become_data() -> None:
    assert encode(b"\0", max_bytes=10) == Payload(data=b"\0", content_type="application/octet-stream")
    assert b"a" == encode(bytearray(b"a"), max_bytes=10).data
    message = encode(Duration(seconds=3), max_bytes=10)
    assert ("google.protobuf.Duration", "application/x-protobuf") == (message.message_type, message.content_type)
    assert Duration.FromString(message.data) == Duration(seconds=3)


def circle() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["self"] = [made]
    return made


def tower() -> list[Any]:
    made: list[Any] = []
    for _ in range(100_000):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (float("nan"), "result: nan is no JSON number"),
        ({"a": [1, float("inf")]}, "result.a[1]: inf is no JSON number"),
        ({"a": {"b": {1}}}, "result.a.b: a value of type set cannot be encoded as JSON"),
        ({(1, 2): 3}, "result: a key of type tuple cannot be encoded as JSON"),
        ([Address("Ulm", object())], "result[0].zip: a value of type object"),  # type: ignore[arg-type]
        ({"a": "\ud800"}, "result.a: the text is no valid Unicode"),
        ({"\ud800": 1}, "result: a key: the text is no valid Unicode"),
        (Address, "result: a value of type type"),
        (circle(), "result.self[0]: it contains itself"),
        pytest.param(10**5000, "result: it cannot be encoded as JSON", id="a huge number"),
    ],
)
def test_an_answer_that_cannot_be_encoded_is_refused_with_its_place(answer: Any, message: str) -> None:
    with pytest.raises(InvalidResult) as refused:
        encode(answer, max_bytes=1000)
    assert str(refused.value).startswith(message)
    assert "INVALID_RESULT" == refused.value.reason


def test_an_answer_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(InvalidResult, match="nested too deeply"):
        encode(tower(), max_bytes=1_000_000)


@pytest.mark.parametrize(("answer", "size"), [("ü" * 10, 22), (b"x" * 21, 21)])
def test_the_limit_counts_bytes(answer: Any, size: int) -> None:
    assert encode(answer, max_bytes=size)
    with pytest.raises(ResultTooLarge, match=f"has {size} bytes, and the limit is {size - 1}"):
        encode(answer, max_bytes=size - 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_is_encoded_is_decoded_again(value: Any) -> None:
    try:
        payload = encode(value, max_bytes=1_000_000)
    except InvalidResult:
        assert any("\ud800" <= character <= "\udfff" for character in repr(value))
        return
    assert decode(Any, payload) == value
