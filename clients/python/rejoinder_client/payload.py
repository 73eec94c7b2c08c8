"""What a request or a result holds, and how Python values become one and come back."""

import json
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError, Message

from rejoinder.v1 import operation_pb2
from rejoinder_client.errors import InvalidRequest, RejoinderError
from rejoinder_client.plain import View, plain

MessageT = TypeVar("MessageT", bound=Message)

_DEFAULT_CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Payload(View):
    """A request or a result as it is stored: a JSON text or bytes.

    Attributes:
        json: JSON text, verbatim; None when it holds bytes.
        data: Bytes; None when it holds JSON.
        content_type: Media type; empty for the default of its kind.
        message_type: Full name of the protobuf message in `data`, if it is one.
    """

    json: str | None = None
    data: bytes | None = None
    content_type: str = ""
    message_type: str = ""

    @overload
    def decode(self) -> Any: ...

    @overload
    def decode(self, result_type: type[MessageT]) -> MessageT: ...

    @overload
    def decode(self, result_type: type[Message] | None) -> Any: ...

    def decode(self, result_type: type[Message] | None = None) -> Any:
        """Return the value: JSON as dict, list, str, number, bool or None; a protobuf message; or bytes.

        Args:
            result_type: Generated class to decode `data` (or its JSON form) as. Without it, a message whose generated
                module is imported is decoded, and bytes of any other type are returned as they are.

        Raises:
            RejoinderError: The content is not what it claims to be (DATA_LOSS, UNDECODABLE).
        """
        try:
            return self._decode(result_type)
        except (ValueError, DecodeError, json_format.Error) as error:
            raise RejoinderError(
                f"The payload cannot be decoded: {error}", code="DATA_LOSS", reason="UNDECODABLE"
            ) from error

    def _decode(self, result_type: type[Message] | None) -> Any:
        if self.json is not None:
            return json_format.Parse(self.json, result_type()) if result_type else json.loads(self.json)
        found = result_type or (_find_class(self.message_type) if self.message_type else None)
        content = self.data or b""
        return found.FromString(content) if found else content

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON value under `json`, or base64 under `data`, with the types that are set."""
        body = {"json": json.loads(self.json)} if self.json is not None else {"data": plain(self.data or b"")}
        types = {"content_type": self.content_type, "message_type": self.message_type}
        return body | {name: value for name, value in types.items() if value}


def encode(value: Any) -> operation_pb2.Payload:
    """Return the payload that carries a value.

    Args:
        value: Bytes, a protobuf message, a Payload (sent as it is), or anything that JSON can hold.

    Raises:
        InvalidRequest: JSON cannot hold the value.
    """
    match value:
        case Payload():
            return _from_view(value)
        case Message():
            return operation_pb2.Payload(
                data=value.SerializeToString(deterministic=True), message_type=value.DESCRIPTOR.full_name
            )
        case bytes() | bytearray() | memoryview():
            return operation_pb2.Payload(data=bytes(value), content_type=_DEFAULT_CONTENT_TYPE)
        case _:
            return operation_pb2.Payload(json=_dump(value))


def read_payload(message: operation_pb2.Payload) -> Payload:
    """Return the view of a payload as the server answers it."""
    is_data = message.WhichOneof("body") == "data"
    return Payload(
        json=None if is_data else message.json,
        data=message.data if is_data else None,
        content_type=message.content_type,
        message_type=message.message_type,
    )


def _from_view(payload: Payload) -> operation_pb2.Payload:
    message = operation_pb2.Payload(content_type=payload.content_type, message_type=payload.message_type)
    if payload.json is not None:
        message.json = payload.json
    else:
        message.data = payload.data or b""
    return message


def _dump(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode("utf-8")  # a lone surrogate passes through json but not through UTF-8
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"The payload cannot be written as JSON: {error} (INVALID_FIELD)",
            code="INVALID_ARGUMENT",
            reason="INVALID_FIELD",
        ) from error
    return text


def _find_class(message_type: str) -> type[Message] | None:
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(message_type)
    except KeyError:
        return None
    return message_factory.GetMessageClass(descriptor)
