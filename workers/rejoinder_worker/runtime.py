"""One worker process: everything that it does on its I/O loop, and the threads that it runs handlers in.

    token -> Claimer -> claim -> grant -> Intake -> Runs -> GrantBroker -> worker thread: Execution
    Execution -> Runs (back on the loop) -> Reporter -> event -> confirm -> Held lets go

All bookkeeping belongs to the loop, so it needs no locks. Worker threads reach it by `call_soon_threadsafe` alone.
"""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from dramatiq.middleware import Middleware

from rejoinder.worker.v1.worker_pb2 import Announcement, Event, WorkerMessage
from rejoinder_broker.port import BrokerError, HeldToken, WorkerBroker
from rejoinder_worker.claimer import Claimer
from rejoinder_worker.clock import Clock
from rejoinder_worker.heartbeat import Heartbeat
from rejoinder_worker.held import Held
from rejoinder_worker.intake import Intake
from rejoinder_worker.registry import Handler
from rejoinder_worker.reporter import Reporter
from rejoinder_worker.runs import Runs
from rejoinder_worker.slots import Slots

# How long handlers that were told to stop may take to do so before their attempts are released.
_UNWIND_SECONDS = 1.0
_CONFIRM_SECONDS = 5.0
_ANSWER_SECONDS = 1.0
_ANNOUNCE_AGAIN_SECONDS = 1.0

_logger = structlog.get_logger("rejoinder.worker")


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """What a worker process is told.

    Attributes:
        worker: Name of the process.
        threads: Number of slots.
        claim_interval: Seconds between claims that nothing asked for.
        heartbeat_interval: Seconds between heartbeats.
        max_result_bytes: Longest result.
    """

    worker: str
    threads: int
    claim_interval: float
    heartbeat_interval: float
    max_result_bytes: int


