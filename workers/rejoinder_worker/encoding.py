"""Turns a handler's answer into a payload."""

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import EncodeError, Message

from rejoinder.v1.operation_pb2 import Payload
from rejoinder_worker.errors import InvalidResult, ResultTooLarge

_ROOT = "result"
_DEEPEST = 100


def encode(result: Any, *, max_bytes: int) -> Payload:
    """Encode an answer: bytes and protobuf messages as data, everything else as JSON.

    Args:
        result: What the handler returned.
        max_bytes: Longest body.

    Raises:
        InvalidResult: Something in it cannot be encoded; the message names its place.
        ResultTooLarge: The body is too long.
    """
    payload, size = _payload(result)
    if size > max_bytes:
        raise ResultTooLarge(f"the result has {size} bytes, and the limit is {max_bytes}")
    return payload


def _payload(result: Any) -> tuple[Payload, int]:
    if isinstance(result, bytes | bytearray | memoryview):
        data = bytes(result)
        return Payload(data=data, content_type="application/octet-stream"), len(data)
    if isinstance(result, Message):
        try:
            data = result.SerializeToString()
        except EncodeError as error:
            raise InvalidResult(f"{_ROOT}: the message cannot be encoded: {error}") from error
        name = result.DESCRIPTOR.full_name
        return Payload(data=data, message_type=name, content_type="application/x-protobuf"), len(data)
    text = _json_text(result)
    return Payload(json=text, content_type="application/json"), len(text.encode())


def _json_text(result: Any) -> str:
    try:
        text = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_shallow)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        # Only now, because looking for the place costs much more than encoding.
        problem = next(_problems(result, _ROOT, ()), f"{_ROOT}: it cannot be encoded as JSON: {error}")
        raise InvalidResult(problem) from error
    return text


def _shallow(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError


def _problems(value: Any, path: str, above: tuple[int, ...]) -> Iterator[str]:
    if id(value) in above:
        yield f"{path}: it contains itself"
    elif len(above) > _DEEPEST:
        yield f"{path[:200]}…: it is nested too deeply"
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int | float | None):
                yield f"{path}: a key of type {type(key).__qualname__} cannot be encoded as JSON"
            else:
                yield from _text_problems(key, f"{path}: a key")
                yield from _problems(item, f"{path}.{key}", (*above, id(value)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _problems(item, f"{path}[{index}]", (*above, id(value)))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _problems(_shallow(value), path, (*above, id(value)))
    else:
        yield from _scalar_problems(value, path)


def _scalar_problems(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{path}: {value} is no JSON number"
    elif isinstance(value, str):
        yield from _text_problems(value, path)
    elif not isinstance(value, int | float | None):
        yield f"{path}: a value of type {type(value).__qualname__} cannot be encoded as JSON"


def _text_problems(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        yield f"{path}: the text is no valid Unicode (a lone surrogate)"
