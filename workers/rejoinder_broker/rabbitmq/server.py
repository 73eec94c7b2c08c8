"""The server's side of RabbitMQ."""

import asyncio
import uuid
from collections.abc import Coroutine

import structlog

from rejoinder.worker.v1.worker_pb2 import Changes, Event, Token, WorkerMessage
from rejoinder_broker.handing import hand
from rejoinder_broker.port import BrokerUnavailable, Kind, ServerHandlers
from rejoinder_broker.reading import UnreadableError, read_changes
from rejoinder_broker.reconnecting import Reconnector

from .channel import Delivery
from .claims import ClaimsConsumer
from .dead_letters import DeadLetters
from .events import EventsConsumer
from .pair import Pair, declare_shared
from .parameters import read_url
from .publisher import Outgoing
from .topology import Topology

SEND_SECONDS = 5.0
"""How long a message may wait for its confirm, as while an alarm blocks publishers."""
_HANDLED_SECONDS = 10.0
_CANCELLED_SECONDS = 5.0

log = structlog.get_logger(__name__)


class RabbitServerBroker:
    """One server's connections to RabbitMQ, opened again whenever they are lost."""

    def __init__(self, url: str, *, prefix: str = "rejoinder", send_seconds: float = SEND_SECONDS) -> None:
        self._url = url
        self._topology = Topology(prefix)
        self._send_seconds = send_seconds
        self._server_id = uuid.uuid4().hex
        self._may_consume = True
        self._handlers: ServerHandlers
        self._reconnector: Reconnector[_Session] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a session that nothing has ended; an alarm that blocks it does not count."""
        return self._session is not None

    async def start(self, handlers: ServerHandlers) -> None:
        """Connect and begin to consume."""
        parameters = read_url(self._url)
        self._handlers = handlers

        async def open_session() -> _Session:
            pair = await Pair.open(parameters, name="rejoinder server")
            return await _Session.open(pair, self._topology, handlers=handlers, server_id=self._server_id)

        self._reconnector = Reconnector(
            open_session, connected=self._note_connected, disconnected=handlers.disconnected
        )
        await self._reconnector.start()

    async def stop_consuming(self) -> None:
        """Take no more claims and events, also on connections to come."""
        self._may_consume = False
        if self._session is not None:
            await self._session.stop_consuming()

    async def stop(self) -> None:
        """Close everything."""
        if self._reconnector is not None:
            await self._reconnector.stop()

    def offer(self, kind: Kind) -> None:
        """Send a token; one that no worker waits for, or that finds its queue full, is dropped by the broker."""
        token = Token(queue=kind.queue, type=kind.type)
        self._send_lossy(Outgoing(token.SerializeToString(), self._topology.work(kind).name))

    async def send(self, connection_id: str, message: WorkerMessage) -> bool:
        """Send to a worker's queue, which exists exactly as long as the worker's connection."""
        queue = self._topology.worker_name(connection_id)
        return await self._send(Outgoing(message.SerializeToString(), queue, mandatory=True))

    async def report(self, event: Event) -> None:
        """Send an event like a worker's."""
        queue = self._topology.events_name
        if not await self._send(Outgoing(event.SerializeToString(), queue, mandatory=True, durable=True)):
            self._lose("The events queue was deleted.")
            raise BrokerUnavailable("The events queue does not exist.")

    def announce(self, changes: Changes) -> None:
        """Send to every server's queue of changes."""
        self._send_lossy(Outgoing(changes.SerializeToString(), "", exchange=self._topology.changes))

    @property
    def _session(self) -> "_Session | None":
        session = None if self._reconnector is None else self._reconnector.session
        return None if session is None or session.lost.done() else session

    async def _send(self, outgoing: Outgoing) -> bool:
        if self._session is None:
            raise BrokerUnavailable("There is no connection to the broker.")
        try:
            async with asyncio.timeout(self._send_seconds):
                return await self._session.pair.publisher.send(outgoing)
        except TimeoutError as error:
            raise BrokerUnavailable("The broker did not confirm in time.") from error

    def _send_lossy(self, outgoing: Outgoing) -> None:
        if self._session is not None:
            self._session.pair.lossy.send_if_room(outgoing)

    def _lose(self, detail: str) -> None:
        if self._session is not None:
            self._session.pair.lose(detail)

    def _note_connected(self, session: "_Session") -> None:
        session.may_consume = self._may_consume
        self._handlers.connected()
        # Whatever was announced while this server's queue did not exist went past it.
        self._handlers.changes_missed()


class _Session:
    """What lives and ends with one pair of connections."""

    def __init__(self, pair: Pair, topology: Topology, *, handlers: ServerHandlers) -> None:
        self.pair = pair
        self.may_consume = True
        dead_letters = DeadLetters(pair.publisher, topology)
        self._handlers = handlers
        self._claims = ClaimsConsumer(pair, topology, handlers=handlers, dead_letters=dead_letters)
        self._events = EventsConsumer(pair, topology, handlers=handlers, dead_letters=dead_letters)
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, pair: Pair, topology: Topology, *, handlers: ServerHandlers, server_id: str) -> "_Session":
        """Declare the layout and listen to changes; the pair is closed when that fails."""
        session = cls(pair, topology, handlers=handlers)
        try:
            await declare_shared(pair, topology)
            await session._listen(topology, topology.changes_of(server_id).name)
        except BaseException:
            await pair.close()
            raise
        return session

    @property
    def lost(self) -> "asyncio.Future[str]":
        """Done when the pair is lost."""
        return self.pair.lost

    def begin(self) -> None:
        """Consume claims and events, where that is still wanted."""
        if self.may_consume:
            self._run(self._claims.run(), "broker-claims")
            self._run(self._events.run(), "broker-events")

    async def stop_consuming(self) -> None:
        """Consume no more, and wait for the batches under way."""
        self._claims.end()
        self._events.end()
        await self._finish_tasks()

    async def close(self) -> None:
        """End everything; a batch under way is waited for, since its handler may hold the store."""
        self.pair.lose("The connection was closed.")
        await self.stop_consuming()
        await self.pair.close()

    async def _listen(self, topology: Topology, queue: str) -> None:
        channel = await self.pair.vital_channel()
        await channel.declare_fanout(topology.changes)
        await channel.declare_queue(topology.changes_of(queue.rpartition(".")[2]))
        await channel.bind(queue, exchange=topology.changes)
        await channel.consume(
            queue,
            self._note_changes,
            on_cancelled=lambda: self.pair.lose("The changes queue was deleted."),
            acknowledged=False,
        )

    def _note_changes(self, delivery: Delivery) -> None:
        try:
            changes = read_changes(delivery.body)
        except UnreadableError:
            # It may have meant anything that changed.
            log.warning("changes unreadable", size_bytes=len(delivery.body))
            hand(self._handlers.changes_missed)
        else:
            hand(self._handlers.changed, changes)

    def _run(self, work: Coroutine[None, None, None], name: str) -> None:
        self._tasks.add(asyncio.create_task(work, name=name))

    async def _finish_tasks(self) -> None:
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=_HANDLED_SECONDS)
        for task in late:
            log.warning("batch abandoned", task=task.get_name(), waited_seconds=_HANDLED_SECONDS)
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_CANCELLED_SECONDS)
        self._tasks.clear()
