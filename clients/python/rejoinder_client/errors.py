"""What can go wrong, as one tree.

    RejoinderError
    ├── OperationError          the operation itself did not succeed; carries it
    │   ├── OperationFailed
    │   ├── OperationCancelled
    │   └── OperationTimedOut
    ├── WaitTimeout             waiting ended here; the operation goes on there
    ├── Unavailable             no server could answer; trying again is right
    ├── NotFound                no such operation, or purged
    ├── InvalidRequest          the request must change before it is sent again
    ├── AlreadyExists           the request id or the operation id is taken
    ├── BackPressure            the server takes no more for now
    ├── Unauthenticated
    └── PermissionDenied

A RejoinderError that is none of these is a fault of the service (INTERNAL, DATA_LOSS and the like) or of the way that
the client is used (CLIENT_CLOSED).
"""

import copyreg
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rejoinder_client.views import Operation

Details = Sequence[Mapping[str, Any]]
"""Google.rpc details in their JSON form; `@type` names each."""

_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


class RejoinderError(Exception):
    """Root of everything that the SDK raises on purpose.

    Attributes:
        message: One sentence for people.
        code: Canonical code by name, for example `NOT_FOUND`.
        reason: What exactly, in UPPER_SNAKE; the code's name when the server gave none.
        details: Google.rpc details as JSON-safe mappings.
        retry_after: How long the server asks to wait before the next try, if it does.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "UNKNOWN",
        reason: str = "",
        details: Details = (),
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason or code
        self.details = tuple(details)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from `args` alone, which lacks the keyword arguments; process pools need both.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    @property
    def violations(self) -> Mapping[str, str]:
        """Faulty fields of an InvalidRequest, each with what is wrong."""
        return {
            violation.get("field", ""): violation.get("description", "")
            for detail in self.details
            if detail.get("@type") == _BAD_REQUEST
            for violation in detail.get("fieldViolations", ())
        }

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-safe view."""
        return {
            "error": type(self).__name__,
            "code": self.code,
            "reason": self.reason,
            "message": self.message,
            "details": [dict(detail) for detail in self.details],
        }


class OperationError(RejoinderError):
    """The operation ended without success.

    Attributes:
        operation: The operation as it ended.
    """

    def __init__(self, operation: "Operation") -> None:
        error = operation.error
        super().__init__(
            error.message if error and error.message else f"Operation {operation.operation_id} is {operation.state}.",
            code=error.code if error else "UNKNOWN",
            reason=error.reason if error else operation.state.value,
            details=error.details if error else (),
        )
        self.operation = operation


class OperationFailed(OperationError):
    """The work failed for good."""


class OperationCancelled(OperationError):
    """The operation was cancelled before it succeeded."""


class OperationTimedOut(OperationError):
    """The operation's queue or total timeout passed."""


class WaitTimeout(RejoinderError):
    """The wait ended before the operation did; the operation goes on.

    Attributes:
        operation_id: Operation that was waited for; `attach` it to wait again.
    """

    def __init__(self, operation_id: str, *, seconds: float) -> None:
        super().__init__(
            f"Operation {operation_id} has not ended within {seconds:g} s; it goes on.",
            code="DEADLINE_EXCEEDED",
            reason="WAIT_TIMEOUT",
        )
        self.operation_id = operation_id


class Unavailable(RejoinderError):
    """No server answered, or not in time."""


class NotFound(RejoinderError):
    """There is no such operation (UNKNOWN), or it is gone (PURGED)."""


class InvalidRequest(RejoinderError):
    """The request is not acceptable as it is; `violations` names the fields."""


class AlreadyExists(RejoinderError):
    """The request id was used for other content, or the operation id is taken."""


class BackPressure(RejoinderError):
    """The server takes no more for now; `retry_after` says when to try again."""


class Unauthenticated(RejoinderError):
    """The server does not know who is calling."""


class PermissionDenied(RejoinderError):
    """The caller may not do this."""
