"""The worker's side of the local broker."""

import asyncio
import itertools
import uuid
from collections.abc import Collection
from pathlib import Path

import structlog

from rejoinder.worker.v1.worker_pb2 import (
    Claim,
    Event,
    LocalConsume,
    LocalFrame,
    LocalHello,
    LocalReport,
    LocalToken,
    Token,
)
from rejoinder_broker.handing import hand
from rejoinder_broker.port import BrokerError, BrokerRefused, BrokerUnavailable, Kind, WorkerHandlers
from rejoinder_broker.reading import UnreadableError, check_token, check_worker_message, read_frame
from rejoinder_broker.reconnecting import Reconnector

from .address import read_url
from .wire import Wire

_GREETING_SECONDS = 10.0

log = structlog.get_logger(__name__)


class LocalWorkerBroker:
    """One worker process's connection to the server's socket, opened again whenever it is lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._wanted: frozenset[Kind] = frozenset()
        self._handlers: WorkerHandlers
        self._reconnector: Reconnector[_Session] | None = None

    @property
    def connection_id(self) -> str | None:
        """Name of the current connection."""
        return None if self._session is None else self._session.connection_id

    async def start(self, handlers: WorkerHandlers) -> None:
        """Connect; tokens come for what `consume` has named, also before."""
        path = read_url(self._url)
        if path is None:
            raise BrokerRefused("The broker URL names no socket: give the worker the URL that its server shows.")
        self._handlers = handlers

        async def open_session() -> _Session:
            return await _Session.open(path, handlers=handlers)

        self._reconnector = Reconnector(
            open_session, connected=self._note_connected, disconnected=handlers.disconnected
        )
        await self._reconnector.start()

    async def stop(self) -> None:
        """Close the connection."""
        if self._reconnector is not None:
            await self._reconnector.stop()

    def consume(self, kinds: Collection[Kind]) -> None:
        """Take tokens of exactly these kinds."""
        self._wanted = frozenset(kinds)
        if self._session is not None:
            self._session.want(self._wanted)

    def claim(self, claim: Claim) -> None:
        """Send a claim, unless the server does not keep up."""
        if self._session is not None:
            self._session.claim(claim)

    def report(self, event: Event) -> "asyncio.Future[None]":
        """Send an event; its future is done once the server has recorded it."""
        if self._session is not None:
            return self._session.report(event)
        recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        recorded.set_exception(BrokerUnavailable("There is no connection to the broker."))
        return recorded

    @property
    def _session(self) -> "_Session | None":
        session = None if self._reconnector is None else self._reconnector.session
        return None if session is None or session.lost.done() else session

    def _note_connected(self, session: "_Session") -> None:
        session.want(self._wanted)
        self._handlers.connected(session.connection_id)


class LocalHeldToken:
    """A delivered token that is not answered yet."""

    __slots__ = ("_kind", "_session")

    def __init__(self, kind: Kind, session: "_Session") -> None:
        self._kind = kind
        self._session = session

    @property
    def kind(self) -> Kind:
        """What the token names."""
        return self._kind

    def spend(self) -> None:
        """Take no part in it any more; nothing happens the second time, or after its connection."""
        self._session.release(self, is_spent=True)

    def give_back(self) -> None:
        """Return the token to the server; nothing happens the second time, or after its connection."""
        self._session.release(self, is_spent=False)


class _Session:
    """What lives and ends with one connection."""

    def __init__(self, wire: Wire, *, handlers: WorkerHandlers) -> None:
        self.connection_id = uuid.uuid4().hex
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._wire = wire
        self._handlers = handlers
        self._wanted: frozenset[Kind] = frozenset()
        self._held: dict[Kind, LocalHeldToken] = {}
        self._numbers = itertools.count(1)
        self._unconfirmed: dict[int, asyncio.Future[None]] = {}  # in the order of numbers
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, *, handlers: WorkerHandlers) -> "_Session":
        """Connect and tell the connection's name."""
        try:
            wire = Wire(*await asyncio.open_unix_connection(path))
        except PermissionError as error:
            raise BrokerRefused(f"This user may not connect to {path}: run the worker as the server's user.") from error
        except OSError as error:
            raise BrokerUnavailable(f"No server listens at {path}: {error.strerror}.") from error
        session = cls(wire, handlers=handlers)
        try:
            await session._greet()
        except BaseException:
            await wire.close()
            raise
        return session

    async def _greet(self) -> None:
        """Tell the connection's name and wait until the server knows it, which it says with the first confirm."""
        self._wire.write(LocalFrame(hello=LocalHello(connection_id=self.connection_id)))
        try:
            async with asyncio.timeout(_GREETING_SECONDS):
                await self._wire.read()
        except TimeoutError as error:
            raise BrokerUnavailable("The server did not answer the greeting.") from error

    def begin(self) -> None:
        """Read what the server sends."""
        self._task = asyncio.create_task(self._read_all(), name="broker-connection")

    async def close(self) -> None:
        """End everything."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._lose("The connection was closed.")
        await self._wire.close()

    def want(self, kinds: frozenset[Kind]) -> None:
        """Take tokens of exactly these kinds."""
        self._wanted = kinds
        self._ask()

    def release(self, token: LocalHeldToken, *, is_spent: bool) -> None:
        """Forget a held token, return it to the server unless it is spent, and ask for the next one."""
        if self._held.get(token.kind) is not token:
            return
        del self._held[token.kind]
        if not is_spent:
            self._give_back(token.kind)
        if token.kind in self._wanted:
            self._ask()

    def claim(self, claim: Claim) -> None:
        """Send a claim if the server keeps up."""
        if self._wire.has_room:
            self._write(LocalFrame(claim=claim))

    def report(self, event: Event) -> "asyncio.Future[None]":
        """Send an event under the next number."""
        number = next(self._numbers)
        frame = LocalFrame(report=LocalReport(number=number, event=event))
        self._unconfirmed[number] = recorded = asyncio.get_running_loop().create_future()
        self._write(frame)
        return recorded

    def _ask(self) -> None:
        # Each kind that is named brings one token: a kind is named again when its last one is gone.
        kinds = [Token(queue=kind.queue, type=kind.type) for kind in self._wanted - self._held.keys()]
        self._write(LocalFrame(consume=LocalConsume(kinds=kinds)))

    def _give_back(self, kind: Kind) -> None:
        self._write(LocalFrame(token=LocalToken(token=Token(queue=kind.queue, type=kind.type))))

    def _write(self, frame: LocalFrame) -> None:
        try:
            self._wire.write(frame)
        except BrokerUnavailable as error:
            self._lose(str(error))

    async def _read_all(self) -> None:
        try:
            while True:
                self._handle(await self._wire.read())
        except BrokerError as error:
            self._lose(str(error))
        except Exception as error:  # the edge of a task, which would die unheard
            log.exception("connection failed")
            self._lose(f"The connection failed: {error}")

    def _handle(self, body: bytes) -> None:
        try:
            self._handle_frame(read_frame(body))
        except UnreadableError as error:
            hand(self._handlers.unreadable)
            log.warning("message unreadable", reason=str(error), size_bytes=len(body))

    def _handle_frame(self, frame: LocalFrame) -> None:
        match frame.WhichOneof("frame"):
            case "token":
                self._take(check_token(frame.token.token))
            case "message":
                hand(self._handlers.message, check_worker_message(frame.message))
            case "confirm":
                self._confirm(frame.confirm.number)
            case _:
                raise UnreadableError("The frame is not one that a server sends.")

    def _take(self, kind: Kind) -> None:
        # It may have been on its way while the kind was dropped or named a second time.
        if kind not in self._wanted or kind in self._held:
            self._give_back(kind)
            return
        self._held[kind] = token = LocalHeldToken(kind, self)
        hand(self._handlers.token, token)

    def _confirm(self, number: int) -> None:
        for earlier in list(itertools.takewhile(lambda earlier: earlier <= number, self._unconfirmed)):
            recorded = self._unconfirmed.pop(earlier)
            if not recorded.done():
                recorded.set_result(None)

    def _lose(self, detail: str) -> None:
        if not self.lost.done():
            self.lost.set_result(detail)
        unconfirmed = list(self._unconfirmed.values())
        self._unconfirmed.clear()
        for recorded in unconfirmed:
            if not recorded.done():
                recorded.set_exception(BrokerUnavailable("The connection was lost before the event was recorded."))
