"""The part of an operation's history that a watch has seen.

An update passes only when its revision is above the last one, and a transition only when its sequence follows the last
one known; the cursor moves only with what passed. So nothing is shown twice or out of order, whatever a server sends.
"""

from dataclasses import replace
from datetime import UTC

from rejoinder.v1.operation_service_pb2 import WatchStatusResponse
from rejoinder_client.convert import read_operation, read_progress, read_transition, read_waiting_reason
from rejoinder_client.views import Operation, Transition, Update, UpdateKind


class HoleError(Exception):
    """A transition is missing before the one that came."""


class History:
    """The place that a watch has reached, and the operation as known there.

    Attributes:
        cursor: Resume from here; empty before the first message.
        revision: Last revision seen; None until it is known.
        operation: The operation at that revision; None after a resume from a caller's cursor.
        is_over: Whether the terminal state was seen.
    """

    def __init__(self, *, cursor: str, from_start: bool) -> None:
        self.cursor = cursor
        self.revision: int | None = 0 if from_start else None
        self.operation: Operation | None = None
        self.is_over = False
        # Last sequence seen; unknown after a snapshot, which has none.
        self._sequence: int | None = 0 if from_start else None

    def take(self, message: WatchStatusResponse, *, opens_stream: bool) -> Update | None:
        """Return the update that a snapshot, transition or progress makes, or None when it is nothing new.

        Args:
            message: What came.
            opens_stream: It is the first of its stream. Only there a gap answers our cursor; later it is a repetition.

        Raises:
            HoleError: A transition is missing before this one.
        """
        starts_anew = message.gap and opens_stream
        if not starts_anew and self.revision is not None and message.revision <= self.revision:
            return None
        match message.WhichOneof("update"):
            case "snapshot":
                return self._take_snapshot(message)
            case "transition":
                return self._take_transition(message)
            case "progress":
                return self._take_progress(message)
            case _:
                return None

    def bookmark(self, message: WatchStatusResponse) -> bool:
        """Take a heartbeat's or drain's cursor, unless it lies elsewhere; say whether it was taken.

        A bookmark of another revision would skip what has not come yet, or go back.
        """
        if self.revision is not None and message.revision != self.revision:
            return False
        self.revision = message.revision or self.revision
        self.cursor = message.cursor or self.cursor
        return True

    def beat(self, message: WatchStatusResponse) -> Update | None:
        """Return the update that a heartbeat makes, or None when it lies elsewhere in the history."""
        if not self.bookmark(message):
            return None
        if self.operation is not None:
            self.operation = replace(
                self.operation,
                waiting_reason=read_waiting_reason(message.heartbeat.waiting_reason),
                waiting_detail=message.heartbeat.waiting_detail,
            )
        return self._update(UpdateKind.HEARTBEAT)

    def _take_snapshot(self, message: WatchStatusResponse) -> Update:
        self._sequence = None
        self._advance(message, read_operation(message.snapshot))
        return replace(self._update(UpdateKind.SNAPSHOT), gap=message.gap)

    def _take_transition(self, message: WatchStatusResponse) -> Update | None:
        transition = read_transition(message.transition)
        if self._sequence is not None:
            if transition.sequence <= self._sequence:
                return None
            if transition.sequence > self._sequence + 1:
                raise HoleError
        self._sequence = transition.sequence
        operation = read_operation(message.transition.operation)
        self._advance(message, _as_of(operation, transition, revision=message.revision))
        return replace(self._update(UpdateKind.TRANSITION), transition=transition)

    def _take_progress(self, message: WatchStatusResponse) -> Update:
        update = message.progress
        progress = read_progress(update.progress)
        operation = self.operation and replace(
            self.operation,
            progress=progress,
            attempt=update.attempt,
            revision=message.revision,
            update_time=update.time.ToDatetime(tzinfo=UTC) if update.HasField("time") else None,
        )
        self._advance(message, operation)
        return replace(self._update(UpdateKind.PROGRESS), progress=progress)

    def _advance(self, message: WatchStatusResponse, operation: Operation | None) -> None:
        self.cursor = message.cursor
        self.revision = message.revision
        self.operation = operation
        self.is_over = operation is not None and operation.state.is_terminal

    def _update(self, kind: UpdateKind) -> Update:
        return Update(kind=kind, cursor=self.cursor, revision=self.revision or 0, operation=self.operation)


def _as_of(operation: Operation, transition: Transition, *, revision: int) -> Operation:
    """Return the operation as this transition left it.

    The server sends it as of sending, which may be transitions ahead. Shown so, an operation would look ended, without
    its result, long before its last update.
    """
    if operation.state is transition.state and operation.attempt == transition.attempt:
        return replace(operation, revision=revision)
    return replace(
        operation,
        state=transition.state,
        attempt=transition.attempt,
        revision=revision,
        update_time=transition.time,
        waiting_reason=None,
        waiting_detail="",
        result=None,
        error=None,
        end_time=None,
        purge_time=None,
    )
