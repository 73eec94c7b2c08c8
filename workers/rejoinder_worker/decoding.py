"""Turns an operation's request into what a handler's type hint asks for.

A hint is compiled once, when the process starts, into a function of a JSON value and the place of that value in the
request; the place is what an error names.
"""

import dataclasses
import enum
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from rejoinder.v1.operation_pb2 import Payload
from rejoinder_worker.errors import InvalidRequest, RegistrationError

Decode = Callable[[Payload], Any]
_Read = Callable[[Any, str], Any]

_ROOT = "request"
_JSON_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}


def decoder(function: Callable[..., Any], *, type_name: str) -> Decode:
    """Compile the type hint of a handler's request.

    Raises:
        RegistrationError: The hint cannot be resolved, or nothing can be decoded into it.
    """
    hint = _request_hint(function, type_name)
    if hint is bytes:
        return _bytes
    if isinstance(hint, type) and issubclass(hint, Message):
        return _message_decoder(hint)
    try:
        read = _Hints().reader(hint)
    except TypeError as error:
        raise RegistrationError(f"the request of the type {type_name!r} has a type hint of no use: {error}") from error
    takes_data = hint in {Any, object}
    return lambda payload: payload.data if takes_data and _has_data(payload) else read(_json_value(payload), _ROOT)


def _request_hint(function: Callable[..., Any], type_name: str) -> Any:
    parameters = list(inspect.signature(function).parameters.values())
    hint = parameters[1].annotation if len(parameters) > 1 else inspect.Parameter.empty
    if hint is inspect.Parameter.empty:
        return Any
    if hint is None:
        return type(None)
    if not isinstance(hint, str):
        return _plain(hint)
    # Only this one hint is resolved: the others may name what exists for type checkers only.
    stand_in = types.SimpleNamespace(__annotations__={_ROOT: hint})
    try:
        return _plain(typing.get_type_hints(stand_in, globalns=function.__globals__)[_ROOT])
    except Exception as error:
        raise RegistrationError(
            f"the type hint {hint!r} of the request of the type {type_name!r} cannot be resolved: {error}"
        ) from error


def _plain(hint: Any) -> Any:
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    return hint


def _has_data(payload: Payload) -> bool:
    return bool(payload.WhichOneof("body") == "data")


def _bytes(payload: Payload) -> bytes:
    if not _has_data(payload):
        raise InvalidRequest("request: the handler takes bytes, sent as `data`, but the request is JSON")
    return payload.data


def _message_decoder(message_class: type[Message]) -> Decode:
    name = message_class.DESCRIPTOR.full_name

    def decode(payload: Payload) -> Message:
        message = message_class()
        if not _has_data(payload):
            try:
                return json_format.Parse(_json_text(payload), message)
            except json_format.ParseError as error:
                raise InvalidRequest(f"request: it is no {name}: {error}") from error
        if payload.message_type != name:
            sent = payload.message_type or "data without a message_type"
            raise InvalidRequest(f"request: the handler takes a {name}, but the request is {sent}")
        try:
            message.ParseFromString(payload.data)
        except DecodeError as error:
            raise InvalidRequest(f"request: the data is no {name}") from error
        return message

    return decode


def _json_text(payload: Payload) -> str:
    body = payload.WhichOneof("body")
    if body == "data":
        what = payload.message_type or payload.content_type or "of no stated type"
        raise InvalidRequest(f"request: the handler takes JSON, but the request is data ({what})")
    if body == "value":
        return json_format.MessageToJson(payload.value, indent=None)
    return payload.json if body == "json" else "null"


