"""Checks a request's payload and brings it into the one form in which it is stored: JSON text or bytes."""

import json
import math
import re
from typing import Any, NoReturn

from google.protobuf.struct_pb2 import Value

from rejoinder.v1.operation_pb2 import Payload
from rejoinder_server.check_fields import Faults, shown

MAX_JSON_DEPTH = 200
MAX_CONTENT_TYPE_LENGTH = 255
JSON_TYPE = "application/json"
DATA_TYPE = "application/octet-stream"

_CONTENT_TYPE = re.compile(r"[!-~][ -~]*")
_MESSAGE_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
# From here on a double has neighbours that are not one apart, or was rounded to one itself.
_FIRST_UNSAFE_NUMBER = 2**53


class _NotJson(ValueError):
    """A text or value is not JSON; the text of the error follows the field's name."""


def payload(given: Payload, faults: Faults, *, most_bytes: int) -> Payload:
    """Check a payload and return it as it is stored; without a body it is JSON null.

    A JSON text is kept verbatim; a `value` becomes a compact text with sorted keys, so that equal values have equal
    texts.
    """
    body = given.WhichOneof("body")
    _check_types(given, faults, is_data=body == "data")
    if body == "data":
        _check_size("payload.data", len(given.data), faults, most_bytes=most_bytes)
        return Payload(data=given.data, content_type=given.content_type or DATA_TYPE, message_type=given.message_type)
    text = "null"
    if body is not None:
        try:
            text = _text(given.value) if body == "value" else given.json
            if _check_size(f"payload.{body}", len(text.encode()), faults, most_bytes=most_bytes):
                _check_json(text)
        except _NotJson as error:
            faults.add(f"payload.{body}", str(error))
    return Payload(json=text, content_type=given.content_type or JSON_TYPE)


def _check_size(field: str, size: int, faults: Faults, *, most_bytes: int) -> bool:
    if size > most_bytes:
        faults.add(field, f"has {size} bytes, the limit is {most_bytes}; keep large data elsewhere and send its place")
    return size <= most_bytes


def _check_types(given: Payload, faults: Faults, *, is_data: bool) -> None:
    for name, text, pattern, example in (
        ("content_type", given.content_type, _CONTENT_TYPE, "image/png"),
        ("message_type", given.message_type, _MESSAGE_TYPE, "acme.reports.v1.Report"),
    ):
        if len(text) > MAX_CONTENT_TYPE_LENGTH:
            faults.add(f"payload.{name}", f"has {len(text)} characters, the limit is {MAX_CONTENT_TYPE_LENGTH}")
        elif text and not pattern.fullmatch(text):
            faults.add(f"payload.{name}", f"is {shown(text)}; it takes a name like {example}")
    if given.message_type and not is_data:
        faults.add("payload.message_type", "is given without data; it names the message that data holds")


def _check_json(text: str) -> None:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _NotJson(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except _NotJson:
        raise
    except RecursionError as error:
        raise _NotJson(f"is nested too deeply, the limit is {MAX_JSON_DEPTH} levels") from error
    except ValueError as error:
        # Python bounds the digits of the integers that it reads, and workers would meet the same bound.
        raise _NotJson("has an integer of more than 4300 digits; send it as a string") from error
    if text.count("[") + text.count("{") > MAX_JSON_DEPTH and not _is_shallow(value):
        raise _NotJson(f"is nested too deeply, the limit is {MAX_JSON_DEPTH} levels")


def _is_shallow(value: Any) -> bool:
    """Whether lists and dicts lie in each other at most as deep as allowed; they are walked level by level."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return True
    return False


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJson(f"is not JSON: it has {name}, which JSON does not know; send null or a string")


def _text(value: Value) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _plain(value: Value) -> Any:
    """Return what a Value stands for; protobuf's own limit on nesting bounds the recursion."""
    match value.WhichOneof("kind"):
        case "null_value":
            return None
        case "number_value":
            return _number(value.number_value)
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return {key: _plain(child) for key, child in value.struct_value.fields.items()}
        case "list_value":
            return [_plain(child) for child in value.list_value.values]
        case _:
            raise _NotJson("holds a Value without a kind; set null_value for null")


def _number(number: float) -> int | float:
    if not math.isfinite(number):
        raise _NotJson("has a number that is infinite or none, which JSON does not know; send null or a string")
    if abs(number) >= _FIRST_UNSAFE_NUMBER:
        raise _NotJson("has a number of 2^53 or beyond, which may have been rounded on its way here; send json instead")
    return int(number) if number.is_integer() else number
