"""Streams one operation's changes: subscribe, read, send what is committed in order, wait, and again.

Level-triggered: a wake-up only says that it is worth reading. What is sent comes from the store alone, so a lost
wake-up costs at most one heartbeat interval, and a slow reader costs one flag, not a queue.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random

from rejoinder.v1.operation_pb2 import Drain, Heartbeat, ProgressUpdate
from rejoinder.v1.operation_service_pb2 import WatchStatusResponse
from rejoinder_server import convert
from rejoinder_server.cursor import Cursor, cursor_of, encode
from rejoinder_server.errors import Draining, Interrupted, SlowReader
from rejoinder_server.hub import Hub, wait
from rejoinder_server.operation import SECOND, Key, Operation, Span, Transition
from rejoinder_server.reader import Reader
from rejoinder_server.store.port import HistorySpan, Store
from rejoinder_server.view import View

Send = Callable[[WatchStatusResponse], Awaitable[None]]

HISTORY_PAGE = 200
"""Transitions that are read and held at once."""

MOST_DRAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """A checked request to watch.

    Attributes:
        cursor: Resume after this place; None starts anew.
    """

    key: Key
    cursor: Cursor | None
    from_start: bool
    heartbeat: Span


class _Forked(Exception):
    """The history does not contain the position of a watch."""


class Watch:
    """Serves watches of a server.

    Args:
        write_seconds: How long one message may wait for a reader that does not read.
    """

    def __init__(
        self, *, store: Store, reader: Reader, hub: Hub, view: View, random: Random, write_seconds: float
    ) -> None:
        self._store = store
        self._reader = reader
        self._hub = hub
        self._view = view
        self._random = random
        self._write_seconds = write_seconds

    async def stream(self, request: WatchRequest, send: Send) -> None:
        """Send an operation's changes until its terminal state was sent or lies at the cursor.

        Raises:
            UnknownOperation, PurgedOperation: There is no such operation, or not any more.
            Draining: The server is about to end.
            SlowReader: The caller does not read.
        """

        async def bounded(response: WatchStatusResponse) -> None:
            try:
                async with asyncio.timeout(self._write_seconds):
                    await send(response)
            except TimeoutError as error:
                raise SlowReader(timedelta(seconds=self._write_seconds)) from error

        clock = asyncio.get_running_loop().time
        interval = request.heartbeat / SECOND
        with self._hub.subscribe(request.key) as flag:
            position = await self._begin(request, bounded)
            # Whoever resumes is told at once that there is nothing new, if so.
            is_quiet = position == request.cursor
            beat_time = clock() + interval
            while True:
                flag.clear()
                operation = await self._reader.read(request.key)
                last, position = position, await self._go_on(operation, position, bounded)
                if operation.state.is_terminal and position.sequence == operation.sequence:
                    return
                if self._hub.is_draining:
                    await self._drain(position, bounded)
                if is_quiet and position == last:
                    await bounded(await self._heartbeat(operation, position, request.heartbeat))
                if is_quiet or position != last:
                    beat_time = clock() + interval
                is_quiet = not await wait(flag, beat_time - clock())

    async def _begin(self, request: WatchRequest, send: Send) -> Cursor:
        """Return the place to go on from, after a snapshot where one is due."""
        operation = await self._reader.read(request.key)
        if request.from_start:
            return replace(cursor_of(operation), sequence=0, revision=0, nonce="")
        if request.cursor is not None and await self._contains(operation, request.cursor):
            return request.cursor
        return await self._snapshot(operation, send, is_gap=request.cursor is not None)

    async def _snapshot(self, operation: Operation, send: Send, *, is_gap: bool) -> Cursor:
        position = cursor_of(operation)
        await send(
            WatchStatusResponse(
                cursor=encode(position),
                revision=position.revision,
                gap=is_gap,
                snapshot=await self._view.message(operation, with_attempts=True),
            )
        )
        return position

    async def _contains(self, operation: Operation, cursor: Cursor) -> bool:
        """Whether a cursor names a place in this very history."""
        if cursor.uid != operation.uid or cursor.revision > operation.revision or cursor.sequence < 1:
            return False
        span = HistorySpan(operation.namespace, operation.uid, cursor.sequence - 1, cursor.sequence)
        [transitions] = await self._store.history([span])
        return [transition.nonce for transition in transitions] == [cursor.nonce]

    async def _go_on(self, operation: Operation, position: Cursor, send: Send) -> Cursor:
        """Send what follows a position; a snapshot with a gap when the history no longer contains it."""
        try:
            return await self._catch_up(operation, position, send)
        except _Forked:
            return await self._snapshot(operation, send, is_gap=True)

    async def _catch_up(self, operation: Operation, position: Cursor, send: Send) -> Cursor:
        """Send what was committed after a position, in the order of the revisions.

        Raises:
            _Forked: The store fell back behind the position, as after a failover, and may have gone another way.
        """
        if operation.uid != position.uid or operation.revision < position.revision:
            raise _Forked
        if operation.sequence == position.sequence and operation.nonce != position.nonce:
            raise _Forked
        while position.sequence < operation.sequence:
            for transition in await self._following(operation, position):
                if position.revision < operation.progress_revision < transition.revision:
                    position = await self._send_progress(operation, position, send)
                position = await self._send_transition(operation, transition, position, send)
        if position.revision < operation.progress_revision:
            position = await self._send_progress(operation, position, send)
        return position

    async def _following(self, operation: Operation, position: Cursor) -> Sequence[Transition]:
        """Read the next part of the history, and the transition at the position, which must still be the same."""
        through = min(operation.sequence, position.sequence + HISTORY_PAGE)
        span = HistorySpan(operation.namespace, operation.uid, max(position.sequence - 1, 0), through)
        [transitions] = await self._store.history([span])
        if len(transitions) != through - span.after:
            # Purged between the two reads: the next read of the operation says so.
            await self._reader.read(operation.key)
            raise Interrupted
        if position.sequence == 0:
            return transitions
        if transitions[0].nonce != position.nonce:
            raise _Forked
        return transitions[1:]

    async def _send_transition(
        self, operation: Operation, transition: Transition, position: Cursor, send: Send
    ) -> Cursor:
        position = replace(position, sequence=transition.sequence, nonce=transition.nonce, revision=transition.revision)
        # The result travels once, with the transition that it belongs to.
        with_outcome = transition.sequence == operation.sequence
        message = await self._view.message(operation, with_outcome=with_outcome)
        await send(
            WatchStatusResponse(
                cursor=encode(position),
                revision=position.revision,
                transition=convert.transition_message(transition, message),
            )
        )
        return position

    async def _send_progress(self, operation: Operation, position: Cursor, send: Send) -> Cursor:
        position = replace(position, revision=operation.progress_revision)
        if operation.progress is None or operation.progress_time is None:
            return position
        update = ProgressUpdate(
            attempt=operation.attempt,
            progress=convert.progress_message(operation.progress),
            time=convert.timestamp(operation.progress_time),
        )
        await send(WatchStatusResponse(cursor=encode(position), revision=position.revision, progress=update))
        return position

    async def _heartbeat(self, operation: Operation, position: Cursor, interval: Span) -> WatchStatusResponse:
        reason, detail = await self._view.waiting(operation)
        beat = Heartbeat(interval=convert.duration(interval), waiting_reason=reason, waiting_detail=detail)
        return WatchStatusResponse(cursor=encode(position), revision=position.revision, heartbeat=beat)

    async def _drain(self, position: Cursor, send: Send) -> None:
        """Announce the end of the stream; callers come back at different moments."""
        pause = timedelta(seconds=self._random.uniform(0, MOST_DRAIN_SECONDS))
        drain = Drain(retry_after=convert.duration(round(pause.total_seconds() * SECOND)))
        await send(WatchStatusResponse(cursor=encode(position), revision=position.revision, drain=drain))
        raise Draining(pause)
