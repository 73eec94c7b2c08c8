"""Keeping a session with a broker: open it, wait until it is lost, pause, and open a new one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Generic, Protocol, TypeVar

import structlog

from .backoff import Backoff
from .handing import hand
from .port import BrokerError, BrokerRefused

log = structlog.get_logger(__name__)


class Session(Protocol):
    """Everything that lives and ends with a connection."""

    @property
    def lost(self) -> "asyncio.Future[str]":
        """Done when the session is of no more use; the result is a line for people."""

    def begin(self) -> None:
        """Start what needs a session that others can see."""

    def close(self) -> Coroutine[None, None, None]:
        """End everything that the session owns, within a bound."""


S = TypeVar("S", bound=Session)


class Reconnector(Generic[S]):
    """Owner of the one session that is current."""

    def __init__(
        self,
        open_session: Callable[[], Coroutine[None, None, S]],
        *,
        connected: Callable[[S], None],
        disconnected: Callable[[str], None],
        backoff: Backoff | None = None,
    ) -> None:
        self.session: S | None = None
        self._open_session = open_session
        self._connected = connected
        self._disconnected = disconnected
        self._backoff = backoff or Backoff()
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._in_outage = False

    async def start(self) -> None:
        """Open the first session, or note that it could not be opened, and keep one from then on.

        Raises:
            BrokerRefused: It will never work; nothing is kept.
        """
        first = await self._try_once()
        if isinstance(first, BrokerRefused):
            raise first
        if first is not None:
            self._note_outage(str(first))
        self._task = asyncio.create_task(self._keep(), name="broker-reconnector")

    async def stop(self) -> None:
        """End the session and open no other."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        await self._close_session()

    async def _keep(self) -> None:
        while True:
            try:
                await self._keep_one()
            except Exception as error:  # the edge of a task: nobody would reconnect any more
                log.exception("session failed")
                self._note_outage(f"The session failed: {error}")
                await self._close_session()

    async def _keep_one(self) -> None:
        if self.session is not None:
            await self._outlive(self.session)
        await asyncio.sleep(self._backoff.next_seconds())
        failure = await self._try_once()
        if isinstance(failure, BrokerRefused):
            # An outage may begin as silence and go on as a refusal, which somebody has to mend.
            log.warning("broker refused", detail=str(failure))
        if failure is not None:
            self._note_outage(str(failure))

    async def _outlive(self, session: S) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        detail = await session.lost
        # A session that dies at once must not reset the pauses: it would be opened again in a tight loop.
        if loop.time() - began > self._backoff.most_seconds:
            self._backoff.reset()
        self._note_outage(detail)
        await self._close_session()

    async def _try_once(self) -> BrokerError | None:
        try:
            session = await self._open_session()
        except BrokerError as error:
            return error
        self.session = session
        self._in_outage = False
        hand(self._connected, session)
        session.begin()
        return None

    async def _close_session(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            self._closing = asyncio.create_task(_close(session), name="broker-session-close")
        if self._closing is not None:
            # A stop that comes meanwhile must not leave a session half closed.
            await asyncio.shield(self._closing)

    def _note_outage(self, detail: str) -> None:
        if not self._in_outage:
            self._in_outage = True
            hand(self._disconnected, detail)


async def _close(session: Session) -> None:
    try:
        await session.close()
    except Exception:  # the edge of a task; the next session is worth more than the last one's end
        log.exception("session not closed")
