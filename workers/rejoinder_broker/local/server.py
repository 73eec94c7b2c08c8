"""The server's side of the local broker, which is the broker."""

import asyncio

import structlog

from rejoinder.worker.v1.worker_pb2 import Changes, Event, LocalFrame, LocalToken, Token, WorkerMessage
from rejoinder_broker.handing import hand
from rejoinder_broker.port import BrokerUnavailable, Kind, ServerHandlers
from rejoinder_broker.reading import check_size

from .address import Address, read_url, write_url
from .claims import ClaimsQueue
from .connection import Connection, Intake
from .events import EventsQueue, Reported
from .tokens import TokenPool
from .wire import Wire

REPORT_SECONDS = 5.0
_HANDLED_SECONDS = 10.0
_CANCELLED_SECONDS = 5.0

log = structlog.get_logger(__name__)


class LocalServerBroker:
    """A broker inside one server, which workers reach over a Unix socket."""

    def __init__(self, url: str, *, report_seconds: float = REPORT_SECONDS) -> None:
        self._requested_url = url
        self._report_seconds = report_seconds
        self._address: Address | None = None
        self._listener: asyncio.Server | None = None
        self._handlers: ServerHandlers
        self._claims: ClaimsQueue
        self._events: EventsQueue
        self._tokens = TokenPool(self._deliver)
        self._connections: dict[str, Wire] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._consuming: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """URL that workers connect to; with the place that the server chose once the broker has started."""
        return self._requested_url if self._address is None else write_url(self._address.path)

    @property
    def is_connected(self) -> bool:
        """Whether it listens."""
        return self._listener is not None

    async def start(self, handlers: ServerHandlers) -> None:
        """Listen and begin to consume."""
        self._address = Address(read_url(self._requested_url))
        self._handlers = handlers
        self._claims = ClaimsQueue(handlers)
        self._events = EventsQueue(handlers)
        self._listener = await self._address.listen(self._accept)
        self._consuming = {
            asyncio.create_task(self._claims.run(), name="broker-claims"),
            asyncio.create_task(self._events.run(), name="broker-events"),
        }
        hand(handlers.connected)

    async def stop_consuming(self) -> None:
        """Take no more claims and events; workers report again what was not confirmed, to the next server."""
        if not self._consuming:
            return
        self._claims.end()
        self._events.end()
        _, late = await asyncio.wait(self._consuming, timeout=_HANDLED_SECONDS)
        for task in late:
            log.warning("batch abandoned", task=task.get_name(), waited_seconds=_HANDLED_SECONDS)
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_CANCELLED_SECONDS)
        self._consuming.clear()

    async def stop(self) -> None:
        """End all connections and remove the socket."""
        await self.stop_consuming()
        if self._listener is None or self._address is None:
            return
        listener, self._listener = self._listener, None
        listener.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await listener.wait_closed()
        self._address.remove()

    def offer(self, kind: Kind) -> None:
        """Add a token for whoever wants it."""
        self._tokens.add(kind)

    async def send(self, connection_id: str, message: WorkerMessage) -> bool:
        """Write to a worker's connection."""
        wire = self._connections.get(connection_id)
        if wire is None:
            return False
        try:
            wire.write(LocalFrame(message=message))
        except BrokerUnavailable:
            return False
        return True

    async def report(self, event: Event) -> None:
        """Put an event behind those of the workers; it is durable once it is recorded, there being no other place.

        So a recorder that waits for its own report waits in vain.
        """
        check_size(event.SerializeToString())
        if not self._consuming:
            raise BrokerUnavailable("The broker does not consume.")
        recorded = asyncio.Event()
        try:
            async with asyncio.timeout(self._report_seconds):
                await self._events.put(Reported(event, reporter=recorded, confirm=recorded.set))
                await recorded.wait()
        except TimeoutError as error:
            raise BrokerUnavailable("The event was not recorded in time.") from error

    def announce(self, changes: Changes) -> None:
        """Tell this server, there being no other."""
        if self._listener is not None:
            asyncio.get_running_loop().call_soon(hand, self._handlers.changed, changes)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        intake = Intake(
            tokens=self._tokens, claims=self._claims, events=self._events, unreadable=self._handlers.unreadable
        )
        connection = Connection(Wire(reader, writer), intake=intake, connections=self._connections)
        task = asyncio.create_task(connection.serve(), name="broker-connection")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _deliver(self, connection_id: str, kind: Kind) -> None:
        wire = self._connections[connection_id]
        try:
            wire.write(LocalFrame(token=LocalToken(token=Token(queue=kind.queue, type=kind.type))))
        except BrokerUnavailable:
            # The token is lost with the connection; waiting work is claimed without one.
            self._tokens.forget(connection_id)
