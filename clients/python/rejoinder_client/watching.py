"""How a watch goes on over as many streams as it takes: a state machine without I/O.

A face asks `next()` what to do, does it, and tells what came of it through `received`, `ended` or `silent`:

    Open ──▶ Read ──received──▶ Show ──▶ Read … Show ──▶ End      (the terminal update)
      ▲        └──ended, silent, Drain, a hole──▶ Pause ─┐
      └──────────────────────────────────────────────────┘        (from the last cursor)
"""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from rejoinder.v1.operation_service_pb2 import WatchStatusRequest, WatchStatusResponse
from rejoinder_client.actions import Action, End, Interruption, Open, Pause, Read, Show, WatchOptions, to_seconds
from rejoinder_client.convert import read_state
from rejoinder_client.errors import RejoinderError, Unavailable, WaitTimeout
from rejoinder_client.history import History, HoleError
from rejoinder_client.views import Update

RESUMABLE = frozenset({"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
"""Codes after which the same watch may go on; every other code is an answer."""

_DEFAULT_HEARTBEAT = timedelta(seconds=15)
_MISSED_HEARTBEATS = 2.5
_FIRST_BACKOFF_SECONDS = 0.25
_LONGEST_BACKOFF_SECONDS = 10.0
_LAST_DOUBLING = 6  # bounds the power, long after the longest backoff is reached


class Watching:
    """One watch of one operation."""

    def __init__(
        self,
        operation_id: str,
        *,
        namespace: str,
        options: WatchOptions,
        clock: Callable[[], float],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._operation_id = operation_id
        self._namespace = namespace
        self._options = options
        self._clock = clock
        self._uniform = uniform
        self._timeout = to_seconds(options.get("timeout"))
        self._budget = to_seconds(options.get("reconnect_for"))
        self._deadline = None if self._timeout is None else clock() + self._timeout
        self._interval = (options.get("heartbeat_interval") or _DEFAULT_HEARTBEAT).total_seconds()
        self._history = History(cursor=options.get("cursor") or "", from_start=bool(options.get("from_start")))
        self._heard_at = clock()

        self._is_open = False
        self._is_over = False
        self._messages = 0  # of the open stream
        self._failures = 0  # streams in a row that brought nothing
        self._ends = 0  # streams in a row that ended with OK and brought nothing
        self._is_checking = False
        self._hole_cursor: str | None = None
        self._show: Update | None = None
        self._pause: Pause | None = None

    def next(self) -> Action:
        """Return what the face must do now.

        Raises:
            WaitTimeout: The caller's timeout has passed.
        """
        if self._show is not None:
            update, self._show = self._show, None
            return Show(update)
        if self._is_over:
            return End()
        remaining = self._remaining()
        if self._pause is not None:
            pause, self._pause = self._pause, None
            return replace(pause, seconds=min(pause.seconds, remaining))
        if not self._is_open:
            self._is_open, self._messages = True, 0
            return Open(self._request())
        return Read(min(self._interval * _MISSED_HEARTBEATS, remaining))

    def received(self, message: WatchStatusResponse) -> None:
        """Take a message of the open stream.

        Raises:
            RejoinderError: The history has a hole that a resume did not fill, or the caller's patience has ended.
        """
        self._messages += 1
        if message.HasField("drain"):
            self._drain(message)
            return
        self._heard_at = self._clock()
        if self._is_checking:
            self._check(message)
        elif message.HasField("heartbeat"):
            self._beat(message)
        else:
            self._take(message)

    def ended(self, error: RejoinderError | None) -> None:
        """Take the end of the stream.

        Args:
            error: Why it broke, or None when it ended with OK.

        Raises:
            RejoinderError: It is an answer and no cut, or nothing was heard for longer than the caller allows.
        """
        if error is not None and error.code not in RESUMABLE:
            raise error
        self._interrupt(error or _unavailable("The stream ended before the operation did.", "STREAM_CUT"))
        if error is None:
            # A cut, unless the terminal state lies at the caller's own cursor: a look at the operation tells.
            self._ends += 1
            self._is_checking = bool(self._history.cursor)

    def silent(self) -> None:
        """Take that nothing came within the time that `Read` gave.

        Raises:
            WaitTimeout: The caller's timeout has passed.
            RejoinderError: Nothing was heard for longer than the caller allows.
        """
        self._remaining()
        self._interrupt(_unavailable("The server has fallen silent.", "SILENT"))

    def _request(self) -> WatchStatusRequest:
        cursor = self._history.cursor
        request = WatchStatusRequest(
            namespace=self._namespace,
            operation_id=self._operation_id,
            cursor="" if self._is_checking else cursor,
            from_start=bool(self._options.get("from_start")) and not cursor,
        )
        interval = self._options.get("heartbeat_interval")
        if interval is not None:
            request.heartbeat_interval.FromTimedelta(interval)
        return request

    def _remaining(self) -> float:
        if self._deadline is None or self._timeout is None:
            return float("inf")
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise WaitTimeout(self._operation_id, seconds=self._timeout)
        return remaining

    def _interrupt(self, cause: RejoinderError) -> None:
        self._is_open = self._is_checking = False
        ceiling = min(_FIRST_BACKOFF_SECONDS * 2 ** min(self._failures, _LAST_DOUBLING), _LONGEST_BACKOFF_SECONDS)
        self._failures += 1
        at_least = cause.retry_after.total_seconds() if cause.retry_after else 0.0
        seconds = at_least + self._uniform(0.0, ceiling)
        if self._budget is not None and self._clock() + seconds - self._heard_at > self._budget:
            raise cause
        self._pause = Pause(seconds, Interruption(cause, timedelta(seconds=seconds)))

    def _take(self, message: WatchStatusResponse) -> None:
        try:
            self._show = self._history.take(message, opens_stream=self._messages == 1)
        except HoleError as error:
            self._resume_before_hole(error)
            return
        if self._show is not None:
            self._failures = self._ends = 0
            self._hole_cursor = None
            self._is_over = self._history.is_over

    def _resume_before_hole(self, hole: HoleError) -> None:
        if self._hole_cursor == self._history.cursor:
            raise RejoinderError(
                "The server's history of this operation has a hole.", code="DATA_LOSS", reason="SEQUENCE_HOLE"
            ) from hole
        self._hole_cursor = self._history.cursor
        self._interrupt(_unavailable("A transition is missing from the stream.", "SEQUENCE_HOLE"))

    def _beat(self, message: WatchStatusResponse) -> None:
        self._interval = message.heartbeat.interval.ToTimedelta().total_seconds() or self._interval
        if self._messages > 1:
            self._failures = 0  # the first only answers the resume, and a server in trouble may cut right after it
        update = self._history.beat(message)
        if self._options.get("heartbeats"):
            self._show = update

    def _drain(self, message: WatchStatusResponse) -> None:
        self._history.bookmark(message)
        retry_after = message.drain.retry_after.ToTimedelta()
        self._interrupt(_unavailable("The server is shutting down.", "DRAINING", retry_after=retry_after))

    def _check(self, message: WatchStatusResponse) -> None:
        """Compare a fresh snapshot with the place where a stream ended with OK."""
        self._is_open = self._is_checking = False
        if not read_state(message.snapshot.state).is_terminal:
            return
        if self._history.revision is not None:
            self._is_over = message.revision <= self._history.revision
        else:
            # No stream from the cursor said anything: a second OK is believed even if the cursors' texts differ.
            self._is_over = message.cursor == self._history.cursor or self._ends > 1


def _unavailable(message: str, reason: str, *, retry_after: timedelta | None = None) -> Unavailable:
    return Unavailable(message, code="UNAVAILABLE", reason=reason, retry_after=retry_after)