class Runtime:
    """A worker process; made and used on its I/O loop.

    Args:
        broker: The connection to the servers; it is started and stopped here.
        handlers: What the process serves.
        middleware: The user's own Dramatiq middleware.
        options: What the process is told.
        clock: Reads time.
        randomness: Spreads timers.
        new_id: Makes the claims' names.

    Raises:
        RegistrationError: The type hint of a handler is of no use.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        *,
        handlers: Sequence[Handler],
        middleware: Sequence[Middleware],
        options: RuntimeOptions,
        clock: Clock,
        randomness: random.Random,
        new_id: Callable[[], str],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._broker = broker
        self._options = options
        self._answered = asyncio.Event()

        self._slots = Slots(options.threads)
        self._held = Held()
        self._reporter = Reporter(broker, scheduler=self._loop)
        self._runs = Runs(
            handlers,
            middleware=middleware,
            worker=options.worker,
            max_result_bytes=options.max_result_bytes,
            slots=self._slots,
            held=self._held,
            reporter=self._reporter,
            clock=clock,
            loop=self._loop,
        )
        self._claimer = Claimer(
            broker,
            slots=self._slots,
            queues=_queues(handlers),
            worker=options.worker,
            interval=options.claim_interval,
            clock=clock,
            scheduler=self._loop,
            new_id=new_id,
            randomness=randomness,
            has_room=lambda: not self._reporter.is_full,
        )
        self._reporter.on_room = self._claimer.wake
        self._runs.on_slot_free = self._claimer.wake
        self._heartbeat = Heartbeat(
            broker,
            reporter=self._reporter,
            held=self._held,
            slots=self._slots,
            types=[handler.type for handler in handlers],
            worker=options.worker,
            interval=options.heartbeat_interval,
            clock=clock,
            scheduler=self._loop,
            fence=self._runs.fence,
        )
        self._intake = Intake(
            claimer=self._claimer,
            held=self._held,
            types=[handler.type for handler in handlers],
            clock=clock,
            start=self._runs.start,
            release=self._runs.release,
        )
        self._announcement = Event(
            worker=options.worker,
            announcement=Announcement(types=[handler.announcement() for handler in handlers]),
        )

    async def start(self) -> None:
        """Start the threads and connect.

        Raises:
            BrokerRefused: Malformed URL, refused credentials.
        """
        self._runs.start_threads()
        await self._broker.start(self)

    async def shut_down(self, *, grace: float, hurry: asyncio.Event) -> bool:
        """Let handlers finish, release what is unfinished, and leave.

        A handler that does not stop runs on until the process ends, while its released operation may be granted again.

        Args:
            grace: Seconds that running handlers have to finish.
            hurry: Ends that wait early.

        Returns:
            Whether nothing runs any more and everything reported is durable.
        """
        self._claimer.stop()
        await self._runs.until_quiet(grace, hurry=hurry)
        self._runs.tell_all_to_stop()
        await self._runs.until_quiet(_UNWIND_SECONDS)
        await self._until_answered()
        self._runs.release_all()
        is_clean = await self._leave() and not self._slots.running
        await self._broker.stop()
        self._reporter.close()
        return await self._runs.end_threads() and is_clean

    async def abandon(self) -> None:
        """End the threads of a process that never worked."""
        self._claimer.stop()
        await self._broker.stop()
        await self._runs.end_threads()

    def connected(self, connection_id: str) -> None:
        """Introduce the process on a new connection, report what is owed, and claim."""
        _logger.info("connected to the broker", worker=self._options.worker, connection_id=connection_id)
        self._announce(connection_id)
        self._heartbeat.connected()
        self._reporter.connected()
        self._claimer.connected()

    def disconnected(self, detail: str) -> None:
        """Go on with what runs; reports wait."""
        _logger.info("disconnected from the broker", worker=self._options.worker, detail=detail)
        self._heartbeat.disconnected()
        self._claimer.disconnected()

    def token(self, token: HeldToken) -> None:
        """Take a token."""
        self._claimer.token(token)

    def message(self, message: WorkerMessage) -> None:
        """Take a server's message; one that makes no sense is counted and stops nothing."""
        try:
            self._handle(message)
        except Exception:
            _logger.exception("message not understood", worker=self._options.worker)
            self.unreadable()

    def unreadable(self) -> None:
        """Count a message that could not be read."""
        self._heartbeat.unreadable_messages += 1
        _logger.warning("unreadable message", worker=self._options.worker)

    def _handle(self, message: WorkerMessage) -> None:
        match message.WhichOneof("message"):
            case "grant":
                self._intake.take(message.grant)
                self._heartbeat.note_lease(message.grant.lease.ToTimedelta().total_seconds())
            case "claim_answer":
                self._claimer.answered(message.claim_answer)
                self._answered.set()
            case "heartbeat_answer":
                self._heartbeat.answered(message.heartbeat_answer)
            case "stop":
                self._heartbeat.told_to_stop(message.stop)
            case _:
                self.unreadable()  # a server's newer message, which this worker cannot know

    def _announce(self, connection_id: str) -> None:
        if self._broker.connection_id != connection_id:
            return

        def confirmed(future: "asyncio.Future[None]") -> None:
            if future.cancelled() or future.exception() is not None:
                self._loop.call_later(_ANNOUNCE_AGAIN_SECONDS, self._announce, connection_id)

        self._reporter.send_once(self._announcement).add_done_callback(confirmed)

    async def _until_answered(self) -> None:
        # A grant that is on its way would be lost with the connection, and its operation would wait for its lease.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                while self._claimer.is_waiting and self._broker.connection_id is not None:
                    self._answered.clear()
                    await self._answered.wait()

    async def _leave(self) -> bool:
        self._heartbeat.stop()
        if self._broker.connection_id is None:
            return not self._reporter.unconfirmed
        is_drained = await self._reporter.drained(_CONFIRM_SECONDS)
        with contextlib.suppress(BrokerError, TimeoutError):  # the servers notice the silence as well
            await asyncio.wait_for(self._heartbeat.beat(leaving=True), _CONFIRM_SECONDS)
        return is_drained


def _queues(handlers: Sequence[Handler]) -> dict[str, list[str]]:
    queues: dict[str, list[str]] = defaultdict(list)
    for handler in handlers:
        queues[handler.queue].append(handler.type)
    return queues
