"""The worker's side of RabbitMQ."""

import asyncio
import uuid
from collections.abc import Collection

import structlog

from rejoinder.worker.v1.worker_pb2 import Claim, Event
from rejoinder_broker.handing import hand
from rejoinder_broker.port import BrokerUnavailable, Kind, WorkerHandlers
from rejoinder_broker.reading import UnreadableError, read_worker_message
from rejoinder_broker.reconnecting import Reconnector

from .channel import Delivery
from .dead_letters import DeadLetters
from .pair import Pair, declare_shared
from .parameters import read_url
from .publisher import Outgoing
from .tokens import TokenConsumers
from .topology import CLAIM_TTL_MILLISECONDS, Topology

log = structlog.get_logger(__name__)


class RabbitWorkerBroker:
    """One worker process's connections to RabbitMQ, opened again whenever they are lost."""

    def __init__(self, url: str, *, prefix: str = "rejoinder") -> None:
        self._url = url
        self._topology = Topology(prefix)
        self._wanted: frozenset[Kind] = frozenset()
        self._handlers: WorkerHandlers
        self._reconnector: Reconnector[_Session] | None = None

    @property
    def connection_id(self) -> str | None:
        """Name of the current pair of connections, and of the queue that ends with them."""
        return None if self._session is None else self._session.connection_id

    async def start(self, handlers: WorkerHandlers) -> None:
        """Connect; tokens come for what `consume` has named, also before."""
        parameters = read_url(self._url)
        self._handlers = handlers

        async def open_session() -> _Session:
            pair = await Pair.open(parameters, name="rejoinder worker")
            return await _Session.open(pair, self._topology, handlers=handlers)

        self._reconnector = Reconnector(
            open_session, connected=self._note_connected, disconnected=handlers.disconnected
        )
        await self._reconnector.start()

    async def stop(self) -> None:
        """Close everything; the broker takes back the tokens that were held."""
        if self._reconnector is not None:
            await self._reconnector.stop()

    def consume(self, kinds: Collection[Kind]) -> None:
        """Take tokens of exactly these kinds."""
        self._wanted = frozenset(kinds)
        if self._session is not None:
            self._session.tokens.want(self._wanted)

    def claim(self, claim: Claim) -> None:
        """Send a claim that the broker drops when no server takes it soon."""
        outgoing = Outgoing(
            claim.SerializeToString(), self._topology.claims.name, ttl_milliseconds=CLAIM_TTL_MILLISECONDS
        )
        if self._session is not None:
            self._session.pair.lossy.send_if_room(outgoing)

    def report(self, event: Event) -> "asyncio.Future[None]":
        """Send an event; while an alarm blocks publishers its future waits, as long as the connection lives."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        session = self._session
        if session is None:
            stored.set_exception(BrokerUnavailable("There is no connection to the broker."))
            return stored
        outgoing = Outgoing(event.SerializeToString(), self._topology.events_name, mandatory=True, durable=True)
        sent = session.pair.publisher.send(outgoing)
        sent.add_done_callback(lambda sent: _pass_on(sent, stored, session))
        return stored

    @property
    def _session(self) -> "_Session | None":
        session = None if self._reconnector is None else self._reconnector.session
        return None if session is None or session.lost.done() else session

    def _note_connected(self, session: "_Session") -> None:
        session.tokens.want(self._wanted)
        self._handlers.connected(session.connection_id)


class _Session:
    """What lives and ends with one pair of connections."""

    def __init__(self, pair: Pair, topology: Topology, *, handlers: WorkerHandlers) -> None:
        self.pair = pair
        self.connection_id = uuid.uuid4().hex
        self._handlers = handlers
        self._queue = topology.worker(self.connection_id)
        self._dead_letters = DeadLetters(pair.lossy, topology)
        self.tokens = TokenConsumers(pair, topology, handlers=handlers, dead_letters=self._dead_letters)
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, pair: Pair, topology: Topology, *, handlers: WorkerHandlers) -> "_Session":
        """Declare the layout and the worker queue; the pair is closed when that fails."""
        session = cls(pair, topology, handlers=handlers)
        try:
            await declare_shared(pair, topology)
            await session._listen()
        except BaseException:
            await pair.close()
            raise
        return session

    @property
    def lost(self) -> "asyncio.Future[str]":
        """Done when the pair is lost."""
        return self.pair.lost

    def begin(self) -> None:
        """Take tokens."""
        self._task = asyncio.create_task(self.tokens.run(), name="broker-tokens")

    async def close(self) -> None:
        """End everything."""
        self.pair.lose("The connection was closed.")
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self.pair.close()

    async def _listen(self) -> None:
        channel = await self.pair.vital_channel()
        await channel.declare_queue(self._queue)
        await channel.consume(
            self._queue.name,
            self._take,
            on_cancelled=lambda: self.pair.lose("The worker queue was deleted."),
            acknowledged=False,
        )

    def _take(self, delivery: Delivery) -> None:
        if self.pair.lost.done():
            return
        try:
            message = read_worker_message(delivery.body)
        except UnreadableError as error:
            hand(self._handlers.unreadable)
            log.warning("message unreadable", reason=str(error), size_bytes=len(delivery.body))
            self._dead_letters.bury_and_forget(delivery.body, source=self._queue.name, error=str(error))
        else:
            hand(self._handlers.message, message)


def _pass_on(sent: "asyncio.Future[bool]", stored: "asyncio.Future[None]", session: _Session) -> None:
    error = sent.exception()
    if error is None and not sent.result():
        session.pair.lose("The events queue was deleted.")
        error = BrokerUnavailable("The events queue does not exist.")
    if stored.done():
        return
    if error is None:
        stored.set_result(None)
    else:
        stored.set_exception(error)
