"""A server's consumer of claims."""

from collections.abc import Sequence

import structlog

from rejoinder.worker.v1.worker_pb2 import Claim
from rejoinder_broker.batching import MAX_BATCH_BYTES
from rejoinder_broker.handing import hand
from rejoinder_broker.port import BrokerError, ServerHandlers
from rejoinder_broker.reading import UnreadableError, read_claim

from .channel import Channel, Delivery
from .dead_letters import DeadLetters
from .inbox import Inbox
from .pair import Pair
from .topology import Topology

PREFETCH = 512
BATCH = 256
BURY_SECONDS = 5.0

log = structlog.get_logger(__name__)


class ClaimsConsumer:
    """Answers claims in batches, one batch at a time, until it is ended or the pair is lost."""

    def __init__(self, pair: Pair, topology: Topology, *, handlers: ServerHandlers, dead_letters: DeadLetters) -> None:
        self._pair = pair
        self._queue = topology.claims.name
        self._handlers = handlers
        self._dead_letters = dead_letters
        self._inbox: Inbox | None = None
        self._has_ended = False

    async def run(self) -> None:
        """Consume; whatever the broker does to the consumer ends the pair, which costs only claims."""
        try:
            channel = await self._pair.channel()
            await self._answer_all(channel)
        except BrokerError as error:
            self._pair.lose(str(error))
        except Exception as error:  # the edge of a task, which would die unheard
            log.exception("consumer of claims failed")
            self._pair.lose(f"The consumer of claims failed: {error}")
        else:
            if not self._pair.lost.done():
                await channel.close()

    def end(self) -> None:
        """Take no more claims; the batch under way goes on."""
        self._has_ended = True
        if self._inbox is not None:
            self._inbox.end()

    async def _answer_all(self, channel: Channel) -> None:
        self._inbox = inbox = await Inbox.open(channel, self._queue, prefetch=PREFETCH)
        if self._has_ended:
            inbox.end()
        while batch := await inbox.batch(BATCH, most_bytes=MAX_BATCH_BYTES):
            await self._answer(batch)

    async def _answer(self, batch: Sequence[Delivery]) -> None:
        claims, garbage = _read(batch)
        if claims:
            await self._hand(claims)
        batch[-1].ack(multiple=True)
        for delivery, error in garbage:
            hand(self._handlers.unreadable, "claims")
            is_kept = await self._dead_letters.bury_within(
                BURY_SECONDS, delivery.body, source=self._queue, error=str(error)
            )
            log.warning("claim unreadable", reason=str(error), size_bytes=len(delivery.body), is_kept=is_kept)

    async def _hand(self, claims: Sequence[Claim]) -> None:
        try:
            await self._handlers.claims(claims)
        except Exception:  # the edge of a handler; the workers ask again
            log.exception("claims not answered", claims=len(claims))


def _read(batch: Sequence[Delivery]) -> tuple[list[Claim], list[tuple[Delivery, UnreadableError]]]:
    claims: list[Claim] = []
    garbage: list[tuple[Delivery, UnreadableError]] = []
    for delivery in batch:
        try:
            claims.append(read_claim(delivery.body))
        except UnreadableError as error:
            garbage.append((delivery, error))
    return claims, garbage
