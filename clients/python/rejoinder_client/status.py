"""The one place that turns gRPC's errors and google.rpc statuses into ours."""

import base64
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Protocol, cast

import grpc
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from rejoinder_client.errors import (
    AlreadyExists,
    BackPressure,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RejoinderError,
    Unauthenticated,
    Unavailable,
)

_DETAILS_KEY = "grpc-status-details-bin"

_CLASSES: dict[str, type[RejoinderError]] = {
    "ABORTED": Unavailable,
    "ALREADY_EXISTS": AlreadyExists,
    # Sent by a server that sheds streams, never the answer to our own cancel.
    "CANCELLED": Unavailable,
    "DEADLINE_EXCEEDED": Unavailable,
    "FAILED_PRECONDITION": InvalidRequest,
    "INVALID_ARGUMENT": InvalidRequest,
    "NOT_FOUND": NotFound,
    "OUT_OF_RANGE": InvalidRequest,
    "PERMISSION_DENIED": PermissionDenied,
    "RESOURCE_EXHAUSTED": BackPressure,
    "UNAUTHENTICATED": Unauthenticated,
    "UNAVAILABLE": Unavailable,
    "UNIMPLEMENTED": InvalidRequest,
}


class RpcFailure(Protocol):
    """What the errors of grpc and grpc.aio have in common."""

    def code(self) -> grpc.StatusCode | None:
        """Return the status code."""

    def details(self) -> str | None:
        """Return the status message."""

    def trailing_metadata(self) -> Any:
        """Return the trailing metadata as pairs."""


def read_rpc_error(failure: object) -> RejoinderError:
    """Return the error of the tree that a failed call stands for.

    Args:
        failure: A `grpc.RpcError` that is also a call, or a `grpc.aio.AioRpcError`.
    """
    rpc = cast("RpcFailure", failure)
    code = rpc.code() or grpc.StatusCode.UNKNOWN
    details = _parse_details(rpc.trailing_metadata() or ())
    return make_error(code.name, message=rpc.details() or code.name, details=details)


def make_error(code: str, *, message: str, details: Sequence[AnyMessage] = ()) -> RejoinderError:
    """Return the error of the tree for a canonical code's name."""
    return _CLASSES.get(code, RejoinderError)(
        message,
        code=code,
        reason=read_reason(details),
        details=plain_details(details),
        retry_after=_read_retry_after(details),
    )


def code_name(number: int) -> str:
    """Return the canonical code's name; `UNKNOWN` for a number that this version does not know."""
    try:
        return str(code_pb2.Code.Name(cast("Any", number)))
    except ValueError:
        return "UNKNOWN"


def read_reason(details: Iterable[AnyMessage]) -> str:
    """Return the reason of the ErrorInfo among the details, or nothing."""
    for detail in details:
        info = error_details_pb2.ErrorInfo()
        if _unpack(detail, info):
            return str(info.reason)
    return ""


def plain_details(details: Iterable[AnyMessage]) -> tuple[dict[str, Any], ...]:
    """Return details as JSON-safe mappings; one of unknown type keeps its bytes as base64."""
    return tuple(_plain(detail) for detail in details)


def _plain(detail: AnyMessage) -> dict[str, Any]:
    try:
        return dict(json_format.MessageToDict(detail))
    except (TypeError, json_format.Error, DecodeError):
        return {"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()}


def _parse_details(metadata: Iterable[tuple[str, str | bytes]]) -> Sequence[AnyMessage]:
    for key, value in metadata:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return ()  # details are an extra: a garbled one must not hide the error itself
    return ()


def _read_retry_after(details: Iterable[AnyMessage]) -> timedelta | None:
    for detail in details:
        info = error_details_pb2.RetryInfo()
        if _unpack(detail, info):
            return cast("timedelta", info.retry_delay.ToTimedelta())
    return None


def _unpack(detail: AnyMessage, message: Any) -> bool:
    try:
        return detail.Unpack(message)
    except DecodeError:
        return False
