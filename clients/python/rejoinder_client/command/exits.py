"""Exit statuses of the command, and the one line that goes with them."""

from rejoinder_client.errors import (
    BackPressure,
    InvalidRequest,
    OperationCancelled,
    OperationTimedOut,
    RejoinderError,
    Unavailable,
    WaitTimeout,
)
from rejoinder_client.views import State

SUCCEEDED = 0
FAILED = 1
USAGE = 2
STOPPED = 3
"""Cancelled or timed out."""
UNAVAILABLE = 4
WAIT_TIMED_OUT = 124
"""As of timeout(1)."""
INTERRUPTED = 130
"""As of a shell for Ctrl-C."""

_OF_STATE = {State.FAILED: FAILED, State.CANCELLED: STOPPED, State.TIMED_OUT: STOPPED}

_OF_ERROR: tuple[tuple[type[RejoinderError], int], ...] = (
    (WaitTimeout, WAIT_TIMED_OUT),
    (Unavailable, UNAVAILABLE),
    (BackPressure, UNAVAILABLE),
    (InvalidRequest, USAGE),
    (OperationCancelled, STOPPED),
    (OperationTimedOut, STOPPED),
)


def of_state(state: State) -> int:
    """Return the exit status that an operation's end stands for."""
    return _OF_STATE.get(state, SUCCEEDED)


def of_error(error: RejoinderError) -> int:
    """Return the exit status of an error."""
    return next((status for kind, status in _OF_ERROR if isinstance(error, kind)), FAILED)


def describe(error: RejoinderError, server: str) -> str:
    """Return the line that tells people about an error."""
    if isinstance(error, Unavailable) and error.reason == "UNAVAILABLE":
        # gRPC's own words for a refused connection are long, and name addresses that nobody typed.
        return f"no server answers at {server} (is it running? --server or REJOINDER_SERVER says where)"
    if isinstance(error, Unavailable) and error.reason == "DEADLINE_EXCEEDED":
        return f"the server at {server} did not answer in time"
    line = " ".join(error.message.split()).rstrip(".")
    return line if error.reason in line else f"{line} ({error.reason})"
