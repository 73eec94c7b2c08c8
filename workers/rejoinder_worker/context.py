"""What a handler knows about the operation that it works on, and how it speaks about it."""

import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

import structlog
from structlog.typing import FilteringBoundLogger

from rejoinder.v1.operation_pb2 import Progress
from rejoinder_worker.errors import Cancelled

_UNIT_LENGTH = 32
_MESSAGE_LENGTH = 512
_INT64 = 2**63


class Context:
    """What a handler knows about its operation and attempt.

    Handlers get one from the worker. Tests of handlers may make one with nothing but an operation id; progress goes
    nowhere then.

    Args:
        operation_id: Name of the operation.
        attempt: Number of the attempt, from 1.
        correlation_id: The caller's id for matching replies; the operation id when absent.
        labels: The caller's labels.
        headers: Trace context and other context that the servers hand over.
        deadline: When the attempt times out, by the local clock; None when it does not.
        on_progress: Takes progress; called in the thread of the handler, must not wait.
        told_to_stop: Answers whether the handler was told to stop.
    """

    def __init__(
        self,
        operation_id: str,
        *,
        attempt: int = 1,
        correlation_id: str = "",
        labels: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: datetime | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        told_to_stop: Callable[[], bool] | None = None,
    ) -> None:
        self._operation_id = operation_id
        self._attempt = attempt
        self._correlation_id = correlation_id or operation_id
        self._labels = MappingProxyType(dict(labels or {}))
        self._headers = MappingProxyType(dict(headers or {}))
        self._deadline = deadline
        self._on_progress = on_progress
        self._told_to_stop = told_to_stop
        self._logger: FilteringBoundLogger | None = None

    @property
    def operation_id(self) -> str:
        """Name of the operation."""
        return self._operation_id

    @property
    def attempt(self) -> int:
        """Number of the attempt, from 1."""
        return self._attempt

    @property
    def correlation_id(self) -> str:
        """The caller's id for matching replies; the operation id when the caller gave none."""
        return self._correlation_id

    @property
    def labels(self) -> Mapping[str, str]:
        """The caller's labels."""
        return self._labels

    @property
    def headers(self) -> Mapping[str, str]:
        """Trace context and other context that the servers hand over."""
        return self._headers

    @property
    def deadline(self) -> datetime | None:
        """When the attempt times out, by the local clock; None when it does not.

        It is the time that was left when the attempt arrived, counted from then, so that a local clock that is wrong
        does no harm as long as it is compared with that same clock.
        """
        return self._deadline

    @property
    def cancelled(self) -> bool:
        """Whether to stop: a cancel was asked for, the attempt is not current any more, or the worker shuts down."""
        return self._told_to_stop is not None and self._told_to_stop()

    def raise_if_cancelled(self) -> None:
        """Stop here when the handler should stop.

        Raises:
            Cancelled: The handler was told to stop.
        """
        if self.cancelled:
            raise Cancelled

    @property
    def logger(self) -> FilteringBoundLogger:
        """A structlog logger that adds the operation id, the attempt and the trace id."""
        if self._logger is None:
            fields: dict[str, object] = {"operation_id": self._operation_id, "attempt": self._attempt}
            if trace_id := trace_id_of(self._headers):
                fields["trace_id"] = trace_id
            self._logger = structlog.get_logger("rejoinder.handler").bind(**fields)
        return self._logger

    def progress(self, completed: int, *, total: int = 0, unit: str = "", message: str = "") -> None:
        """Tell how far the work has come; returns at once.

        It is sent at most every 100 ms, and of several only the latest; the last one before the end is always sent.

        Args:
            completed: Units done; not negative. It may exceed the total: estimates are.
            total: Units in all; 0 when unknown.
            unit: What is counted, at most 32 characters.
            message: What is being done, for people, at most 512 characters.

        Raises:
            TypeError: A value has the wrong type.
            ValueError: A value is out of its limits; the message names it.
        """
        progress = Progress(
            completed=_count("completed", completed),
            total=_count("total", total),
            unit=_line("unit", unit, _UNIT_LENGTH),
            message=_line("message", message, _MESSAGE_LENGTH),
        )
        if self._on_progress is not None:
            self._on_progress(progress)


def trace_id_of(headers: Mapping[str, str]) -> str:
    """Take the trace id out of a W3C `traceparent` header; empty when there is none."""
    parts = headers.get("traceparent", "").split("-")
    return parts[1] if len(parts) >= 4 else ""


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"progress: {name} must be an int, not {value!r}")
    if not 0 <= value < _INT64:
        raise ValueError(f"progress: {name} must be from 0 to 2^63-1, not {value}")
    return value


def _line(name: str, value: str, limit: int) -> str:
    if not isinstance(value, str):
        raise TypeError(f"progress: {name} must be a str, not {value!r}")
    if len(value) > limit:
        raise ValueError(f"progress: {name} must have at most {limit} characters, not {len(value)}")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        raise ValueError(f"progress: {name} must not contain control characters: {value!r}")
    return value
