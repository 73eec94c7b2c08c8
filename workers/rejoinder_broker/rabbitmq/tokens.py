"""A worker's consumers of tokens."""

import asyncio
from collections.abc import Collection

import structlog

from rejoinder_broker.handing import hand
from rejoinder_broker.port import BrokerError, Kind, WorkerHandlers
from rejoinder_broker.reading import UnreadableError, read_token

from .channel import Channel, Delivery
from .dead_letters import DeadLetters
from .pair import Pair
from .topology import Topology

log = structlog.get_logger(__name__)


class RabbitToken:
    """A delivered token that is not answered yet."""

    __slots__ = ("_consumers", "_delivery", "_kind")

    def __init__(self, kind: Kind, delivery: Delivery, consumers: "TokenConsumers") -> None:
        self._kind = kind
        self._delivery = delivery
        self._consumers = consumers

    @property
    def kind(self) -> Kind:
        """What the token names."""
        return self._kind

    def spend(self) -> None:
        """Take the token out of its queue; nothing happens the second time, or after its connection."""
        if self._consumers.release(self):
            self._delivery.ack()

    def give_back(self) -> None:
        """Return the token to its queue; nothing happens the second time, or after its connection."""
        if self._consumers.release(self):
            self._delivery.give_back()


class TokenConsumers:
    """One consumer for each wanted kind, on one channel, each holding at most one token."""

    def __init__(self, pair: Pair, topology: Topology, *, handlers: WorkerHandlers, dead_letters: DeadLetters) -> None:
        self._pair = pair
        self._topology = topology
        self._handlers = handlers
        self._dead_letters = dead_letters
        self._wanted: frozenset[Kind] = frozenset()
        self._tags: dict[Kind, str] = {}
        self._declared: set[Kind] = set()
        self._held: dict[Kind, RabbitToken] = {}
        self._something = asyncio.Event()

    def want(self, kinds: Collection[Kind]) -> None:
        """Consume exactly these kinds as soon as the broker has been told."""
        self._wanted = frozenset(kinds)
        self._something.set()

    def release(self, token: RabbitToken) -> bool:
        """Forget a held token, and return whether it was held."""
        if self._held.get(token.kind) is not token:
            return False
        del self._held[token.kind]
        self._something.set()
        return True

    async def run(self) -> None:
        """Follow what is wanted until the pair is lost; whatever the broker refuses ends the pair."""
        try:
            channel = await self._pair.vital_channel()
            await channel.limit_prefetch(1)
            while True:
                await self._follow(channel)
                await self._something.wait()
                self._something.clear()
        except BrokerError as error:
            self._pair.lose(str(error))
        except Exception as error:  # the edge of a task, which would die unheard
            log.exception("consumers of tokens failed")
            self._pair.lose(f"The consumers of tokens failed: {error}")

    async def _follow(self, channel: Channel) -> None:
        for kind in self._tags.keys() - self._wanted:
            await channel.cancel(self._tags.pop(kind))
        # A token that outlived its consumer counts: a new consumer would get a second one of its kind.
        for kind in self._wanted - self._tags.keys() - self._held.keys():
            await self._begin(channel, kind)

    async def _begin(self, channel: Channel, kind: Kind) -> None:
        queue = self._topology.work(kind)
        if kind not in self._declared:
            await channel.declare_queue(queue)
            self._declared.add(kind)
        self._tags[kind] = await channel.consume(
            queue.name,
            lambda delivery: self._take(kind, delivery),
            on_cancelled=lambda: self._note_cancelled(kind),
        )

    def _take(self, kind: Kind, delivery: Delivery) -> None:
        if kind not in self._wanted or self._pair.lost.done():
            delivery.give_back()
            return
        try:
            named = read_token(delivery.body)
            if named != kind:
                raise UnreadableError("The token names other work than its queue.")  # noqa: TRY301 - one way for garbage
        except UnreadableError as error:
            self._bury(kind, delivery, error)
        else:
            self._held[kind] = token = RabbitToken(kind, delivery, self)
            hand(self._handlers.token, token)

    def _bury(self, kind: Kind, delivery: Delivery, error: UnreadableError) -> None:
        hand(self._handlers.unreadable)
        log.warning("token unreadable", queue=kind.queue, type=kind.type, reason=str(error))
        self._dead_letters.bury_and_forget(delivery.body, source=self._topology.work(kind).name, error=str(error))
        delivery.ack()

    def _note_cancelled(self, kind: Kind) -> None:
        # Somebody deleted the queue, or it expired.
        self._tags.pop(kind, None)
        self._declared.discard(kind)
        self._something.set()
