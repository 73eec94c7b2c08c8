"""What the service answers instead of a response, as one tree. Only `interceptor` knows which gRPC code each becomes.

ServiceError
├── InvalidField            fields of the request must change before it is sent again
├── Missing
│   ├── UnknownOperation    no operation of this name
│   └── PurgedOperation     there was one; its tombstone tells when it was purged
├── Taken
│   ├── RequestIdReused     the request id stands for other content
│   ├── OperationIdTaken    the operation id names another operation
│   └── KeyPurged           the operation of this request id or operation id is gone, its tombstone remains
├── Unmet
│   ├── UnknownType         no worker has announced the type
│   └── Unfinished          the operation must be terminal first
└── Unavailable
    ├── StoreDown           the store does not answer
    ├── Draining            this server is stopping
    ├── SlowReader          the caller of a stream does not read
    └── Interrupted         the call was cut on this side, or its history moved while it was read
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import TypeAlias

from rejoinder_server.instants import rfc3339
from rejoinder_server.operation import Instant

Violation: TypeAlias = tuple[str, str]
"""A field's path and what is wrong with it."""

INVALID_FIELD = "INVALID_FIELD"

_RETRY_AFTER = timedelta(seconds=1)
_MOST_VIOLATIONS = 10
_MOST_VIOLATIONS_IN_WORDS = 3


class ServiceError(Exception):
    """A call that is answered with an error.

    Attributes:
        message: What is wrong, with the field and the limit, and what to do about it.
        reason: The same for programs, in UPPER_SNAKE.
        metadata: What else programs may want to know.
        violations: Fields that are wrong.
        retry_after: How long to wait before the next try; None when trying again cannot help by itself.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = list(violations)
        self.retry_after = retry_after


class InvalidField(ServiceError):
    """A field of the request is wrong.

    Args:
        field: Its path.
        description: What is wrong with it, and what would be right; follows the path in the message.
        reason: INVALID_FIELD, or one that says more.
        others: Further violations of the same request, told together with this one.
    """

    def __init__(
        self, field: str, description: str, reason: str = INVALID_FIELD, *, others: Sequence[Violation] = ()
    ) -> None:
        violations = [(field, description), *others]
        told = [f"{path} {wrong}".strip() for path, wrong in violations[:_MOST_VIOLATIONS_IN_WORDS]]
        if len(violations) > len(told):
            told.append(f"and {len(violations) - len(told)} more")
        super().__init__("; ".join(told), reason=reason, violations=violations[:_MOST_VIOLATIONS])


class Missing(ServiceError):
    """There is no such operation."""


class UnknownOperation(Missing):
    """There is no operation of this name."""

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"there is no operation {operation_id} in this namespace; check both names, or submit it first",
            reason="UNKNOWN",
            metadata={"operation_id": operation_id},
        )


class PurgedOperation(Missing):
    """The operation was purged."""

    def __init__(self, operation_id: str, purged_time: Instant) -> None:
        time = rfc3339(purged_time)
        super().__init__(
            f"operation {operation_id} was purged at {time}; submit with a longer retention to keep one longer",
            reason="PURGED",
            metadata={"operation_id": operation_id, "purged_time": time},
        )


class Taken(ServiceError):
    """A name that the request brings is in use."""


class RequestIdReused(Taken):
    """The request id stands for other content.

    Args:
        operation_id: The operation that has the request id.
    """

    def __init__(self, request_id: str, operation_id: str) -> None:
        super().__init__(
            f"request_id {request_id} was used with other content by operation {operation_id}; "
            "send the same content again, or take a new request_id",
            reason="REQUEST_ID_REUSED",
            metadata={"request_id": request_id, "operation_id": operation_id},
        )


class OperationIdTaken(Taken):
    """The operation id names another operation."""

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"operation_id {operation_id} is taken in this namespace; choose another, or leave it out",
            reason="OPERATION_ID_TAKEN",
            metadata={"operation_id": operation_id},
        )


class KeyPurged(Taken):
    """The operation of this request id or operation id is gone, and its tombstone keeps the name.

    Args:
        field: `request_id` or `operation_id`.
        operation_id: The operation that was purged.
    """

    def __init__(self, field: str, operation_id: str, purged_time: Instant) -> None:
        time = rfc3339(purged_time)
        super().__init__(
            f"this {field} is that of operation {operation_id}, which was purged at {time}; choose another {field}",
            reason="PURGED",
            metadata={"field": field, "operation_id": operation_id, "purged_time": time},
        )


class Unmet(ServiceError):
    """The request is right, but not in the present state of things."""


class UnknownType(Unmet):
    """No worker has announced the type.

    Args:
        known: The types that workers have announced.
    """

    def __init__(self, type: str, known: Collection[str]) -> None:
        self.suggestions = get_close_matches(type, sorted(known), n=3, cutoff=0.6)
        hint = (
            f"did you mean {' or '.join(self.suggestions)}?" if self.suggestions else "ListTypes tells those there are"
        )
        super().__init__(
            f"no worker has announced type {type}; {hint}",
            reason="UNKNOWN_TYPE",
            metadata={"type": type, "suggestions": ",".join(self.suggestions)},
        )


class Unfinished(Unmet):
    """The operation must be terminal first."""

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"operation {operation_id} is not finished; cancel it and wait for its end first",
            reason="UNFINISHED",
            metadata={"operation_id": operation_id},
        )


class Unavailable(ServiceError):
    """This server cannot answer now; trying again is right."""


class StoreDown(Unavailable):
    """The store does not answer."""

    def __init__(self, retry_after: timedelta = _RETRY_AFTER) -> None:
        super().__init__(
            "the server's store does not answer; try again with the same request_id",
            reason="STORE_UNAVAILABLE",
            retry_after=retry_after,
        )


class Draining(Unavailable):
    """This server is stopping."""

    def __init__(self, retry_after: timedelta = _RETRY_AFTER) -> None:
        super().__init__(
            "this server is stopping; try again, another one may answer",
            reason="DRAINING",
            retry_after=retry_after,
        )


class SlowReader(Unavailable):
    """The caller of a stream does not read.

    Args:
        limit: How long one message waited for it.
    """

    def __init__(self, limit: timedelta, retry_after: timedelta = _RETRY_AFTER) -> None:
        super().__init__(
            f"the stream was not read for {limit.total_seconds():g} s; resume with the last cursor and read faster",
            reason="SLOW_READER",
            retry_after=retry_after,
        )


class Interrupted(Unavailable):
    """What the call waited for was given up inside this server."""

    def __init__(self, retry_after: timedelta = _RETRY_AFTER) -> None:
        super().__init__(
            "the call was interrupted inside the server; try again with the same request_id or cursor",
            reason="INTERRUPTED",
            retry_after=retry_after,
        )
