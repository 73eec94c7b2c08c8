"""One worker's connection, as the server serves it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from rejoinder.worker.v1.worker_pb2 import Claim, LocalConfirm, LocalFrame, LocalReport
from rejoinder_broker.handing import hand
from rejoinder_broker.port import BrokerError, BrokerUnavailable
from rejoinder_broker.reading import UnreadableError, check_claim, check_event, check_token, read_frame

from .claims import ClaimsQueue
from .events import EventsQueue, Reported
from .tokens import TokenPool
from .wire import Wire

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Intake:
    """Where a server puts what workers send."""

    tokens: TokenPool
    claims: ClaimsQueue
    events: EventsQueue
    unreadable: Callable[[str], None]


class Connection:
    """A connection from its hello to its end.

    It is read one frame at a time: while events find no room the worker's socket fills, and then its buffers.
    """

    def __init__(self, wire: Wire, *, intake: Intake, connections: dict[str, Wire]) -> None:
        self._wire = wire
        self._intake = intake
        self._connections = connections

    async def serve(self) -> None:
        """Handle frames until the connection ends."""
        try:
            hello = _read_hello(await self._wire.read())
            if hello in self._connections:
                raise UnreadableError("Another connection has this name.")  # noqa: TRY301 - one way for garbage
            self._connections[hello] = self._wire
            try:
                self._confirm(0)
                await self._handle_all(hello)
            finally:
                del self._connections[hello]
                self._intake.tokens.forget(hello)
        except (BrokerError, UnreadableError) as error:
            log.info("connection ended", detail=str(error))
        except Exception:  # the edge of a task
            log.exception("connection failed")
        finally:
            await self._wire.close()

    async def _handle_all(self, connection_id: str) -> None:
        while True:
            body = await self._wire.read()
            try:
                await self._handle(connection_id, read_frame(body))
            except UnreadableError as error:
                # A frame that tells nothing may have been a report: that is what would be missed.
                self._bury(body, source="events", error=error)

    async def _handle(self, connection_id: str, frame: LocalFrame) -> None:
        match frame.WhichOneof("frame"):
            case "consume":
                self._intake.tokens.want(connection_id, [check_token(kind) for kind in frame.consume.kinds])
            case "token":
                self._intake.tokens.add(check_token(frame.token.token))
            case "claim":
                self._handle_claim(frame.claim)
            case "report":
                await self._handle_report(frame.report)
            case _:
                raise UnreadableError("The frame is not one that a worker sends.")

    def _handle_claim(self, claim: Claim) -> None:
        try:
            self._intake.claims.put(check_claim(claim))
        except UnreadableError as error:
            self._bury(claim.SerializeToString(), source="claims", error=error)

    async def _handle_report(self, report: LocalReport) -> None:
        """Queue a report; one that cannot be read takes its place as well, so that its confirm keeps the order."""
        try:
            event = check_event(report.event)
        except UnreadableError as error:
            self._bury(report.event.SerializeToString(), source="events", error=error)
            return
        await self._intake.events.put(
            Reported(event, reporter=self._wire, confirm=lambda: self._confirm(report.number))
        )

    def _confirm(self, number: int) -> None:
        with suppress(BrokerUnavailable):  # the worker reports again on its next connection
            self._wire.write(LocalFrame(confirm=LocalConfirm(number=number)))

    def _bury(self, body: bytes, *, source: str, error: UnreadableError) -> None:
        hand(self._intake.unreadable, source)
        self._intake.events.bury(body, reason=f"{source}: {error}")


def _read_hello(body: bytes) -> str:
    connection_id = read_frame(body).hello.connection_id
    if not connection_id:
        raise UnreadableError("The connection did not begin with its name.")
    return connection_id
