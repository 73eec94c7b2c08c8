"""A server's consumer of events: the recorder's end of the one ordered queue."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from rejoinder.worker.v1.worker_pb2 import Event
from rejoinder_broker.backoff import Backoff
from rejoinder_broker.batching import MAX_BATCH_BYTES
from rejoinder_broker.handing import hand
from rejoinder_broker.port import BrokerError, ServerHandlers
from rejoinder_broker.reading import UnreadableError, read_event

from .channel import Channel, Delivery, UnansweredError
from .dead_letters import DeadLetters
from .inbox import Inbox
from .pair import Pair, declare_events
from .topology import Topology

# An event may be as large as a result: what a recorder holds is bounded in number by the broker, and in bytes only so.
PREFETCH = 256
# Half of it, so that the broker delivers the next batch while this one is recorded.
BATCH = 128
BURY_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Dead:
    delivery: Delivery
    error: str


class EventsConsumer:
    """Has events recorded in order, one batch at a time, until it is ended or the pair is lost.

    When a batch cannot be recorded its channel is closed: the broker takes back everything that the channel held, in
    order and before the rest, and gives it to whichever server consumes next. That may be this one, after a pause.
    """

    def __init__(self, pair: Pair, topology: Topology, *, handlers: ServerHandlers, dead_letters: DeadLetters) -> None:
        self._pair = pair
        self._topology = topology
        self._handlers = handlers
        self._dead_letters = dead_letters
        self._backoff = Backoff()
        self._inbox: Inbox | None = None
        self._ended = asyncio.Event()
        self._is_failing = False

    async def run(self) -> None:
        """Consume, and begin again after each failure."""
        while not (self._ended.is_set() or self._pair.lost.done()):
            try:
                await self._consume()
            except UnansweredError as error:
                # As from a quorum queue without a leader; whoever retried on this pair would collect dead channels.
                self._pair.lose(str(error))
            except BrokerError as error:
                self._note_failure(str(error))
                await self._pause()
            except Exception as error:  # noqa: BLE001 - the edge of a handler; the traceback is logged once per failure
                self._note_failure(str(error), exc_info=error)
                await self._pause()

    def end(self) -> None:
        """Take no more events; the batch under way goes on."""
        self._ended.set()
        if self._inbox is not None:
            self._inbox.end()

    async def _consume(self) -> None:
        await declare_events(self._pair, self._topology)
        channel = await self._pair.channel()
        try:
            await self._record_all(channel)
        finally:
            self._inbox = None
            if not self._pair.lost.done():
                await channel.close()

    async def _record_all(self, channel: Channel) -> None:
        self._inbox = inbox = await Inbox.open(channel, self._topology.events_name, prefetch=PREFETCH)
        if self._ended.is_set():
            inbox.end()
        while batch := await inbox.batch(BATCH, most_bytes=MAX_BATCH_BYTES):
            await self._record(batch)
            self._note_success()

    async def _record(self, batch: Sequence[Delivery]) -> None:
        events, sources, dead = _read(batch)
        unreadable = len(dead)
        if events:
            refused = await self._handlers.events(events)
            dead += [_Dead(sources[refusal.index], refusal.reason) for refusal in refused]
        # Counted only now: a batch that fails is read again.
        for _ in range(unreadable):
            hand(self._handlers.unreadable, "events")
        rejected = await self._bury(dead)
        kept = [delivery for delivery in batch if delivery.tag not in rejected]
        if kept:
            kept[-1].ack(multiple=True)

    async def _bury(self, dead: Sequence[_Dead]) -> set[int]:
        """Keep dead letters and return the tags of those that had to be left to the broker.

        The broker keeps them without our line about the error, but it does so also while an alarm lets nobody publish,
        when a recorder that waited would keep the very queue from shrinking that caused the alarm.
        """
        results = await asyncio.gather(*(self._bury_one(letter) for letter in dead))
        return {letter.delivery.tag for letter, is_kept in zip(dead, results, strict=True) if not is_kept}

    async def _bury_one(self, letter: _Dead) -> bool:
        is_kept = await self._dead_letters.bury_within(
            BURY_SECONDS, letter.delivery.body, source=self._topology.events_name, error=letter.error
        )
        log.warning("event dead-lettered", reason=letter.error, size_bytes=len(letter.delivery.body))
        if not is_kept:
            letter.delivery.reject()
        return is_kept

    def _note_failure(self, detail: str, *, exc_info: Exception | None = None) -> None:
        # The loss of the pair is told by whoever opens the next one, and repeated failures are one story.
        if self._pair.lost.done() or self._is_failing:
            return
        self._is_failing = True
        log.error("events not recorded", detail=detail, exc_info=exc_info)

    def _note_success(self) -> None:
        if self._is_failing:
            log.info("events recorded again")
        self._is_failing = False
        self._backoff.reset()

    async def _pause(self) -> None:
        waker = asyncio.create_task(self._ended.wait())
        either: set[asyncio.Future[Any]] = {waker, self._pair.lost}
        await asyncio.wait(either, timeout=self._backoff.next_seconds(), return_when=asyncio.FIRST_COMPLETED)
        waker.cancel()
        await asyncio.wait({waker})


def _read(batch: Sequence[Delivery]) -> tuple[list[Event], list[Delivery], list[_Dead]]:
    """Return the events, the delivery of each, and what could not be read."""
    events: list[Event] = []
    sources: list[Delivery] = []
    dead: list[_Dead] = []
    for delivery in batch:
        try:
            events.append(read_event(delivery.body))
            sources.append(delivery)
        except UnreadableError as error:
            dead.append(_Dead(delivery, str(error)))
    return events, sources, dead
