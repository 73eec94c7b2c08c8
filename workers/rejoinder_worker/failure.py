"""Turns what a handler raised into the failure that is reported."""

import asyncio
import concurrent.futures
from datetime import timedelta

from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from rejoinder.worker.v1.worker_pb2 import Failure
from rejoinder_worker.errors import (
    Cancelled,
    InvalidRequest,
    PermanentError,
    ResultTooLarge,
    RetryLater,
    upper_snake,
)

_DOMAIN = "rejoinder"
# google.rpc.Code
_CANCELLED = 1
_UNKNOWN = 2
_INVALID_ARGUMENT = 3
_RESOURCE_EXHAUSTED = 8
_MESSAGE_LENGTH = 4096
_CANCELLATIONS = (Cancelled, asyncio.CancelledError, concurrent.futures.CancelledError)
_KEPT_CONTROLS = "\t\n"


def failure_of(error: BaseException, *, attempt: int, worker: str) -> Failure:
    """Describe what ended an attempt, without its fence and number; whatever the error does, there is a description.

    Args:
        error: What the handler, or the way to it, raised.
        attempt: Number of the attempt.
        worker: Worker process that ran it.
    """
    is_permanent = isinstance(error, PermanentError)
    try:
        return _described(error, attempt, worker, is_permanent=is_permanent)
    except BaseException:  # noqa: BLE001 - what an error tells is the user's code; an attempt without an end hangs
        name = type(error).__name__
        return Failure(error=_status(_UNKNOWN, name, upper_snake(name), attempt, worker), permanent=is_permanent)


def _described(error: BaseException, attempt: int, worker: str, *, is_permanent: bool) -> Failure:
    if isinstance(error, _CANCELLATIONS):
        status = _status(_CANCELLED, _text(error) or str(Cancelled()), "CANCELLED", attempt, worker)
        return Failure(error=status)
    message = _text(error) or type(error).__name__
    status = _status(_code(error), message, _reason(error), attempt, worker)
    failure = Failure(error=status, permanent=is_permanent)
    delay = _delay(error)
    if delay is not None:
        failure.retry_delay.FromTimedelta(delay)
    return failure


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - __str__ is the user's code; what it hides is named by the reason
        return ""


def _code(error: BaseException) -> int:
    if isinstance(error, InvalidRequest):
        return _INVALID_ARGUMENT
    if isinstance(error, ResultTooLarge):
        return _RESOURCE_EXHAUSTED
    return _UNKNOWN


def _reason(error: BaseException) -> str:
    # Subclasses need not have called our `__init__`, nor have kept what it sets.
    reason = getattr(error, "reason", None) if isinstance(error, PermanentError) else None
    return upper_snake(reason if isinstance(reason, str) else type(error).__name__)


def _delay(error: BaseException) -> timedelta | None:
    delay = getattr(error, "delay", None) if isinstance(error, RetryLater) else None
    return delay if isinstance(delay, timedelta) and delay >= timedelta() else None


def _status(code: int, message: str, reason: str, attempt: int, worker: str) -> status_pb2.Status:
    info = error_details_pb2.ErrorInfo(
        reason=reason, domain=_DOMAIN, metadata={"attempt": str(attempt), "worker": worker}
    )
    detail = Any()
    detail.Pack(info)
    return status_pb2.Status(code=code, message=printable(message), details=[detail])


def printable(message: str) -> str:
    """Cut a message to what may be stored, and replace what stores and terminals do not bear."""
    return "".join(_bearable(character) for character in message[:_MESSAGE_LENGTH])


def _bearable(character: str) -> str:
    is_control = (character < " " and character not in _KEPT_CONTROLS) or "\x7f" <= character <= "\x9f"
    return "\ufffd" if is_control or "\ud800" <= character <= "\udfff" else character
