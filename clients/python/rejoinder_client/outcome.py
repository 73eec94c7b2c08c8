"""What a terminal operation means to the caller: its result, or an error."""

from typing import Any

from google.protobuf.message import Message

from rejoinder_client.errors import (
    OperationCancelled,
    OperationError,
    OperationFailed,
    OperationTimedOut,
    RejoinderError,
)
from rejoinder_client.views import Operation, State, Submission

_ERRORS: dict[State, type[OperationError]] = {
    State.FAILED: OperationFailed,
    State.CANCELLED: OperationCancelled,
    State.TIMED_OUT: OperationTimedOut,
}


def unwrap(operation: Operation | None, result_type: type[Message] | None) -> Any:
    """Return a terminal operation's decoded result.

    Args:
        operation: The operation as the watch's last update showed it.
        result_type: Generated class of the result, if it is a protobuf message.

    Raises:
        OperationError: It ended without success.
    """
    if operation is None or not operation.state.is_terminal:
        raise RejoinderError("The watch ended before the operation did.", code="INTERNAL", reason="WATCH_ENDED")
    if operation.state in _ERRORS:
        raise _ERRORS[operation.state](operation)
    return operation.result.decode(result_type) if operation.result else None


def ended_at_submit(submission: Submission | None) -> Operation | None:
    """Return the operation if the answer to its submit shows its end already."""
    ended = submission is not None and submission.operation.state.is_terminal
    return submission.operation if submission and ended else None
