"""One grant as its worker process sees it."""

import enum
from collections.abc import Callable

from rejoinder.v1.operation_pb2 import Progress
from rejoinder.worker.v1.worker_pb2 import Event, Failure, Fence, Grant, ProgressReport, Release, Success

Ending = Success | Failure | Release
"""How an attempt ended; its fence and number are filled in when it is reported."""

FenceKey = tuple[str, str, str, int, str]

_MARGIN_SHARE = 5
_LONGEST_MARGIN_SECONDS = 5.0


def key_of(fence: Fence) -> FenceKey:
    """Make a fence usable as a key."""
    return fence.namespace, fence.operation_id, fence.uid, fence.attempt, fence.nonce


class Stop(enum.IntEnum):
    """Why a handler was told to stop; a higher one replaces a lower one."""

    CANCELLED = 1
    """The cancel was asked for; how it ends is still reported."""
    SHUTDOWN = 2
    """The process ends; anything but success is a release."""
    FENCED = 3
    """The attempt is not current any more: the handler is a zombie, and nothing about it is reported."""


class Attempt:
    """One grant, from its arrival until its end is confirmed.

    Everything belongs to the I/O loop but `stop`, which handlers' threads read, and `on_stop`, which they set.

    Args:
        grant: What was granted.
        leased_since: Boot time from which its lease surely lasted: when its claim was first sent.
    """

    __slots__ = ("_lease_seconds", "grant", "is_over", "key", "leased_since", "number", "on_stop", "stop")

    def __init__(self, grant: Grant, *, leased_since: float) -> None:
        self.grant = grant
        self.key = key_of(grant.fence)
        self.leased_since = leased_since
        # Read here, so that a grant that makes no sense fails before anybody holds it.
        self._lease_seconds = grant.lease.ToTimedelta().total_seconds()
        self.number = 0
        self.stop: Stop | None = None
        self.on_stop: Callable[[], None] | None = None
        self.is_over = False

    @property
    def start_by(self) -> float:
        """Boot time after which it must not start, because its lease may lapse and it may be granted again."""
        lease = self._lease_seconds
        return self.leased_since + lease - min(lease / _MARGIN_SHARE, _LONGEST_MARGIN_SECONDS)

    @property
    def is_fenced(self) -> bool:
        """Whether it is not current any more."""
        return self.stop is Stop.FENCED

    @property
    def is_silent(self) -> bool:
        """Whether nothing more is reported about it."""
        return self.is_over or self.is_fenced

    def tell_to_stop(self, reason: Stop) -> None:
        """Tell the handler to stop; harmless when it ended or was told before."""
        first = self.stop is None
        self.stop = max(reason, self.stop or reason)
        # Read after `stop` is written, as the handler's thread does it the other way round: one of the two sees both.
        on_stop = self.on_stop
        if first and on_stop is not None:
            on_stop()

    def progress_event(self, worker: str, progress: Progress) -> Event:
        """Make the next report about it, of its progress."""
        report = ProgressReport(fence=self.grant.fence, number=self._next_number(), progress=progress)
        return Event(worker=worker, progress=report)

    def terminal_event(self, worker: str, ending: Ending) -> Event:
        """Make the last report about it."""
        ending.fence.CopyFrom(self.grant.fence)
        ending.number = self._next_number()
        if isinstance(ending, Success):
            return Event(worker=worker, succeeded=ending)
        if isinstance(ending, Failure):
            return Event(worker=worker, failed=ending)
        return Event(worker=worker, released=ending)

    def _next_number(self) -> int:
        self.number += 1
        return self.number
