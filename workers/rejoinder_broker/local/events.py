"""The local broker's events."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from rejoinder.worker.v1.worker_pb2 import Event
from rejoinder_broker.backoff import Backoff
from rejoinder_broker.batching import MAX_BATCH_BYTES, take_batch
from rejoinder_broker.port import NotRecorded, RefusedEvent, ServerHandlers

MOST_WAITING = 256
BATCH = 128
MOST_DEAD = 1_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reported:
    """An event on its way to the recorder.

    Attributes:
        reporter: Who reported it; reports of one reporter are confirmed together.
        confirm: Called once this event, and all earlier ones of its reporter, are recorded or dead-lettered.
    """

    event: Event
    reporter: object
    confirm: Callable[[], None]


def _size(reported: Reported) -> int:
    return reported.event.ByteSize()


class EventsQueue:
    """Events in the order of their coming, recorded one batch at a time.

    There is no durable place but the store: an event is confirmed when it is recorded, and a batch that fails is kept
    and tried again. While it fails the queue fills, and connections are not read.

    Attributes:
        dead: The last messages that could not be recorded or read, each with a line that says why.
    """

    def __init__(self, handlers: ServerHandlers) -> None:
        self.dead: deque[tuple[str, bytes]] = deque(maxlen=MOST_DEAD)
        self._handlers = handlers
        self._waiting: deque[Reported] = deque()
        self._room = asyncio.Semaphore(MOST_WAITING)
        self._something = asyncio.Event()
        self._ended = asyncio.Event()
        self._backoff = Backoff()

    async def put(self, reported: Reported) -> None:
        """Add an event behind all earlier ones, as soon as there is room."""
        await self._room.acquire()
        self._waiting.append(reported)
        self._something.set()

    async def run(self) -> None:
        """Have events recorded until ended."""
        while not self._ended.is_set():
            if self._waiting:
                await self._record_at_last(self._take())
            else:
                self._something.clear()
                await self._something.wait()

    def end(self) -> None:
        """Take no more events; the batch under way goes on."""
        self._ended.set()
        self._something.set()

    def _take(self) -> list[Reported]:
        batch = take_batch(self._waiting, most=BATCH, most_bytes=MAX_BATCH_BYTES, size=_size)
        for _ in batch:
            self._room.release()
        return batch

    async def _record_at_last(self, batch: Sequence[Reported]) -> None:
        events = [reported.event for reported in batch]
        is_failing = False
        while True:
            try:
                refused = await self._handlers.events(events)
            except NotRecorded as error:
                if not is_failing:
                    log.warning("events not recorded", events=len(events), detail=str(error))
                is_failing = True
            except Exception:  # the edge of a handler
                if not is_failing:
                    log.exception("events not recorded", events=len(events))
                is_failing = True
            else:
                break
            if await self._has_ended_within(self._backoff.next_seconds()):
                return
        if is_failing:
            log.info("events recorded again")
        self._backoff.reset()
        self._bury_refused(events, refused)
        for confirm in {reported.reporter: reported.confirm for reported in batch}.values():
            confirm()

    async def _has_ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    def bury(self, body: bytes, *, reason: str) -> None:
        """Keep what could not be recorded or read, for people to look at."""
        self.dead.append((reason, body))
        log.warning("event dead-lettered", reason=reason, size_bytes=len(body))

    def _bury_refused(self, events: Sequence[Event], refused: Sequence[RefusedEvent]) -> None:
        for refusal in refused:
            self.bury(events[refusal.index].SerializeToString(), reason=refusal.reason)
