"""What a watch asks its face to do, and what a caller may ask of a watch."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypedDict

from rejoinder.v1 import operation_service_pb2
from rejoinder_client.errors import RejoinderError
from rejoinder_client.views import Update


@dataclass(frozen=True, slots=True)
class Interruption:
    """A watch lost its stream and will resume.

    Attributes:
        cause: Why.
        retry_in: When the next try begins.
    """

    cause: RejoinderError
    retry_in: timedelta


class WatchOptions(TypedDict, total=False):
    """How to watch; every option may be left out."""

    cursor: str
    """Resume after this place instead of beginning with a snapshot."""
    from_start: bool
    """Begin with the first transition."""
    timeout: float | timedelta | None
    """Raise WaitTimeout after this long (a number means seconds); None waits for ever."""
    reconnect_for: float | timedelta | None
    """Give up with the last error when nothing was heard for this long; None resumes for ever."""
    heartbeats: bool
    """Show heartbeats too: they tell why an operation waits, and their cursors are bookmarks."""
    heartbeat_interval: timedelta | None
    """Time between the server's heartbeats, 1 s to 5 min; 15 s when left out."""
    on_interruption: Callable[[Interruption], None] | None
    """Called when the stream is lost, before the wait for the next try."""


@dataclass(frozen=True, slots=True)
class Open:
    """Close the stream if there is one, and open one with this request."""

    request: operation_service_pb2.WatchStatusRequest


@dataclass(frozen=True, slots=True)
class Read:
    """Wait at most this long for a message."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Close the stream and wait this long."""

    seconds: float
    interruption: Interruption

    def report(self, options: WatchOptions) -> None:
        """Tell the caller, if it asked for it."""
        tell = options.get("on_interruption")
        if tell is not None:
            tell(self.interruption)


@dataclass(frozen=True, slots=True)
class Show:
    """Hand this update to the caller."""

    update: Update


@dataclass(frozen=True, slots=True)
class End:
    """The watch is over: the terminal update was shown, or lies at the cursor."""


Action = Open | Read | Pause | Show | End


def to_seconds(span: float | timedelta | None) -> float | None:
    """Return a span in seconds; numbers are seconds already."""
    return span.total_seconds() if isinstance(span, timedelta) else span
