"""How operations and attempts fail: the errors that the server itself gives them, as serialised `google.rpc.Status`."""

from collections.abc import Mapping

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from rejoinder_server.operation import Operation

DOMAIN = "rejoinder"

CANCELLED = "CANCELLED"
QUEUE_TIMEOUT = "QUEUE_TIMEOUT"
TOTAL_TIMEOUT = "TOTAL_TIMEOUT"
ATTEMPT_TIMEOUT = "ATTEMPT_TIMEOUT"
WORKER_LOST = "WORKER_LOST"
INVALID_REPORT = "INVALID_REPORT"


def cancelled(operation: Operation) -> bytes:
    """Return the error of an operation that was cancelled."""
    why = f": {operation.cancel_reason}" if operation.cancel_reason else ""
    return _status(code_pb2.CANCELLED, CANCELLED, f"the operation was cancelled{why}")


def queue_timeout() -> bytes:
    """Return the error of an operation that no worker took in time."""
    return _status(code_pb2.DEADLINE_EXCEEDED, QUEUE_TIMEOUT, "no worker took the operation within its queue_timeout")


def total_timeout() -> bytes:
    """Return the error of an operation that did not end in time."""
    return _status(code_pb2.DEADLINE_EXCEEDED, TOTAL_TIMEOUT, "the operation did not end within its total_timeout")


def attempt_timeout(operation: Operation) -> bytes:
    """Return the error of an attempt that did not end in time."""
    text = "the attempt did not end within its attempt_timeout"
    return _status(code_pb2.DEADLINE_EXCEEDED, ATTEMPT_TIMEOUT, text, _attempt(operation))


def worker_lost(operation: Operation) -> bytes:
    """Return the error of an attempt whose worker process was not heard of for a lease."""
    return _status(code_pb2.UNAVAILABLE, WORKER_LOST, "the attempt's worker was lost", _attempt(operation))


def invalid_report(operation: Operation, why: str) -> bytes:
    """Return the error of an attempt that reported what cannot be recorded."""
    return _status(code_pb2.INTERNAL, INVALID_REPORT, f"the worker's report was refused: {why}", _attempt(operation))


def reason_of(error: bytes) -> str:
    """Return the ErrorInfo reason of a serialised status; empty without one that can be read."""
    info = ErrorInfo()
    for detail in Status.FromString(error).details:
        try:
            if detail.Unpack(info):
                return str(info.reason)
        except DecodeError:
            continue
    return ""


def _attempt(operation: Operation) -> dict[str, str]:
    return {"attempt": str(operation.attempt), "worker": operation.worker}


def _status(code: int, reason: str, message: str, metadata: Mapping[str, str] | None = None) -> bytes:
    detail = Any()
    detail.Pack(ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata or {}))
    status: bytes = Status(code=code, message=message, details=[detail]).SerializeToString()
    return status