def _json_value(payload: Payload) -> Any:
    try:
        return json.loads(_json_text(payload), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"request: it is no valid JSON: {error}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _json_name(value: Any) -> str:
    return _JSON_NAMES.get(type(value)) or f"the number {value}"


def _expected(path: str, what: str, value: Any) -> InvalidRequest:
    return InvalidRequest(f"{path}: expected {what}, but it is {_json_name(value)}")


def _exactly(kind: type, what: str) -> _Read:
    def read(value: Any, path: str) -> Any:
        if type(value) is not kind:
            raise _expected(path, what, value)
        return value

    return read


def _anything(value: Any, path: str) -> Any:  # noqa: ARG001 - a reader's shape
    return value


def _float(value: Any, path: str) -> float:
    if type(value) not in {int, float}:
        raise _expected(path, "a number", value)
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidRequest(f"{path}: the number is too large for a float") from error


_SCALARS: dict[Any, _Read] = {
    Any: _anything,
    object: _anything,
    str: _exactly(str, "a string"),
    int: _exactly(int, "a whole number"),
    bool: _exactly(bool, "true or false"),
    float: _float,
    type(None): _exactly(type(None), "null"),
}


class _Hints:
    """Compiles hints, each dataclass once, so that a dataclass may hold itself."""

    def __init__(self) -> None:
        self._dataclasses: dict[type, _Read] = {}

    def reader(self, hint: Any) -> _Read:
        """Compile one hint.

        Raises:
            TypeError: JSON cannot be decoded into it.
        """
        hint = _plain(hint)
        origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
        if origin in _SCALARS:
            return _SCALARS[origin]
        if origin in {dict, Mapping}:
            return self._object(arguments)
        if origin in {list, Sequence}:
            return self._array(arguments)
        if origin in {typing.Union, types.UnionType}:
            return self._union(arguments)
        if origin is typing.Literal:
            return _choice({value: value for value in arguments})
        if isinstance(origin, type) and issubclass(origin, enum.Enum):
            return _choice({member.value: member for member in origin})
        if isinstance(origin, type) and dataclasses.is_dataclass(origin):
            return self._dataclass(origin)
        if typing.is_typeddict(origin):
            return self._typed_dict(origin)
        raise TypeError(f"JSON cannot be decoded into {hint!r}")

    def _object(self, arguments: tuple[Any, ...]) -> _Read:
        if arguments and arguments[0] not in {str, Any}:
            raise TypeError(f"the keys of a JSON object are str, not {arguments[0]!r}")
        is_object = _exactly(dict, "an object")
        if not arguments or arguments[1] is Any:
            return is_object
        item = self.reader(arguments[1])
        return lambda value, path: {key: item(each, f"{path}.{key}") for key, each in is_object(value, path).items()}

    def _array(self, arguments: tuple[Any, ...]) -> _Read:
        is_array = _exactly(list, "an array")
        if not arguments or arguments[0] is Any:
            return is_array
        item = self.reader(arguments[0])
        return lambda value, path: [item(each, f"{path}[{i}]") for i, each in enumerate(is_array(value, path))]

    def _union(self, arguments: tuple[Any, ...]) -> _Read:
        readers = [self.reader(argument) for argument in arguments]

        def read(value: Any, path: str) -> Any:
            errors = []
            for reader in readers:
                try:
                    return reader(value, path)
                except InvalidRequest as error:
                    errors.append(error)
            # The alternative that was followed deepest is the one that was meant.
            raise max(errors, key=lambda error: len(str(error).partition(":")[0]))

        return read

    def _typed_dict(self, hint: Any) -> _Read:
        fields = {name: self.reader(each) for name, each in typing.get_type_hints(hint).items()}
        is_object = _exactly(dict, "an object")

        def read(value: Any, path: str) -> Any:
            is_object(value, path)
            for name in hint.__required_keys__ - value.keys():
                raise InvalidRequest(f"{path}.{name}: the field is missing")
            return {key: fields.get(key, _anything)(each, f"{path}.{key}") for key, each in value.items()}

        return read

    def _dataclass(self, kind: type) -> _Read:
        if kind not in self._dataclasses:
            readers: dict[str, _Read] = {}
            # Entered before its fields are compiled, which may name the class itself.
            self._dataclasses[kind] = _dataclass_reader(kind, readers)
            try:
                hints = typing.get_type_hints(kind)
            except NameError as error:
                raise TypeError(f"the fields of {kind.__qualname__} cannot be resolved: {error}") from error
            for field in dataclasses.fields(kind):
                if field.init:
                    readers[field.name] = self.reader(hints[field.name])
        return self._dataclasses[kind]


def _choice(choices: Mapping[Any, Any]) -> _Read:
    def read(value: Any, path: str) -> Any:
        for sent, meant in choices.items():
            if type(sent) is type(value) and sent == value:
                return meant
        raise InvalidRequest(f"{path}: expected one of {', '.join(json.dumps(choice) for choice in choices)}")

    return read


def _dataclass_reader(kind: type, readers: Mapping[str, _Read]) -> _Read:
    is_object = _exactly(dict, "an object")
    required = [
        field.name
        for field in dataclasses.fields(kind)
        if field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]

    def read(value: Any, path: str) -> Any:
        is_object(value, path)
        for name in required:
            if name not in value:
                raise InvalidRequest(f"{path}.{name}: the field is missing")
        # Unknown fields are passed over, so that callers may be newer than workers.
        fields = {name: readers[name](value[name], f"{path}.{name}") for name in readers if name in value}
        try:
            return kind(**fields)
        except (TypeError, ValueError) as error:  # a check of the class's own, in __post_init__
            raise InvalidRequest(f"{path}: {error}") from error

    return read
