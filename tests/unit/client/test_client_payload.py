from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from rejoinder.v1 import operation_pb2
from rejoinder_client import InvalidRequest, Payload, RejoinderError
from rejoinder_client.payload import encode, read_payload

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


def there_and_back(value: Any) -> Any:
    return read_payload(operation_pb2.Payload.FromString(encode(value).SerializeToString())).decode()


@given(JSON)
def test_json_values_come_back_equal(value: Any) -> None:
    assert value == there_and_back(value)


@given(st.binary())
def test_bytes_come_back_equal(value: bytes) -> None:
    assert value == there_and_back(value)


def test_64_bit_integers_survive() -> None:
    assert {"n": 2**63 - 1} == there_and_back({"n": 2**63 - 1})


def test_a_protobuf_message_comes_back_as_its_class() -> None:
    assert Duration(seconds=5) == there_and_back(Duration(seconds=5))


def test_a_message_of_unknown_type_comes_back_as_bytes() -> None:
    assert b"\x08\x05" == Payload(data=b"\x08\x05", message_type="acme.v1.Unknown").decode()


def test_a_message_of_unknown_type_is_decoded_as_the_class_that_is_given() -> None:
    assert Duration(seconds=5) == Payload(data=b"\x08\x05", message_type="acme.v1.Unknown").decode(Duration)


def test_json_is_decoded_as_the_class_that_is_given() -> None:
    assert Duration(seconds=5) == Payload(json='"5s"').decode(Duration)


def test_a_payload_is_sent_verbatim() -> None:
    assert operation_pb2.Payload(json='{"a" : 1e0}') == encode(Payload(json='{"a" : 1e0}'))


@pytest.mark.parametrize("value", [object(), float("nan"), float("inf"), {"a": {1, 2}}, "\ud800", {b"k": 1}])
def test_what_json_cannot_hold_is_an_invalid_request(value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode(value)
    assert ("INVALID_ARGUMENT", "INVALID_FIELD") == (caught.value.code, caught.value.reason)


@pytest.mark.parametrize("payload", [Payload(json="{"), Payload(data=b"\xff", message_type="google.protobuf.Duration")])
def test_a_payload_that_is_not_what_it_claims_is_data_loss(payload: Payload) -> None:
    with pytest.raises(RejoinderError) as caught:
        payload.decode()
    assert ("DATA_LOSS", "UNDECODABLE") == (caught.value.code, caught.value.reason)


def test_a_payload_of_bytes_is_shown_as_base64() -> None:
    assert {"data": "AP8=", "message_type": "a.B"} == Payload(data=b"\x00\xff", message_type="a.B").to_dict()
